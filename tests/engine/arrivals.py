"""Random loads for an engine, and what must come out of each of their requests."""

from __future__ import annotations

import functools
import math

import msgspec
from hypothesis import strategies as st

from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.sequence import Lane, SessionKey, SubmitOptions
from tests.engine.adapters import adapter_of, merged
from tests.engine.drive import Drive, Recorder
from tests.engine.tiny import TINY, naive_greedy, naive_logprobs, prompt, tiny_model

MODEL = tiny_model().double()
ADAPTERS = {seed: adapter_of(TINY, seed=seed) for seed in (1, 2)}
MODELS = {0: MODEL} | {seed: merged(MODEL, lora) for seed, lora in ADAPTERS.items()}
"""By adapter: the base, and dense models that contain an adapter."""
TOLERANCE = 1e-9
"""On log-probabilities, in float64."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a load."""

    at_step: int
    document: int
    """Requests of the same document share a prefix ..."""
    prompt_tokens: int
    """... as far as both reach, since all prompts of a document are prefixes of one text."""
    max_tokens: int
    num_targets: int
    guess: str
    """right, wrong, late (right after a wrong first id) or none."""
    user: str
    lane: Lane
    is_session: bool
    adapter: int
    cancel_at_step: int | None
    deadline_step: int | None


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at_step=st.integers(0, 12),
        document=st.integers(0, 2),
        prompt_tokens=st.integers(1, TINY.context_tokens - 2) | st.integers(40, 70),
        max_tokens=st.integers(1, 12),
        num_targets=st.sampled_from([0, 0, 0, 0, 5, 30]),
        guess=st.sampled_from(["right", "wrong", "late", "none"]),
        user=st.sampled_from(["a", "a", "b"]),
        lane=st.sampled_from([Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BATCH]),
        is_session=st.booleans(),
        adapter=st.sampled_from([0, 0, 1, 2]),
        cancel_at_step=st.none() | st.integers(0, 20),
        deadline_step=st.none() | st.none() | st.integers(0, 25),
    ),
    min_size=4,
    max_size=10,
)


def split(arrival: Arrival) -> tuple[list[int], list[int]]:
    """(prompt, targets); the targets are the end of the ids, so that they fit the window."""
    ids = prompt(arrival.prompt_tokens, seed=arrival.document)
    count = min(arrival.num_targets, len(ids) - 1)
    return ids[: len(ids) - count], ids[len(ids) - count :]


@functools.lru_cache(maxsize=4096)
def greedy(adapter: int, document: int, prompt_tokens: int, max_tokens: int) -> tuple[int, ...]:
    """What a naive forward without any cache writes after this prompt."""
    ids = prompt(prompt_tokens, seed=document)
    return tuple(naive_greedy(MODELS[adapter], ids, max_tokens))


def guesses_of(arrival: Arrival, prompt_tokens: int) -> tuple[tuple[int, ...], ...]:
    """What the engine is told of the answer."""
    if arrival.guess == "none":
        return ()
    right = list(greedy(arrival.adapter, arrival.document, prompt_tokens, 12))
    if arrival.guess == "wrong":
        right = [(token_id + 1) % TINY.vocab_size for token_id in right]
    elif arrival.guess == "late":
        right = [(right[0] + 1) % TINY.vocab_size, *right]
    return (tuple(right),)


def submit(drive: Drive, arrival: Arrival) -> Recorder:
    """Queue the request."""
    ids, targets = split(arrival)
    session = SessionKey("s", str(arrival.document)) if arrival.is_session else None
    is_timed = arrival.deadline_step is not None
    options = SubmitOptions(
        lane=arrival.lane,
        user=arrival.user,
        session=session if not targets else None,
        deadline_s=float(arrival.deadline_step or 0) if is_timed else math.inf,
        adapter=arrival.adapter,
        guesses=guesses_of(arrival, len(ids)) if not targets else (),
    )
    params = SamplingParams(max_tokens=arrival.max_tokens)
    return drive.add(ids, params, options, targets=tuple(targets))


def assert_right(arrival: Arrival, recorder: Recorder) -> None:
    """What came out is what one-at-a-time greedy decoding gives, whole or as far as it got."""
    ids, targets = split(arrival)
    model = MODELS[arrival.adapter]
    assert len(recorder.reasons) == 1, "a request without an end, or with two"
    reason = recorder.reasons[0]
    assert reason is not FinishReason.ERROR
    if targets:
        expected = targets
        logprobs = naive_logprobs(model, ids, targets)
        whole = FinishReason.STOP
    else:
        room = TINY.context_tokens - len(ids)
        num_tokens = min(arrival.max_tokens, room)
        expected = list(greedy(arrival.adapter, arrival.document, len(ids), num_tokens))
        logprobs = naive_logprobs(model, ids, expected)
        whole = FinishReason.LENGTH
    assert recorder.ids == expected[: len(recorder.ids)]
    for token, wanted in zip(recorder.tokens, logprobs, strict=False):
        assert abs(token.logprob - wanted) <= TOLERANCE
    if reason is whole:
        assert recorder.ids == expected
    elif reason is FinishReason.CANCELLED:
        assert arrival.cancel_at_step is not None
    elif reason is FinishReason.DEADLINE:
        assert arrival.deadline_step is not None
    else:
        assert reason is FinishReason.SUPERSEDED and arrival.is_session
