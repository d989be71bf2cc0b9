"""Draws: reproducible, independent of batch and drafts, and of the right distribution."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence as Ids

import hypothesis
import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from paceline.core.errors import InputError
from paceline.engine.params import FinishReason, Guide, SamplingParams
from paceline.engine.sampler import Draw, Picked, count_accepted, gumbel_noise, pick

VOCAB = 12


def seeded(*shape: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def one(params: SamplingParams, logits_V: Tensor, *, output_ids: Ids[int] = ()) -> Picked:
    """What the next draw of a sequence gives."""
    ((picked,),) = pick([Draw(params, params.seed or 0, list(output_ids))], logits_V[None])
    return picked


def slow_probabilities(params: SamplingParams, logits_V: Tensor) -> list[float]:
    """Slow twin of the truncations: sort everything, walk down, in float64."""
    p = (logits_V.double() / params.temperature).softmax(-1).tolist()
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    if params.top_k is not None and params.top_k < len(p):
        order = [i for i in order if p[i] >= p[order[params.top_k - 1]]]
    total, below, kept = sum(p[i] for i in order), 0.0, []
    for i in order:
        if below < params.top_p * total:
            kept.append(i)
        below += p[i]
    kept = [i for i in kept if p[i] >= params.min_p * p[order[0]]]
    total = sum(p[i] for i in kept)
    return [p[i] / total if i in kept else 0.0 for i in range(len(p))]


TRUNCATIONS = [
    SamplingParams(temperature=1.0),
    SamplingParams(temperature=0.5),
    SamplingParams(temperature=2.0),
    SamplingParams(temperature=1.0, top_k=3),
    SamplingParams(temperature=1.5, top_p=0.7),
    SamplingParams(temperature=1.0, min_p=0.2),
    SamplingParams(temperature=1.3, top_k=7, top_p=0.9, min_p=0.05),
]


@pytest.mark.parametrize("params", TRUNCATIONS, ids=range(len(TRUNCATIONS)))
def test_frequencies_pass_a_chi_square_test(params: SamplingParams) -> None:
    """6,000 seeded draws; the bound is that of one false alarm in a million (Wilson-Hilferty)."""
    logits_V, num_draws = seeded(VOCAB, seed=3), 6000
    draws = [Draw(params, seed, [0] * (seed % 5)) for seed in range(num_draws)]
    counts = [0] * VOCAB
    for (picked,) in pick(draws, logits_V.repeat(num_draws, 1)):
        counts[picked.token_id] += 1
    expected = [num_draws * p for p in slow_probabilities(params, logits_V)]
    assert all(count == 0 for count, e in zip(counts, expected, strict=True) if e == 0)
    pairs = [(c, e) for c, e in zip(counts, expected, strict=True) if e > 0]
    chi2 = sum((count - e) ** 2 / e for count, e in pairs)
    freedom = len(pairs) - 1
    bound = freedom * (1 - 2 / (9 * freedom) + 4.75 * math.sqrt(2 / (9 * freedom))) ** 3
    assert chi2 <= bound, (chi2, bound, counts, expected)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 10_000),
    top_k=st.none() | st.integers(1, 40),
    top_p=st.floats(0.05, 1),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    has_ties=st.booleans(),
)
def test_what_is_drawn_is_what_the_slow_twin_keeps(
    seed: int, top_k: int | None, top_p: float, min_p: float, has_ties: bool
) -> None:
    logits_V = seeded(40, seed=seed)
    logits_V = logits_V.round() if has_ties else logits_V
    params = SamplingParams(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    allowed = slow_probabilities(params, logits_V)
    mask_V = torch.tensor(allowed) > 0
    noise_V = torch.from_numpy(gumbel_noise(np.arange(40), seed, 0))
    expected = (logits_V + noise_V).masked_fill(~mask_V, -torch.inf)
    picked = one(params, logits_V).token_id
    assert expected[picked] >= expected.max() - 1e-4


class Table(Guide):
    """Allows a pseudo-random set that depends on the ids so far, sometimes all."""

    def allowed_ids(self, output_ids: Ids[int]) -> list[int] | None:
        chance = random.Random(repr(list(output_ids)))
        return None if chance.random() < 0.3 else chance.choices(range(VOCAB), k=4)


def row_after(ids: Ids[int], salt: int) -> Tensor:
    """The toy model: logits are a function of the ids so far."""
    return seeded(VOCAB, seed=hash((tuple(ids), salt)) % 2**31)


met: Counter[str] = Counter()


def generate(params: SamplingParams, salt: int, drafts: random.Random | None) -> list[Picked]:
    """Run a sequence to its end; with a source of drafts, each drafted id is right 8 times in 10."""
    picked: list[Picked] = []
    truth = generate(params, salt, None) if drafts else []
    while not picked or picked[-1].finish is None:
        ids = [p.token_id for p in picked]
        draft_ids = []
        if drafts:
            draft_ids = [p.token_id for p in truth[len(ids) : len(ids) + drafts.randrange(6)]]
            draft_ids = [i if drafts.random() < 0.8 else drafts.randrange(VOCAB) for i in draft_ids]
        rows = [row_after([*ids, *draft_ids[:k]], salt) for k in range(len(draft_ids) + 1)]
        draw = Draw(params, params.seed or 0, ids, draft_ids, (), len(rows))
        mate = Draw(SamplingParams(temperature=1.0), 5, [])
        (new, _) = pick([draw, mate], torch.stack([*rows, row_after([], 1)]))
        assert 1 <= len(new) <= len(rows)
        num_accepted = count_accepted(draft_ids, new)
        assert num_accepted in (len(new) - 1, len(new))
        met["accepted"] += num_accepted
        met["rejected"] += num_accepted < min(len(new), len(draft_ids))
        picked += new
    return picked


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    salt=st.integers(0, 10_000),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_k=st.none() | st.integers(1, 6),
    top_p=st.sampled_from([0.6, 1.0]),
    has_guide=st.booleans(),
    first_ids=st.none() | st.just(frozenset(range(2, VOCAB))),
    stop_ids=st.frozensets(st.integers(0, VOCAB - 1), max_size=1),
    stops_at=st.integers(2, 14),
    num_top_logprobs=st.integers(0, 3),
)
def check_drafts_change_nothing(
    salt: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    has_guide: bool,
    first_ids: frozenset[int] | None,
    stop_ids: frozenset[int],
    stops_at: int,
    num_top_logprobs: int,
) -> None:
    params = SamplingParams(
        max_tokens=10,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        guide=Table() if has_guide else None,
        first_ids=None if has_guide else first_ids,
        stop_ids=stop_ids,
        stop=lambda ids: len(ids) >= stops_at,
        seed=salt,
        num_top_logprobs=num_top_logprobs,
    )
    plain = generate(params, salt, None)
    drafted = generate(params, salt, random.Random(salt))
    assert [(p.token_id, p.finish) for p in plain] == [(p.token_id, p.finish) for p in drafted]
    assert [p.logprob for p in plain] == pytest.approx([p.logprob for p in drafted], abs=1e-5)
    assert [[i for i, _ in p.top] for p in plain] == [[i for i, _ in p.top] for p in drafted]


def test_drafts_never_change_what_is_drawn() -> None:
    met.clear()
    check_drafts_change_nothing()
    assert met["accepted"] >= 20 and met["rejected"] >= 20, met


def test_greedy_drafts_are_walked_until_the_first_surprise() -> None:
    logits_RV = torch.eye(VOCAB)[[3, 4, 5, 6]] * 9
    params = SamplingParams(max_tokens=20)

    def walk(draft_ids: list[int], **changes: object) -> tuple[list[int], FinishReason | None]:
        changed = msgspec.structs.replace(params, **changes)
        (picked,) = pick([Draw(changed, 0, [1], draft_ids, (), 4)], logits_RV)
        return [p.token_id for p in picked], picked[-1].finish

    assert walk([3, 4, 5]) == ([3, 4, 5, 6], None)
    assert walk([3, 9, 5]) == ([3, 4], None)
    assert walk([9, 4, 5]) == ([3], None)
    assert walk([3, 4, 5], stop_ids=frozenset([4])) == ([3, 4], FinishReason.STOP)
    assert walk([3, 4, 5], max_tokens=3) == ([3, 4], FinishReason.LENGTH)
    assert walk([3, 4, 5], stop=lambda ids: ids == [1, 3]) == ([3], FinishReason.STOP)
    assert walk([3, 4, 5], stop_ids=frozenset([4]), max_tokens=3)[1] is FinishReason.STOP


def test_log_probabilities_are_those_of_the_model_alone_at_temperature_one() -> None:
    logits_V = seeded(VOCAB)
    expected = logits_V.log_softmax(-1).tolist()
    for params in (
        SamplingParams(),
        SamplingParams(temperature=2.0, top_k=3, seed=3),
        SamplingParams(first_ids=frozenset([7, 8]), num_top_logprobs=3),
    ):
        picked = one(params, logits_V)
        assert picked.logprob == pytest.approx(expected[picked.token_id], abs=1e-5)
        best = sorted(range(VOCAB), key=lambda i: -expected[i])[: params.num_top_logprobs]
        assert [i for i, _ in picked.top] == best
        assert [p for _, p in picked.top] == pytest.approx([expected[i] for i in best], abs=1e-5)


def test_greedy_is_the_smallest_of_the_largest_and_so_are_masks() -> None:
    logits_V = torch.tensor([0.0, 5.0, 3.0, 5.0, 3.0])
    assert one(SamplingParams(), logits_V).token_id == 1
    masked = SamplingParams(first_ids=frozenset([4, 2, 0]))
    assert one(masked, logits_V).token_id == 2
    assert one(masked, logits_V, output_ids=[9]).token_id == 1
    assert one(SamplingParams(num_top_logprobs=3), logits_V).top[2][0] == 2


@pytest.mark.parametrize("temperature", [1e-6, 1e-45])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    logits_V = seeded(50, seed=1)
    params = SamplingParams(temperature=temperature, seed=1)
    assert one(params, logits_V).token_id == int(logits_V.argmax())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=1.0, top_p=0.5)])
def test_a_bad_row_is_an_error_of_its_own_draw_only(bad: float, params: SamplingParams) -> None:
    logits_RV = seeded(5, VOCAB)
    clean = pick([Draw(params, 3, []), Draw(params, 4, [])], logits_RV[[0, 4]])
    logits_RV[2, 5] = bad
    drafted = int(logits_RV[1].argmax())
    greedy = SamplingParams()
    draws = [Draw(params, 3, []), Draw(greedy, 0, [], [drafted, 0], (), 3), Draw(params, 4, [])]
    first, middle, last = pick(draws, logits_RV)
    assert [first, last] == clean
    assert middle[0].token_id == drafted
    assert middle[-1].finish is FinishReason.ERROR
    assert math.isnan(middle[-1].logprob)
    ruined = one(params, torch.full((VOCAB,), -math.inf))
    assert ruined.finish is FinishReason.ERROR


class Fixed(Guide):
    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def allowed_ids(self, output_ids: Ids[int]) -> list[int]:
        return self.ids


def fails(ids: Ids[int]) -> bool:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (SamplingParams(guide=Fixed([])), InputError),
        (SamplingParams(guide=Fixed([1]), first_ids=frozenset([2])), InputError),
        (SamplingParams(guide=Fixed([-1, 2])), InputError),
        (SamplingParams(guide=Fixed([VOCAB])), IndexError),
        (SamplingParams(stop=fails), ZeroDivisionError),
    ],
)
def test_a_guide_or_callback_that_fails_ends_its_own_draw(
    params: SamplingParams, error: type[Exception]
) -> None:
    good = Draw(SamplingParams(), 0, [])
    first, (broken,), last = pick([good, Draw(params, 0, []), good], seeded(3, VOCAB))
    assert broken.finish is FinishReason.ERROR
    assert isinstance(broken.error, error)
    assert [first[0].finish, last[0].finish] == [None, None]


def test_scored_rows_are_their_targets_and_a_guide_narrows_them() -> None:
    logits_RV = seeded(6, VOCAB, seed=8)
    allowed = [1, 4, 7]
    free = Draw(SamplingParams(), 0, [3], (), [9, 2], 2)
    held = Draw(SamplingParams(guide=Fixed(allowed)), 0, [], (), [4, 2], 2)
    none = Draw(SamplingParams(), 0, [], (), (), 0)
    drawn, scored, skipped, narrowed, last = pick(
        [Draw(SamplingParams(), 0, []), free, none, held, Draw(SamplingParams(), 0, [])], logits_RV
    )
    assert skipped == []
    assert [drawn[0].token_id, last[0].token_id] == logits_RV[[0, 5]].argmax(-1).tolist()
    assert [p.token_id for p in scored] == [9, 2]
    expected = logits_RV.log_softmax(-1)
    assert [p.logprob for p in scored] == pytest.approx(expected[[1, 2], [9, 2]].tolist(), abs=1e-5)
    among = logits_RV[3, allowed].log_softmax(-1)[1]
    assert narrowed[0].logprob == pytest.approx(float(among), abs=1e-5)
    assert narrowed[1].logprob == -math.inf


def test_noise_depends_on_seed_index_and_id_only() -> None:
    ids = np.arange(4096)
    first = gumbel_noise(ids, 5, 3)
    assert np.array_equal(first[17:900], gumbel_noise(ids[17:900], 5, 3))
    for seed, index in ((5, 4), (6, 3), (3, 5), (-5, 3), (5 + 2**40, 3)):
        other = gumbel_noise(ids, seed, index)
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.08
    assert np.isfinite(first).all()


def test_noise_is_gumbel_for_every_id_and_index() -> None:
    """Kolmogorov-Smirnov over ids, over indices and over seeds; bound of one alarm in a million."""
    count = 4000
    one_id = np.array([77])
    samples = {
        "ids": gumbel_noise(np.arange(count), 1, 1),
        "indices": np.concatenate([gumbel_noise(one_id, 1, index) for index in range(count)]),
        "seeds": np.concatenate([gumbel_noise(one_id, seed, 1) for seed in range(count)]),
    }
    for name, sample in samples.items():
        uniform = np.sort(np.exp(-np.exp(-sample.astype(np.float64))))
        distance = np.abs(uniform - (np.arange(count) + 0.5) / count).max()
        assert distance < 2.7 / math.sqrt(count), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", 0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("min_p", math.nan),
        ("num_top_logprobs", -1),
        ("num_top_logprobs", 21),
        ("stop_ids", frozenset([3, -1])),
        ("first_ids", frozenset[int]()),
        ("first_ids", frozenset([-2])),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        SamplingParams(**{field: value})  # pyright: ignore[reportArgumentType]
