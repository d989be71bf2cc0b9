"""Adapters as rows of a step equal merged weights; folders that do not fit are refused by name."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from paceline.engine.eager.runner import TorchRunner
from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter
from paceline.engine.lora_file import CONFIG_NAME, WEIGHTS_NAME, load_adapter
from paceline.model.decoder import CausalLm
from tests.engine.blocks import Pool, Track, run_randomly, run_step
from tests.engine.peft_folder import merge, write_adapter
from tests.engine.tiny import FAMILIES, TINY, naive_logits, prompt, tiny_model

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
GATED, PLAIN = ["gate_proj", "up_proj", "down_proj"], ["c_fc", "c_proj"]


def runner(model: CausalLm, dtype: str = "float64") -> TorchRunner:
    return TorchRunner(model, num_blocks=32, device="cpu", dtype=dtype)


def assert_equal(track: Track, model: CausalLm, within: float = 1e-9) -> None:
    expected_TV = naive_logits(model, track.ids)
    for position, logits_V in track.logits.items():
        assert (logits_V.double() - expected_TV[position].double()).abs().max() <= within


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_several_adapters_equals_merged_weights(family: str, tmp_path: Path) -> None:
    config = FAMILIES[family]
    model = tiny_model(config)
    executor = runner(model)
    all_targets = [*ATTENTION, *(GATED if config.ffn == "gated_silu" else PLAIN)]
    by_row = {0: model.double()}
    for row, targets in ((1, all_targets), (2, ["q_proj", "v_proj"]), (5, all_targets[3:])):
        folder = write_adapter(tmp_path / str(row), config, targets, seed=row)
        executor.set_adapter(row, load_adapter(folder, config))
        by_row[row] = merge(model, folder, 8 / 4)
    rng = random.Random(0)
    pool = Pool(32, rng)
    tracks = [
        Track(prompt(n, seed=n), pool.take(n), row)
        for n, row in ((30, 1), (9, 0), (50, 5), (41, 2), (17, 1), (66, 0))
    ]
    run_step(executor, [(track, 3, index % 4) for index, track in enumerate(tracks)])
    run_randomly(executor, tracks, rng)
    for track in tracks:
        assert_equal(track, by_row[track.adapter])


def test_an_adapter_changes_the_output_and_its_row_can_be_filled_anew(tmp_path: Path) -> None:
    model = tiny_model()
    executor = runner(model)
    folders = [write_adapter(tmp_path / str(i), TINY, ATTENTION, seed=i) for i in range(2)]
    ids, last = prompt(20), []
    for folder in folders:
        executor.set_adapter(1, load_adapter(folder, TINY))
        track = Track(ids, [0, 1], adapter=1)
        run_step(executor, [(track, 20, 20)])
        assert_equal(track, merge(model, folder, 2.0))
        last.append(track.logits[19])
    assert (last[0] - last[1]).abs().max() > 0.1
    executor.set_adapter(1, None)
    executor.set_adapter(9, None)
    with pytest.raises(AdapterError, match="row 1 is empty"):
        run_step(executor, [(Track(ids, [0, 1], adapter=1), 20, 1)])


def test_lower_precision_stays_close(tmp_path: Path) -> None:
    model = tiny_model()
    executor = runner(model, "auto")
    folder = write_adapter(tmp_path / "a", TINY, [*ATTENTION, *GATED])
    executor.set_adapter(1, load_adapter(folder, TINY))
    tracks = [Track(prompt(40, seed=i), [3 * i, 3 * i + 1, 3 * i + 2], i % 2) for i in range(4)]
    run_randomly(executor, tracks, random.Random(0))
    merged = {0: model, 1: merge(model, folder, 2.0)}
    for track in tracks:
        expected_TV = naive_logits(merged[track.adapter], track.ids).log_softmax(-1)
        for position, logits_V in track.logits.items():
            assert (logits_V.log_softmax(-1) - expected_TV[position]).abs().mean() <= 0.1


def test_rank_and_alpha_patterns_and_rank_stabilisation(tmp_path: Path) -> None:
    model = tiny_model()
    special = "model.layers.1.self_attn.q_proj"
    folder = write_adapter(
        tmp_path / "a",
        TINY,
        ["q_proj", "up_proj"],
        ranks={special: 2},
        rank_pattern={"layers.1.self_attn.q_proj": 2, "1.q_proj": 9},
        alpha_pattern={"up_proj": 3.0},
        use_rslora=True,
    )
    executor = runner(model)
    executor.set_adapter(1, load_adapter(folder, TINY))
    scales = {special: 8 / math.sqrt(2), special.replace("1", "0"): 8 / math.sqrt(4)}
    scales |= {f"model.layers.{layer}.mlp.up_proj": 3 / math.sqrt(4) for layer in range(2)}
    track = Track(prompt(25), [4, 2], adapter=1)
    run_step(executor, [(track, 25, 25)])
    assert_equal(track, merge(model, folder, scales), 1e-6)  # scale * B is rounded to float32


def test_unadapted_parts_are_none_and_fused_ranks_add_up(tmp_path: Path) -> None:
    targets = ["q_proj", "v_proj", "gate_proj"]
    folder = write_adapter(tmp_path / "fix-imports", TINY, targets, layers=range(1, 2))
    adapter = load_adapter(folder, TINY, base_name="models/Tiny-Base")
    assert adapter.name == "fix-imports"
    first, second = adapter.layers
    assert (first.qkv, first.out, first.ffn_in, first.ffn_out) == (None,) * 4
    assert second.qkv is not None and second.ffn_in is not None and second.out is None
    assert second.qkv.a_RI.shape == (8, TINY.hidden_size)
    width = TINY.num_heads * TINY.head_dim
    assert second.qkv.b_OR[:width, 4:].abs().max() == 0, "q's outputs read q's factor only"
    assert second.qkv.b_OR[width : width + 32].abs().max() == 0, "k is not adapted"
    assert second.ffn_in.b_OR[TINY.ffn_size :].abs().max() == 0


def test_bfloat16_files_are_read(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, TINY, ["q_proj"])
    path = folder / WEIGHTS_NAME
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    pair = load_adapter(folder, TINY).layers[0].qkv
    assert pair is not None and pair.a_RI.dtype == pair.b_OR.dtype == torch.float32


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"bias": "all"}, "bias 'all'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save \['lm_head'\]"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"use_dora": True}, "use_dora"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"r": 0}, "ranks must be at least 1"),
        ({"r": "four"}, r"\$\.r"),
        ({"rank_pattern": {"q_proj": 0}}, "ranks must be at least 1"),
        ({"alpha_pattern": {"^q.*": 2}}, r"'\^q\.\*' in rank_pattern or alpha_pattern"),
        ({"target_modules": ["q_proj", "lm_head"]}, "target module 'lm_head'"),
        ({"target_modules": ["embed_tokens"]}, "target module 'embed_tokens'"),
        ({"base_model_name_or_path": "someone/else"}, "'someone/else', not on 'tiny-base'"),
        ({"rank_pattern": {"q_proj": 3}}, r"q_proj.lora_A.weight has shape \[4, 32\]"),
    ],
)
def test_configurations_that_are_refused(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path, TINY, ["q_proj"])
    path = folder / CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(AdapterError, match=message) as caught:
        load_adapter(folder, TINY, base_name="tiny-base")
    assert str(folder) in str(caught.value)


NAME = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"


def _rename(new: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({new: tensors.pop(NAME)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.pop(NAME), f"lacks {NAME}"),
        (lambda t: t[NAME][3].fill_(float("nan")), f"{NAME} is not all finite"),
        (lambda t: t.update({NAME: t[NAME].int()}), f"{NAME} is not all finite"),
        (lambda t: t.update({NAME: t[NAME][:-1].clone()}), r"has shape \[63, 4\].* \[64, 4\]"),
        (lambda t: t.update({NAME: t[NAME].view(-1)}), r"has shape \[256\]"),
        (_rename(NAME.replace("1", "2")), "is of layer 2, but the model has 2 layers"),
        (_rename("base_model.model.lm_head.lora_B.weight"), "lm_head.lora_B.weight adapts no"),
        (_rename(NAME.replace("q_proj", "c_attn")), "c_attn.lora_B.weight adapts no projection"),
        (_rename(NAME.replace("lora_B", "lora_magnitude_vector")), "adapts no projection"),
        (lambda t: t.clear(), "holds no tensors"),
    ],
)
def test_tensors_that_are_refused(
    damage: Callable[[dict[str, torch.Tensor]], object], message: str, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path, TINY, ["q_proj"])
    tensors = load_file(folder / WEIGHTS_NAME)
    damage(tensors)
    save_file(tensors, folder / WEIGHTS_NAME)
    with pytest.raises(AdapterError, match=message) as caught:
        load_adapter(folder, TINY)
    assert str(folder / WEIGHTS_NAME) in str(caught.value)


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_missing_and_cut_files(name: str, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, TINY, ["q_proj"])
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"\xff\xfe\x00"):
        (folder / name).write_bytes(damaged)
        with pytest.raises(AdapterError, match=name):
            load_adapter(folder, TINY)
    (folder / name).unlink()
    with pytest.raises(AdapterError, match=f"{name} is missing"):
        load_adapter(folder, TINY)


def test_the_executor_refuses_an_adapter_of_another_shape(tmp_path: Path) -> None:
    other = msgspec.structs.replace(TINY, ffn_size=64)
    adapter = load_adapter(write_adapter(tmp_path, other, ["q_proj", "down_proj"]), other)
    executor = runner(tiny_model())
    with pytest.raises(AdapterError, match=r"layer 0, ffn_out.*\[32, 48\]"):
        executor.set_adapter(1, adapter)
    with pytest.raises(AdapterError, match="has 1 layers and the model 2"):
        executor.set_adapter(1, LoraAdapter("short", adapter.layers[:1]))
    with pytest.raises(AdapterError, match="row 0 is the base model's"):
        executor.set_adapter(0, adapter)
    run_step(executor, [(Track(prompt(5), [0]), 5, 1)])
