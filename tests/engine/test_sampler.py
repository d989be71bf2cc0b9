"""Draws: reproducible, independent of the batch, and of the right distribution."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch

from paceline.engine.sampler import exponential_noise, pick
from paceline.engine.scheduler import Chunk, Rows
from paceline.engine.sequence import SamplingParams, Sequence
from tests.engine.drive import Drive, Recorder
from tests.engine.executors import CONFIG
from tests.engine.tiny import naive_logprobs, prompt, tiny_model

MODEL = tiny_model()


def row(params: SamplingParams) -> Chunk:
    """One decode row of a fresh sequence."""
    return Chunk(Sequence(1, [0], params, Recorder()), Rows(0, 0, [0], 1))


def draw(params: SamplingParams, *, num_mates: int, seed: int = 0) -> list[int]:
    drive = Drive(MODEL, CONFIG)
    mates = [
        drive.add(prompt(3 + i, seed=i), SamplingParams(temperature=0.5 * i, seed=i))
        for i in range(num_mates)
    ]
    recorder = drive.add(prompt(9, seed=seed), params)
    drive.run()
    assert all(mate.reasons for mate in mates)
    return recorder.ids


def test_same_seed_same_ids_whoever_shares_the_batch() -> None:
    params = SamplingParams(max_tokens=30, temperature=1.0, seed=7)
    alone = draw(params, num_mates=0)
    assert draw(params, num_mates=3) == draw(params, num_mates=7) == alone
    assert draw(msgspec.structs.replace(params, seed=8), num_mates=0) != alone


def test_without_a_seed_draws_differ() -> None:
    params = SamplingParams(max_tokens=30, temperature=1.0)
    assert draw(params, num_mates=0) != draw(params, num_mates=0)


def test_log_probabilities_are_those_at_temperature_one() -> None:
    drive = Drive(MODEL, CONFIG)
    ids = prompt(9)
    recorder = drive.add(ids, SamplingParams(max_tokens=20, temperature=2.0, seed=3))
    drive.run()
    expected = naive_logprobs(MODEL, ids, recorder.ids)
    assert [logprob for _, logprob in recorder.tokens] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    """4,000 seeded draws; each frequency within 5 standard deviations of its probability."""
    logits_V = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    num_draws = 4000
    counts = [0] * 5
    chunks = [row(SamplingParams(temperature=temperature, seed=seed)) for seed in range(num_draws)]
    for (picked,) in pick(chunks, logits_V.repeat(num_draws, 1)):
        counts[picked.token_id] += 1
    for count, p in zip(counts, (logits_V / temperature).softmax(-1).tolist(), strict=True):
        assert abs(count - num_draws * p) <= 5 * math.sqrt(num_draws * p * (1 - p))


def test_a_tiny_temperature_is_greedy() -> None:
    logits_RV = torch.randn(1, 50, generator=torch.Generator().manual_seed(1))
    ((picked,),) = pick([row(SamplingParams(temperature=1e-6, seed=1))], logits_RV)
    assert picked.token_id == int(logits_RV.argmax())


def test_noise_depends_on_seed_and_index_only() -> None:
    first = exponential_noise(64, 5, 3)
    torch.manual_seed(99)
    assert torch.equal(first, exponential_noise(64, 5, 3))
    others = [exponential_noise(64, seed, index) for seed, index in ((5, 4), (6, 3), (3, 5))]
    assert all(not torch.equal(first, other) for other in others)
    assert torch.isfinite(first.log()).all()
