"""Model folders against damage: every message names the file, and the field or the tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from paceline.core.errors import CheckpointError, ConfigError
from paceline.model.checkpoint import INDEX_NAME, load_model, save_model
from paceline.model.config import ModelConfig, RopeScaling
from paceline.model.config_json import end_token_ids, read_model_config, to_hugging_face
from paceline.model.decoder import CausalLm

CONFIG = ModelConfig(
    vocab_size=60,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    ffn_size=24,
    context_tokens=64,
)
K_PROJ = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = CausalLm(CONFIG)
    model.initialise(0)
    save_model(model, tmp_path)
    return tmp_path


def edit_config(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "config.json"
    raw = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in raw.items() if v != "absent"}))


def edit_weights(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    path = folder / "model.safetensors"
    tensors: dict[str, Any] = {k: v.clone() for k, v in load_file(path).items()} | changes
    save_file({k: v for k, v in tensors.items() if v is not None}, path)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("model.safetensors", lambda raw: raw[:-100], "model.safetensors is truncated or damaged"),
        ("model.safetensors", lambda raw: b"", "model.safetensors is truncated or damaged"),
        (
            "model.safetensors",
            lambda raw: b"\xff" * 99,
            "model.safetensors is truncated or damaged",
        ),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("config.json", None, "config.json is missing"),
        ("config.json", lambda raw: raw[:50], "not JSON"),
        ("config.json", lambda raw: b"[1]", "not a JSON object"),
        ("config.json", lambda raw: b"[" * 100_000, "not JSON"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, damage: Any, message: str) -> None:
    path = folder / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, 'model_type is "gpt2"; supported are qwen3, qwen2, llama'),
        ({"model_type": "absent"}, "model_type is null"),
        ({"vocab_size": "60"}, 'vocab_size is "60"'),
        ({"vocab_size": True}, "vocab_size is true"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": "absent"}, "lacks the field num_hidden_layers"),
        ({"intermediate_size": -5}, "intermediate_size is -5"),
        ({"hidden_size": 16.5}, "hidden_size is 16.5"),
        ({"max_position_embeddings": 1 << 40}, "max_position_embeddings is 1099511627776"),
        ({"max_position_embeddings": 10**9}, "is 1000000000; supported are at most 4194304"),
        ({"num_key_value_heads": 3}, "num_kv_heads"),
        ({"head_dim": 7}, "head_dim must be even"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is NaN"),
        ({"rope_theta": "big"}, 'rope_theta is "big"'),
        ({"rope_theta": 1.0}, "rope_theta is 1.0; it must be above 1"),
        ({"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"'),
        ({"hidden_act": "relu"}, 'hidden_act is "relu"; qwen3 is supported with silu only'),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"eos_token_id": "</s>"}, "eos_token_id"),
        ({"eos_token_id": [1, -1]}, "eos_token_id"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_scaling": 3}, "rope_scaling is 3; it must be an object"),
        ({"rope_scaling": {"type": "longrope"}}, 'rope_scaling.type is "longrope"'),
        ({"rope_scaling": {"rope_type": "su", "factor": 2}}, 'rope_scaling.rope_type is "su"'),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling.factor is null"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": -1}}, "rope_parameters.factor is -1"),
        ({"rope_scaling": {"type": "yarn", "truncate": False}}, "rope_scaling.truncate"),
        (
            {"rope_scaling": {"type": "llama3", "factor": 2, "low_freq_factor": 4}},
            "rope_scaling.high_freq_factor",
        ),
        (
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "max_window_layers is 1; a sliding window is supported in all layers or in none",
        ),
        (
            {
                "use_sliding_window": True,
                "sliding_window": 8,
                "layer_types": ["full_attention", "sliding_attention"],
            },
            "layer_types",
        ),
        (
            {"use_sliding_window": True, "sliding_window": 0, "max_window_layers": 0},
            "sliding_window",
        ),
    ],
)
def test_unsupported_configs_name_file_and_field(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(folder, changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert str(folder / "config.json") in str(caught.value)
    assert message in str(caught.value)


NAN = torch.full((16, 16), float("nan"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({K_PROJ: None}, f"lacks the tensor {K_PROJ}; "),
        ({K_PROJ: torch.zeros(16, 17)}, rf"safetensors: {K_PROJ} has shape \[16, 17\]"),
        ({K_PROJ: NAN}, f"{K_PROJ} has values that are not finite"),
        ({K_PROJ: -NAN.nan_to_num(nan=torch.inf).bfloat16()}, f"{K_PROJ} has values that are not"),
        ({K_PROJ: torch.zeros(16, 16, dtype=torch.int8)}, f"{K_PROJ} is int8"),
        (
            {"model.layers.7.mlp.w": torch.zeros(2)},
            "has a tensor model.layers.7.mlp.w that a qwen3",
        ),
        ({"model.layers.1.self_attn.k_proj.bias": torch.zeros(16)}, "k_proj.bias"),
    ],
)
def test_wrong_weights_name_the_tensor(
    folder: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    edit_weights(folder, changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


def test_known_surplus_is_ignored_and_half_precision_is_read(folder: Path) -> None:
    before = load_model(folder)
    surplus = {
        "lm_head.weight": torch.zeros(60, 16),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4),
    }
    halves = {
        name: value.to(torch.bfloat16 if "mlp" in name else torch.float16)
        for name, value in before.state_dict().items()
    }
    edit_weights(folder, surplus | halves)
    after = load_model(folder).state_dict()
    for name, value in halves.items():
        assert torch.equal(after[name], value.float())


def test_shards(folder: Path) -> None:
    """Split, loaded, split again, joined; each way of losing a part is named."""
    model = load_model(folder)
    save_model(model, folder, max_shard_bytes=6_000)
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 3 and not (folder / "model.safetensors").exists()
    assert all(shard.stat().st_size < 7_000 for shard in shards)
    again = load_model(folder)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    save_model(again, folder, max_shard_bytes=12_000)
    assert len(list(folder.glob("*.safetensors"))) < len(shards), (
        "no shard of the first save is left"
    )

    index = json.loads((folder / INDEX_NAME).read_text())
    name, shard = next(iter(index["weight_map"].items()))
    content = (folder / shard).read_bytes()
    (folder / shard).unlink()
    with pytest.raises(CheckpointError, match=f"{shard} is missing, but"):
        load_model(folder)
    (folder / shard).write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=f"{shard} is truncated"):
        load_model(folder)
    save_file(
        {k: v for k, v in again.state_dict().items() if k == "model.norm.weight"}, folder / shard
    )
    with pytest.raises(CheckpointError, match=f"{shard} lacks the tensor {name}, but"):
        load_model(folder)
    for broken, message in [
        ({"weight_map": {name: "../model.safetensors"}}, "no file of this folder"),
        ({"weight_map": {name: 3}}, "no file of this folder"),
        ({"weight_map": {}}, "names no tensors"),
        ({"weights": {}}, "has no weight_map"),
        ([1], "has no weight_map"),
    ]:
        (folder / INDEX_NAME).write_text(json.dumps(broken))
        with pytest.raises(CheckpointError, match=message):
            load_model(folder)
    save_model(again, folder)
    assert not (folder / INDEX_NAME).exists()
    load_model(folder)


def test_other_formats_are_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin; save them as"):
        load_model(folder)


def test_end_ids_of_both_files(folder: Path) -> None:
    edit_config(folder, {"eos_token_id": [7, 3]})
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 5]}')
    assert end_token_ids(folder) == {3, 5, 7}
    assert read_model_config(folder).end_token_id == 7
    (folder / "generation_config.json").write_text('{"eos_token_id": null}')
    assert end_token_ids(folder) == {3, 7}
    (folder / "generation_config.json").write_text('{"eos_token_id": 1.5}')
    with pytest.raises(CheckpointError, match=r"generation_config\.json: eos_token_id is 1\.5"):
        end_token_ids(folder)


def test_rope_is_found_in_every_place(folder: Path) -> None:
    """Old and new names say the same thing."""
    old = {"type": "linear", "factor": 4.0}
    expected = RopeScaling(kind="linear", factor=4.0, original_context_tokens=64)
    for changes in (
        {"rope_theta": 5e5, "rope_scaling": old},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 4}},
        {"rope_theta": "absent", "rope_parameters": {**old, "rope_theta": 5e5}},
        {"rope_theta": "absent", "rope_scaling": {**old, "rope_theta": 5e5}},
    ):
        edit_config(folder, {"rope_scaling": "absent", "rope_parameters": "absent"} | changes)
        config = read_model_config(folder)
        assert (config.rope_theta, config.rope_scaling) == (5e5, expected)


def test_a_config_that_its_family_cannot_say_is_not_saved(tmp_path: Path) -> None:
    from msgspec.structs import replace

    model = CausalLm(replace(CONFIG, family="llama"))
    with pytest.raises(ConfigError, match="A llama checkpoint cannot say"):
        save_model(model, tmp_path)
    assert to_hugging_face(CONFIG)["architectures"] == ["Qwen3ForCausalLM"]
