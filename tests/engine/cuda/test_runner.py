"""Whole steps of CudaRunner against the model's forward without a cache, in float32 (1e-4).

On a CPU the kernels are interpreted, and the padded steps that CUDA graphs would replay are computed
directly. What this cannot show: recording and replaying, streams, and anything about speed.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from paceline.core.errors import ConfigError
from paceline.engine.cuda.choose import load_operators
from paceline.engine.cuda.operators import Operators
from paceline.engine.cuda.runner import CudaRunner
from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter, LoraLayer, LoraPair
from paceline.engine.params import SamplingParams
from paceline.engine.sampler import Draw, pick
from paceline.engine.step import Rows
from tests.engine.cuda.tiny_models import FAMILIES, QWEN3, naive_logits, random_ids, random_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread():
    """Tiny products gain nothing by threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_runner(model, device: torch.device, operators, **options) -> CudaRunner:
    return CudaRunner(
        model, num_blocks=24, dtype="float32", device=device.type, operators=operators, **options
    )


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "mistral", "starcoder2"])  # each variant of a kernel
def test_mixed_steps_equal_the_model(family: str, device: torch.device, operators: Operators):
    model = random_model(FAMILIES[family])
    runner = make_runner(model, device, operators)
    ids = random_ids(34)
    expected = naive_logits(model, ids)
    ours, theirs = [3, 5, 1], [3, 9, 8]  # the first block is shared, the second is copied
    first = runner.forward([Rows(ours, 0, ids[:21], 2)])
    assert first.dtype == torch.float32
    assert_close(first, expected[19:21])
    runner.copy_blocks([(5, 9)])
    mixed = [Rows(ours, 21, ids[21:23], 1), Rows(theirs, 20, ids[20:33], 0)]
    assert_close(runner.forward(mixed), expected[22:23])
    decode = [Rows(theirs, 33, ids[33:34], 1), Rows(ours, 23, ids[23:24], 1)]
    assert_close(runner.forward(decode), expected[[33, 23]])


@pytest.mark.parametrize("family", FAMILIES)
def test_any_schedule_gives_the_model_s_logits(family: str, device: torch.device):
    """Random chunks of three sequences, before and after graphs are there, by the reference."""
    model, rng = random_model(FAMILIES[family]), random.Random(family)
    runner = make_runner(model, device, "reference", buckets=(1, 2, 4, 8, 16))
    runner.warm_up()
    prompts = [random_ids(100, seed) for seed in range(3)]
    expected = [naive_logits(model, ids) for ids in prompts]
    free = rng.sample(range(24), 21)
    tables, done = [free[i::3] for i in range(3)], [0, 0, 0]
    while min(done) < 100:
        step: list[Rows] = []
        wanted: list[Tensor] = []
        for index in rng.sample([i for i in range(3) if done[i] < 100], k=1 + (max(done) < 100)):
            start = done[index]
            end = min(100, start + rng.choice([1, 1, 2, 5, 8, 9, 40]))
            num_logit_rows = rng.randint(0, end - start)
            step.append(Rows(tables[index], start, prompts[index][start:end], num_logit_rows))
            wanted.append(expected[index][end - num_logit_rows : end])
            done[index] = end
        assert_close(runner.forward(step), torch.cat(wanted))


def test_padded_steps_equal_launched_ones(device: torch.device, operators: Operators):
    model = random_model(msgspec.structs.replace(QWEN3, num_layers=1))
    runner = make_runner(model, device, operators, buckets=(8,))
    runner.warm_up()
    ids = random_ids(26)
    expected = naive_logits(model, ids)
    table = [4, 2]
    assert_close(runner.forward([Rows(table, 0, ids[:18], 1)]), expected[17:18])
    step = [Rows(table, 18, ids[18:22], 2), Rows([4, 9], 16, ids[16:18], 1)]
    assert runner.replays(step), "this step should have been padded to eight rows"
    assert_close(runner.forward(step), expected[[20, 21, 17]])
    assert not runner.replays([Rows(table, 17, ids[17:26], 1)])
    assert_close(runner.forward([Rows(table, 22, ids[22:26], 0)]), expected[:0])


