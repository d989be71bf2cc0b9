"""The native executor: close to the float32 model, and the same bits however a sequence is cut."""

from __future__ import annotations

import random

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter
from paceline.engine.native.runner import NativeRunner
from paceline.engine.step import Rows
from tests.engine.adapters import adapter_of, merged
from tests.engine.native_models import (
    NUM_BLOCKS,
    SHAPES,
    in_steps,
    model_of,
    moved,
    quantised_linear,
    relative_error,
    runner_of,
    table_of,
)
from tests.engine.tiny import TINY, naive_logits, prompt, tiny_model

MAX_ERROR = 0.06
"""Of 8-bit arithmetic against float32, on random weights that amplify every error. Trained: see test_native_quality."""


def ids_of(name: str, length: int, seed: int = 0) -> list[int]:
    return [i % SHAPES[name].vocab_size for i in prompt(length, seed)]


@pytest.mark.parametrize("name", SHAPES)
def test_every_family_agrees_with_the_float_model(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with its slow twin as closely as the twin with itself, once norms and biases move by 1e-4.

    Rounding to 8 bits makes steps, so two ways to compute the same differ wherever a value crosses one.
    """
    model, ids = model_of(name), ids_of(name, 90)
    logits_TV = in_steps(runner_of(name), ids, [90])
    assert relative_error(logits_TV, naive_logits(model, ids)) < MAX_ERROR
    monkeypatch.setattr(torch.nn.functional, "linear", quantised_linear)
    twin_TV, moved_TV = naive_logits(model, ids), naive_logits(moved(model, 1e-4), ids)
    assert relative_error(logits_TV, twin_TV) < 1.5 * relative_error(moved_TV, twin_TV)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=4, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=4),
    threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 10_000),
)
def test_bits_do_not_depend_on_chunks_neighbours_or_threads(
    name: str, lengths: list[int], threads: int, seed: int
) -> None:
    """Sequences advance by random pieces in shared steps; alone, one id at a time gives the same bits."""
    rng = random.Random(seed)
    adapters = [rng.randint(0, 2) for _ in lengths]
    runner = runner_of(name, threads)
    ids = [ids_of(name, length, i) for i, length in enumerate(lengths)]
    got: list[list[torch.Tensor]] = [[] for _ in lengths]
    done = [0] * len(lengths)
    while done != lengths:
        step, owners = list[Rows](), list[int]()
        for i, length in enumerate(lengths):
            size = min(rng.choice([0, 1, 4, 17, 40]), length - done[i])
            if size:
                step.append(Rows(table_of(i), done[i], ids[i][done[i] :][:size], size, adapters[i]))
                owners.append(i)
                done[i] += size
        parts = (
            () if not step else runner.forward(step).split([len(rows.token_ids) for rows in step])
        )
        for i, logits_RV in zip(owners, parts, strict=True):
            got[i].append(logits_RV)
    for i, adapter in enumerate(adapters):
        alone_TV = in_steps(runner_of(name), ids[i], [1] * len(ids[i]), adapter)
        assert torch.equal(torch.cat(got[i]), alone_TV)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 90), st.integers(0, 90))
def test_rows_without_logits_change_nothing(length: int, wanted: int) -> None:
    ids, wanted = ids_of("llama", length), min(wanted, length)
    runner = runner_of("llama")
    every_TV = in_steps(runner, ids, [length])
    last_RV = runner.forward(
        [
            Rows(table_of(0), 0, ids, wanted),
            Rows(table_of(1), 0, ids, 0),
            Rows(table_of(2), 0, ids, 1),
        ]
    )
    assert torch.equal(last_RV, torch.cat([every_TV[length - wanted :], every_TV[-1:]]))


def test_repeating_a_row_after_rejected_drafts_gives_the_same_bits() -> None:
    """Rows beyond the accepted ones leave rubbish in the block; later rows must not see it."""
    ids, runner = ids_of("mistral", 40), runner_of("mistral")
    wanted_TV = in_steps(runner, ids, [40])
    runner.forward([Rows(table_of(0), 0, ids[:30], 0)])
    runner.forward([Rows(table_of(0), 30, [5, 6, 7, 8], 4)])
    assert torch.equal(runner.forward([Rows(table_of(0), 30, ids[30:], 10)]), wanted_TV[30:])


def test_a_copied_block_serves_another_sequence() -> None:
    ids, runner = ids_of("qwen3", 45), runner_of("qwen3")
    wanted_TV = in_steps(runner, ids, [45])
    source, copy = table_of(0), table_of(1)
    runner.copy_blocks([(source[2], copy[2])])
    table = [*source[:2], copy[2]]
    assert torch.equal(runner.forward([Rows(table, 39, ids[39:], 6)]), wanted_TV[39:])


def test_other_sequences_rubbish_in_a_block_is_not_read() -> None:
    """A block that last held NaN must not reach the next owner, whose rows end inside it."""
    model = tiny_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = float("nan")
    runner = NativeRunner(model, num_blocks=2)
    ids = [i for i in prompt(20) if i != 7][:18]
    before_TV = runner.forward([Rows([0, 1], 0, ids, len(ids))])
    poisoned_TV = runner.forward([Rows([0, 1], 0, [7] * 32, 32)])
    assert poisoned_TV.isfinite().sum() == 0
    after_TV = runner.forward([Rows([0, 1], 0, ids, len(ids))])
    assert torch.equal(before_TV[:, :7], after_TV[:, :7])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "name",
    [
        "layers.0.self_attn.k_proj",
        "layers.1.self_attn.o_proj",
        "layers.0.mlp.up_proj",
        "layers.1.input_layernorm",
        "norm",
    ],
)
def test_a_damaged_weight_never_gives_finite_logits(name: str, value: float) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.get_parameter(f"model.{name}.weight").view(-1)[5] = value
    runner = NativeRunner(model, num_blocks=2)
    assert not runner.forward([Rows([0, 1], 0, prompt(20), 20)]).isfinite().all(-1).any()


@pytest.mark.parametrize("name", ["qwen3", "starcoder2", "odd"])
def test_an_adapter_equals_merged_weights(name: str) -> None:
    ids, runner = ids_of(name, 60), runner_of(name)
    lora = adapter_of(SHAPES[name], seed=1)
    adapted_TV = in_steps(runner, ids, [60], adapter=1)
    assert relative_error(adapted_TV, naive_logits(merged(model_of(name), lora), ids)) < MAX_ERROR
    assert relative_error(adapted_TV, in_steps(runner, ids, [60])) > 5 * MAX_ERROR


def test_an_adapter_that_does_not_fit_is_refused_and_the_old_one_stays() -> None:
    runner = NativeRunner(model_of("qwen3"), num_blocks=4)
    runner.set_adapter(3, adapter_of(TINY, seed=1))
    before = runner.forward([Rows([0], 0, [1, 2], 1, 3)])
    wrong = adapter_of(msgspec.structs.replace(TINY, ffn_size=50), seed=1)
    with pytest.raises(AdapterError, match=r"ffn_in.*\[100, 4\].*\[96, 4\]"):
        runner.set_adapter(3, wrong)
    with pytest.raises(AdapterError, match="1 layers"):
        runner.set_adapter(3, LoraAdapter("short", wrong.layers[:1]))
    assert torch.equal(runner.forward([Rows([0], 0, [1, 2], 1, 3)]), before)
    runner.set_adapter(3, None)
    with pytest.raises(ValueError, match="adapter"):
        runner.forward([Rows([0], 0, [1, 2], 1, 3)])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows([0], 0, [300], 1), "vocabulary"),
        (Rows([0], 0, [-1], 1), "vocabulary"),
        (Rows([NUM_BLOCKS], 0, [1], 1), "block"),
        (Rows([-1], 0, [1], 1), "block"),
        (Rows([0], 14, [1, 2, 3], 1), "block table is too short"),
        (Rows(list(range(10)), 90, [1] * 7, 1), "context"),
        (Rows([0], -1, [1], 1), "malformed"),
        (Rows([0], 0, [], 0), "malformed"),
        (Rows([0], 0, [1], 2), "malformed"),
        (Rows([0], 0, [1], 1, 9), "adapter"),
        (Rows([0], 0, [2**40], 1), "64 bits"),
    ],
)
def test_a_senseless_step_is_refused(rows: Rows, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner_of("qwen3").forward([rows])


def test_a_senseless_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="block"):
        runner_of("qwen3").copy_blocks([(0, NUM_BLOCKS)])


def test_sizes_and_an_empty_step() -> None:
    runner = runner_of("qwen3")
    assert runner.forward([]).shape == (0, TINY.vocab_size)
    assert (
        runner.block_bytes == 2 * 2 * (2 * 16) * 16 * 2
    )  # layers, heads, keys and values, tokens, bytes
    assert runner.bytes_per_token_kv * 16 == runner.block_bytes
    assert runner.weight_bytes > 0
    runner.warm_up()
