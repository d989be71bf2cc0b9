"""What only a GPU can show: recorded steps, fp8, and that nothing is written outside of the cache."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from paceline.engine.cuda.linear import check_fp8
from paceline.engine.cuda.runner import CudaRunner
from paceline.engine.step import Rows
from paceline.model.config import ModelConfig
from tests.engine.cuda.tiny_models import FAMILIES, naive_logits, random_ids, random_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ALIGNED = ModelConfig(
    vocab_size=101,
    hidden_size=64,
    num_layers=2,
    num_heads=6,
    num_kv_heads=2,
    head_dim=32,
    ffn_size=96,
    context_tokens=128,
)
"""Widths in multiples of 16, as fp8 wants them."""


@pytest.mark.parametrize("family", FAMILIES)
def test_any_schedule_with_graphs_gives_the_model_s_logits(family: str):
    """Random chunks of three sequences in float32: replayed and launched steps in any order."""
    model, rng = random_model(FAMILIES[family]), random.Random(family)
    runner = CudaRunner(model, num_blocks=24, dtype="float32", operators="triton")
    runner.warm_up()
    num_replayed = num_launched = 0
    for seed in range(20):
        prompts = [random_ids(100, 3 * seed + i) for i in range(3)]
        expected = [naive_logits(model, ids) for ids in prompts]
        free = rng.sample(range(24), 21)
        tables, done = [free[i::3] for i in range(3)], [0, 0, 0]
        while min(done) < 100:
            step: list[Rows] = []
            wanted: list[Tensor] = []
            open_ids = [i for i in range(3) if done[i] < 100]
            for index in rng.sample(open_ids, k=rng.randint(1, len(open_ids))):
                start = done[index]
                end = min(100, start + rng.choice([1, 1, 1, 2, 5, 8, 9, 40]))
                num_logit_rows = rng.randint(0, end - start)
                ids = prompts[index][start:end]
                step.append(Rows(tables[index], start, ids, num_logit_rows))
                wanted.append(expected[index][end - num_logit_rows : end])
                done[index] = end
            num_replayed += runner.replays(step)
            num_launched += not runner.replays(step)
            ours = runner.forward(step).cpu()
            torch.testing.assert_close(ours, torch.cat(wanted), rtol=1e-3, atol=1e-3)
    assert min(num_replayed, num_launched) >= 20


def test_a_replayed_step_gives_the_bits_of_itself():
    """The same step twice, and within a larger bucket of other rows: no race, no leftover."""
    runner = CudaRunner(random_model(ALIGNED), num_blocks=24, operators="triton")
    runner.warm_up()
    ids = random_ids(40)
    runner.forward([Rows([3, 4, 5], 0, ids[:30], 0), Rows([6, 7], 0, ids[:20], 0)])
    step = [Rows([3, 4, 5], 30, ids[30:33], 3)]
    first = runner.forward(step)
    saved = first.cpu()
    for _ in range(50):
        for count in (3, 8):  # the same bucket, and a larger one
            runner.forward([Rows([6, 7], 20, ids[20 : 20 + count], count)])
        assert torch.equal(first.cpu(), saved), "logits changed after they were returned"
        assert torch.equal(runner.forward(step).cpu(), saved)


def test_fp8_steps_are_near_those_in_bfloat16():
    check_fp8(torch.device("cuda"), [ALIGNED.hidden_size])
    model, ids = random_model(ALIGNED), random_ids(60)
    expected = naive_logits(model, ids)
    for dtype, bound in (("bfloat16", 0.03), ("fp8", 0.15)):
        runner = CudaRunner(model, num_blocks=4, dtype=dtype)
        runner.warm_up()
        logits = runner.forward([Rows([0, 1, 2, 3], 0, ids, 60)]).cpu()
        assert (logits - expected).norm() < bound * expected.norm(), dtype
        again = runner.forward([Rows([0, 1, 2, 3], 59, ids[59:], 1)]).cpu()
        assert (again - logits[59:]).norm() < 0.05 * logits[59:].norm(), dtype
