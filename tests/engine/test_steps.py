"""Packed, chunked, batched steps give what one naive forward gives."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.config import EngineConfig
from paceline.engine.runner import Runner, choose_dtypes
from paceline.engine.scheduler import Rows
from paceline.engine.sequence import FinishReason, SamplingParams
from tests.engine.drive import Drive, Recorder
from tests.engine.tiny import (
    TINY,
    assert_greedy,
    naive_greedy,
    naive_logits,
    naive_logprobs,
    prompt,
    tiny_model,
)

FLOAT32 = EngineConfig(device="cpu", dtype="float32", num_threads=1)
MODEL = tiny_model()


def config_with(**changes: int | str) -> EngineConfig:
    return msgspec.structs.replace(FLOAT32, **changes)


@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_batched_is_single_is_naive(num_kv_heads: int) -> None:
    model = tiny_model(msgspec.structs.replace(TINY, num_kv_heads=num_kv_heads))
    prompts = [prompt(3 + 5 * i, seed=i) for i in range(6)]
    params = SamplingParams(max_tokens=12)
    together = Drive(model, config_with(max_prefill_tokens=16))
    batched = [together.add(ids, params) for ids in prompts]
    together.run()
    for ids, recorder in zip(prompts, batched, strict=True):
        alone = Drive(model, FLOAT32)
        single = alone.add(ids, params)
        alone.run()
        assert recorder.ids == single.ids == naive_greedy(model, ids, 12)
        assert_greedy(model, ids, recorder.tokens)


def test_every_logit_of_a_mixed_step_is_the_naive_one() -> None:
    runner = Runner(MODEL, FLOAT32)
    a, b = prompt(20, seed=1), prompt(9, seed=2)
    runner.forward([Rows(slot=5, start=0, token_ids=a[:13], num_logit_rows=0)])
    runner.forward([Rows(slot=2, start=0, token_ids=b[:8], num_logit_rows=1)])
    logits_RV = runner.forward(
        [Rows(2, 8, b[8:], 1), Rows(5, 13, a[13:], 7), Rows(0, 0, a[:2], 0), Rows(1, 0, b, 9)]
    )
    expected = torch.cat((naive_logits(MODEL, b)[8:], naive_logits(MODEL, a)[13:]))
    torch.testing.assert_close(logits_RV[:8], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(logits_RV[8:], naive_logits(MODEL, b), atol=1e-4, rtol=0)


def test_a_slot_used_again_shows_nothing_of_its_former_sequence() -> None:
    drive = Drive(MODEL, config_with(max_sequences=1))
    params = SamplingParams(max_tokens=8)
    recorders = [drive.add(prompt(length, seed=length), params) for length in (40, 3, 17)]
    drive.run()
    for length, recorder in zip((40, 3, 17), recorders, strict=True):
        assert recorder.ids == naive_greedy(MODEL, prompt(length, seed=length), 8)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_lower_precision_stays_close(dtype: str) -> None:
    """Alone and beside prompts, so that steps of few and of many rows meet in one cache."""
    ids = prompt(60)
    drive = Drive(MODEL, config_with(dtype=dtype, max_prefill_tokens=24))
    scored = drive.add(ids[:20], SamplingParams(), targets=tuple(ids[20:]))
    decoded = drive.add(ids[:9], SamplingParams(max_tokens=30))
    drive.run()
    expected = naive_logprobs(MODEL, ids[:20], ids[20:])
    assert max(abs(a - b) for (_, a), b in zip(scored.tokens, expected, strict=True)) <= 0.1
    assert_greedy(MODEL, ids[:9], decoded.tokens, tolerance=0.1)


def test_dtypes() -> None:
    cpu = torch.device("cpu")
    assert choose_dtypes("float32", cpu) == (torch.float32, torch.float32)
    assert choose_dtypes("bfloat16", cpu) == (torch.bfloat16, torch.bfloat16)
    assert choose_dtypes("auto", cpu)[0] is torch.float32


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of the property below."""

    at_step: int
    prompt_tokens: int
    max_tokens: int
    seed: int
    cancel_at_step: int | None
    num_targets: int


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at_step=st.integers(0, 12),
        prompt_tokens=st.integers(1, TINY.context_tokens - 1),
        max_tokens=st.integers(1, 10),
        seed=st.integers(0, 10_000),
        cancel_at_step=st.none() | st.integers(0, 20),
        num_targets=st.sampled_from([0, 0, 0, 1, 7, 40]),
    ),
    min_size=1,
    max_size=7,
)


@given(arrivals=ARRIVALS, slots=st.integers(1, 5), chunk=st.integers(1, 70))
@settings(max_examples=60)
def test_any_arrivals_and_chunks_give_the_naive_result(
    arrivals: list[Arrival], slots: int, chunk: int
) -> None:
    drive = Drive(MODEL, config_with(max_sequences=slots, max_prefill_tokens=chunk))
    recorders: dict[int, Recorder] = {}
    step = 0
    while drive.scheduler.has_work or step <= 20:
        for index, arrival in enumerate(arrivals):
            if arrival.at_step == step:
                recorders[index] = _add(drive, arrival)
            if arrival.cancel_at_step == step and index in recorders:
                recorders[index].is_cancel_requested = True
        drive.step()
        step += 1
    for index, arrival in enumerate(arrivals):
        _assert_right(arrival, recorders[index])
    _assert_cancelled_are_in_no_later_step(drive, arrivals, recorders)
    for chunks in drive.steps:
        prefill = [c for c in chunks if len(c.rows.token_ids) > 1]
        assert sum(len(c.rows.token_ids) for c in prefill) <= chunk
        assert len({c.rows.slot for c in chunks}) == len(chunks) <= slots


def _split(arrival: Arrival) -> tuple[list[int], list[int]]:
    """(prompt, targets); the targets are the end of the ids, so that they fit the window."""
    ids = prompt(arrival.prompt_tokens, seed=arrival.seed)
    count = min(arrival.num_targets, len(ids) - 1)
    return ids[: len(ids) - count], ids[len(ids) - count :]


def _add(drive: Drive, arrival: Arrival) -> Recorder:
    ids, targets = _split(arrival)
    params = SamplingParams(max_tokens=arrival.max_tokens)
    return drive.add(ids, params, targets=tuple(targets))


def _assert_right(arrival: Arrival, recorder: Recorder) -> None:
    ids, targets = _split(arrival)
    assert len(recorder.reasons) == 1
    reason = recorder.reasons[0]
    if targets:
        assert recorder.ids == targets[: len(recorder.ids)]
        expected = naive_logprobs(MODEL, ids, targets)
        for (_, logprob), wanted in zip(recorder.tokens, expected, strict=False):
            assert abs(logprob - wanted) <= 1e-4
    else:
        assert_greedy(MODEL, ids, recorder.tokens)
    if reason is FinishReason.CANCELLED:
        assert arrival.cancel_at_step is not None
    elif targets:
        assert reason is FinishReason.STOP
        assert len(recorder.ids) == len(targets)
    else:
        assert reason is FinishReason.LENGTH
        assert len(recorder.ids) == min(arrival.max_tokens, TINY.context_tokens - len(ids))


def _assert_cancelled_are_in_no_later_step(
    drive: Drive, arrivals: list[Arrival], recorders: dict[int, Recorder]
) -> None:
    for index, arrival in enumerate(arrivals):
        cancelled_at = arrival.cancel_at_step
        if cancelled_at is None or not recorders[index].is_cancel_requested:
            continue
        for chunks in drive.steps[cancelled_at:]:
            assert all(c.sequence.listener is not recorders[index] for c in chunks)