def test_the_fused_operators_are_within_bfloat16_of_the_model(
    device: torch.device, operators: Operators
):
    model = random_model(QWEN3)
    runner = CudaRunner(
        model, num_blocks=3, dtype="bfloat16", device=device.type, operators=operators
    )
    ids = random_ids(20)
    logits = runner.forward([Rows([0, 1], 0, ids, 20)]).cpu()
    expected = naive_logits(model, ids)
    error = (logits - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 0.03


def make_adapter(seed: int) -> LoraAdapter:
    generator = torch.Generator().manual_seed(seed)

    def pair(num_out: int, num_in: int) -> LoraPair:
        return LoraPair(
            torch.randn(3, num_in, generator=generator) * 0.1,
            torch.randn(num_out, 3, generator=generator) * 0.1,
        )

    M, F, E, A = 48, 70, 10 * 24, 6 * 24
    layer = LoraLayer(pair(E, M), pair(M, A), pair(2 * F, M), pair(M, F))
    half = LoraLayer(pair(E, M), None, None, pair(M, F))
    return LoraAdapter(f"a{seed}", (layer, half))


def test_adapters_share_a_step_and_equal_merged_weights(device: torch.device):
    ids = random_ids(20)
    runner = make_runner(random_model(QWEN3), device, "reference", buckets=(8,))
    runner.warm_up()
    wanted = [naive_logits(random_model(QWEN3), ids)[-1]]
    for row in (1, 2):
        adapter, merged = make_adapter(row), random_model(QWEN3)
        runner.set_adapter(row, adapter)
        add_to_weights(merged, adapter)
        wanted.append(naive_logits(merged, ids)[-1])
    step = [Rows([2 * a, 2 * a + 1], 0, ids, 1, adapter=a) for a in (1, 0, 2)]
    assert_close(runner.forward(step), torch.stack([wanted[1], wanted[0], wanted[2]]))
    runner.set_adapter(1, None)
    with pytest.raises(AdapterError, match="row 1 is empty"):
        runner.forward(step)


def add_to_weights(model, adapter: LoraAdapter) -> None:
    """Merge an adapter into the model's own, unfused weights."""
    with torch.no_grad():
        for layer, lora in zip(model.model.layers, adapter.layers, strict=True):
            attention, mlp = layer.self_attn, layer.mlp
            groups = (
                (lora.qkv, (attention.q_proj, attention.k_proj, attention.v_proj)),
                (lora.out, (attention.o_proj,)),
                (lora.ffn_in, (mlp.gate_proj, mlp.up_proj)),
                (lora.ffn_out, (mlp.down_proj,)),
            )
            for pair, modules in groups:
                if pair is None:
                    continue
                sizes = [module.weight.shape[0] for module in modules]
                for module, delta in zip(
                    modules, (pair.b_OR @ pair.a_RI).split(sizes), strict=True
                ):
                    module.weight += delta


def test_an_executor_says_what_it_has(device: torch.device):
    runner = make_runner(random_model(QWEN3), device, "reference")
    assert (runner.context_tokens, runner.vocab_size, runner.num_blocks) == (128, 101, 24)
    assert runner.block_bytes == 2 * 2 * 2 * 16 * 24 * 4
    assert runner.num_threads == 1
    matrices = 2 * (48 * 24 * 10 + 24 * 6 * 48 + 3 * 48 * 70) + 101 * 48
    assert runner.weight_bytes == 4 * matrices
    assert runner.device_line.startswith("cuda float32 on ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu", "dtype": "fp8"}, "needs an NVIDIA GPU"),
        ({"device": "cpu", "dtype": "int3"}, "must be one of"),
        ({"device": "cuda"}, "finds no GPU"),
    ],
)
def test_what_cannot_be_had_is_refused(options: dict[str, Any], message: str):
    if options["device"] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=message):
        CudaRunner(random_model(QWEN3), num_blocks=2, **options)


def test_a_step_that_would_write_elsewhere_is_stopped(device: torch.device):
    runner = make_runner(random_model(QWEN3), device, "reference")
    for bad in (
        Rows([0], 0, [101], 1),
        Rows([0], 16, [1], 1),
        Rows([24], 0, [1], 1),
        Rows([0] * 9, 128, [1], 1),
    ):
        with pytest.raises(AssertionError):
            runner.forward([bad])


def test_auto_takes_the_reference_on_a_cpu():
    from paceline.engine.cuda import reference

    assert load_operators("auto", torch.device("cpu")) is reference.OPERATORS


def test_the_sampler_draws_the_same_with_the_fused_pass(
    device: torch.device, operators: Operators
) -> None:
    runner = make_runner(random_model(QWEN3), device, operators)
    logits_RV = torch.randn(5, 300, generator=torch.Generator().manual_seed(1)).to(device)
    params = SamplingParams()
    draws = [
        Draw(params, 0, [], draft_ids=[int(logits_RV[0].argmax()), 7], num_logit_rows=3),
        Draw(SamplingParams(temperature=1.0), 3, []),
        Draw(params, 0, [], (), [5], 1),
    ]
    fused, plain = pick(draws, logits_RV, runner.likeliest), pick(draws, logits_RV)
    assert [[p.token_id for p in ps] for ps in fused] == [[p.token_id for p in ps] for ps in plain]
    for ours, theirs in zip(fused, plain, strict=True):
        assert [p.logprob for p in ours] == pytest.approx([p.logprob for p in theirs], abs=1e-5)
