"""Steps over block tables give what one naive forward gives, in every family and dtype."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.engine.eager.runner import TorchRunner
from paceline.engine.eager.weights import block_bytes, choose_numbers
from paceline.engine.errors import AdapterError
from paceline.engine.step import BLOCK_TOKENS, Executor, Rows
from paceline.model.decoder import CausalLm
from tests.engine.blocks import Pool, Track, run_randomly, run_step
from tests.engine.tiny import FAMILIES, TINY, naive_logits, prompt, tiny_model

MODELS = {family: tiny_model(config) for family, config in FAMILIES.items()}
REFERENCES = {family: tiny_model(config).double() for family, config in FAMILIES.items()}
NUM_BLOCKS = 32
RUNNERS = {
    (family, dtype): TorchRunner(model, num_blocks=NUM_BLOCKS, device="cpu", dtype=dtype)
    for family, model in MODELS.items()
    for dtype in ("float64", "float32")
}
"""Shared by examples, so that every block has held other sequences before."""
LENGTHS = st.lists(st.integers(1, TINY.context_tokens), min_size=1, max_size=4)


def runner(dtype: str = "float64", family: str = "qwen3") -> TorchRunner:
    return TorchRunner(MODELS[family], num_blocks=NUM_BLOCKS, device="cpu", dtype=dtype)


def tracks_of(lengths: list[int], rng: random.Random) -> list[Track]:
    pool = Pool(NUM_BLOCKS, rng)
    return [Track(prompt(n, seed=rng.randrange(10_000)), pool.take(n)) for n in lengths]


def assert_naive(track: Track, model: CausalLm, *, within: float) -> None:
    """Compare all logits that were asked with those of a forward without a cache."""
    expected_TV = naive_logits(model, track.ids)
    for position, logits_V in track.logits.items():
        error = (logits_V.double() - expected_TV[position].double()).abs().max()
        assert error <= within, f"position {position}: {error:.3g}"


@pytest.mark.parametrize("family", FAMILIES)
@given(lengths=LENGTHS, seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_any_mixture_is_exact(family: str, lengths: list[int], seed: int) -> None:
    for dtype, within in (("float64", 1e-9), ("float32", 1e-4)):
        rng = random.Random(seed)
        tracks = tracks_of(lengths, rng)
        run_randomly(RUNNERS[family, dtype], tracks, rng)
        reference = REFERENCES[family] if dtype == "float64" else MODELS[family]
        for track in tracks:
            assert_naive(track, reference, within=within)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_lower_precision_stays_close(dtype: str, family: str) -> None:
    rng = random.Random(1)
    tracks = tracks_of([60, 9, 96, 17], rng)
    run_randomly(runner(dtype, family), tracks, rng)
    for track in tracks:
        expected_TV = naive_logits(MODELS[family], track.ids).log_softmax(-1)
        for position, logits_V in track.logits.items():
            assert logits_V.dtype == torch.float32
            error = (logits_V.log_softmax(-1) - expected_TV[position]).abs()
            assert error.mean() <= 0.05
            assert error.max() <= 0.3


def test_neighbouring_blocks_are_read_without_copy_and_give_the_same() -> None:
    executor = runner()
    ids = prompt(70)
    orders = [list(range(5)), [9, 5, 8, 6, 7]]
    tracks = [Track(ids, blocks) for blocks in orders]
    for track in tracks:
        run_step(executor, [(track, 64, 0)])
    run_step(executor, [(track, 6, 6) for track in tracks])
    for track in tracks:
        assert_naive(track, REFERENCES["qwen3"], within=1e-9)


def test_sequences_share_blocks_that_neither_writes() -> None:
    executor = runner()
    common = prompt(2 * BLOCK_TOKENS)
    a = Track([*common, *prompt(20, seed=1)], [5, 3, 9, 11])
    b = Track([*common, *prompt(30, seed=2)], [5, 3, 0, 1])
    run_step(executor, [(a, 40, 8)])
    b.num_computed = len(common)
    run_step(executor, [(b, 7, 7), (a, 5, 5)])
    run_step(executor, [(a, a.num_left, 1), (b, b.num_left, 1)])
    for track in (a, b):
        assert_naive(track, REFERENCES["qwen3"], within=1e-9)


def test_a_copied_block_is_continued_apart_from_its_original() -> None:
    executor = runner()
    common = prompt(23)
    a = Track([*common, *prompt(25, seed=1)], [2, 7, 4])
    run_step(executor, [(a, 30, 1)])
    b = Track([*common, *prompt(25, seed=2)], [2, 6, 8], num_computed=len(common))
    c = Track([*common[:20], *prompt(12, seed=3)], [2, 9], num_computed=20)
    executor.copy_blocks([(7, 6), (7, 9)])
    executor.copy_blocks([])
    run_step(executor, [(b, 20, 20), (a, 10, 10), (c, 12, 12)])
    run_step(executor, [(a, a.num_left, 1), (b, b.num_left, 5)])
    for track in (a, b, c):
        assert_naive(track, REFERENCES["qwen3"], within=1e-9)


def test_copies_read_all_sources_first() -> None:
    executor = runner()
    a, b = Track(prompt(17, seed=1), [0, 1]), Track(prompt(17, seed=2), [2, 3])
    run_step(executor, [(a, 16, 0), (b, 16, 0)])
    executor.copy_blocks([(0, 2), (2, 0)])
    a.block_ids, b.block_ids = [2, 1], [0, 3]
    run_step(executor, [(a, 1, 1), (b, 1, 1)])
    for track in (a, b):
        assert_naive(track, REFERENCES["qwen3"], within=1e-9)


@pytest.mark.parametrize("family", ["mistral", "starcoder2"])
def test_blocks_that_the_window_has_left_are_not_read(family: str) -> None:
    """The scheduler may give them away."""
    executor = runner(family=family)
    track = Track(prompt(90), [0, 1, 2, 3, 4, 5])
    run_step(executor, [(track, 80, 80)])
    other = Track(prompt(16, seed=5), [0])
    run_step(executor, [(other, 16, 16)])
    run_step(executor, [(track, 1, 1)])
    run_step(executor, [(track, 9, 9)])
    for each in (track, other):
        assert_naive(each, REFERENCES[family], within=1e-9)


def test_nan_of_a_former_owner_is_never_read() -> None:
    executor = runner()
    executor._cache._layers_JLD[0].fill_(float("nan"))
    track = Track(prompt(21), [4, 2])
    run_step(executor, [(track, 19, 19)])
    run_step(executor, [(track, 2, 2)])
    assert_naive(track, REFERENCES["qwen3"], within=1e-9)


def test_a_step_without_logits_returns_none_and_a_warm_up_leaves_nothing() -> None:
    executor = runner()
    executor.warm_up()
    assert executor.forward([Rows([3], 0, prompt(9), 0)]).shape == (0, TINY.vocab_size)
    track = Track(prompt(12), [3], num_computed=9)
    run_step(executor, [(track, 3, 3)])
    assert_naive(track, REFERENCES["qwen3"], within=1e-9)


@pytest.mark.parametrize("num_blocks", [1, 3])
def test_warm_up_fits_a_small_cache(num_blocks: int) -> None:
    TorchRunner(MODELS["qwen3"], num_blocks=num_blocks, device="cpu").warm_up()


def test_it_is_an_executor_and_counts_its_memory() -> None:
    executor: Executor = runner("float32")
    assert executor.block_bytes == block_bytes(TINY, "float32", "cpu")
    assert executor.block_bytes == 16 * 2 * TINY.num_kv_heads * TINY.head_dim * 4 * TINY.num_layers
    assert block_bytes(TINY, "bfloat16", "cpu") * 2 == executor.block_bytes
    assert (executor.num_blocks, executor.vocab_size) == (NUM_BLOCKS, TINY.vocab_size)
    assert runner("float64").weight_bytes >= 8 * TINY.num_matmul_parameters
    assert runner("float64").weight_bytes < 3 * 8 * TINY.num_parameters


def test_numbers() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_numbers("float64", cpu) == (torch.float64, torch.float64, False, False)
    assert choose_numbers("float32", cuda) == (torch.float32, torch.float32, False, False)
    assert choose_numbers("bfloat16", cpu) == (torch.bfloat16, torch.float32, True, False)
    assert choose_numbers("bfloat16", cuda) == (torch.bfloat16, torch.float32, False, False)
    with pytest.raises(ConfigError, match=r"engine\.dtype 'fp8'"):
        choose_numbers("fp8", cpu)


def test_an_empty_adapter_row_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(AdapterError, match="row 2 is empty"):
        runner().forward([Rows([0], 0, [1, 2], 1, adapter=2)])
