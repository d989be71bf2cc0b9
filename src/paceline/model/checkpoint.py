"""Model folders: `config.json` + safetensors in and out, as Hugging Face writes them.

    model.safetensors                       all weights, or
    model.safetensors.index.json            {"weight_map": {tensor: shard}}, and its shards
    model-00001-of-00002.safetensors ...

Weights are read one tensor at a time, whatever their float type, and are float32 afterwards. Whatever
is wrong with them is said with the name of the file and of the tensor, before a model exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from paceline.core.errors import CheckpointError, ConfigError
from paceline.model.config_json import (
    CONFIG_NAME,
    GENERATION_NAME,
    read_model_config,
    to_hugging_face,
)
from paceline.model.decoder import CausalLm

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_SHARD_BYTES = 49_000_000
"""Just under what code hosts accept as one file."""

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_DERIVED = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Ends of names that old checkpoints have and that follow from the config."""


def save_model(
    model: CausalLm,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write config and weights into `folder`; a tied head is not stored twice.

    Weights beyond `max_shard_bytes` go into several files, split between tensors. Weight files of an
    earlier save are removed.

    Raises:
        ConfigError: no model of `config.family` has this shape, so it could not be loaded again.
        CheckpointError: the weights could not be written (full disk).
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = to_hugging_face(model.config)
    config["torch_dtype"] = str(dtype).removeprefix("torch.")
    _write_json(folder / CONFIG_NAME, config)
    if read_model_config(folder) != model.config:
        raise ConfigError(
            f"A {model.config.family} checkpoint cannot say all of this config; change family or flags."
        )
    end = model.config.end_token_id
    _write_json(folder / GENERATION_NAME, {"eos_token_id": end, "pad_token_id": end})
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in model.named_parameters()
    }
    _save_shards(tensors, folder, max_shard_bytes)


def load_model(folder: Path) -> CausalLm:
    """Read a model in float32, ready to evaluate.

    Raises:
        CheckpointError: a file is missing, truncated, or does not fit the config, or a weight is not
            finite.
    """
    config = read_model_config(folder)
    with torch.device("meta"):
        model = CausalLm(config)
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for path, names in _weight_files(folder):
        for name, tensor in _read_tensors(path, names):
            if name in expected:
                _check(tensor, name, path, expected[name])
                tensors[name] = tensor.float()
            elif not _is_ignorable(name, is_tied=config.is_tied):
                raise CheckpointError(
                    f"{path} has a tensor {name} that a {config.family} model lacks; "
                    "it does not fit config.json."
                )
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{folder} lacks the tensor {missing[0]}{_and_more(len(missing) - 1)}; "
            "the weights do not fit config.json."
        )
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _and_more(count: int) -> str:
    return f" and {count} more" if count else ""


def _is_ignorable(name: str, *, is_tied: bool) -> bool:
    return name.endswith(_DERIVED) or (is_tied and name == "lm_head.weight")


def _check(tensor: Tensor, name: str, path: Path, shape: torch.Size) -> None:
    if tensor.shape != shape:
        raise CheckpointError(
            f"{path}: {name} has shape {list(tensor.shape)}, config.json says {list(shape)}."
        )
    if tensor.dtype not in FLOATS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{path}: {name} is {kind}, but only float32, bfloat16, float16 and float64 weights are read."
        )
    low, high = torch.aminmax(tensor)
    if not (low.isfinite() and high.isfinite()):
        raise CheckpointError(
            f"{path}: {name} has values that are not finite (NaN or infinity); copy the model again."
        )


def _weight_files(folder: Path) -> list[tuple[Path, list[str] | None]]:
    """Weight files with the tensors that the index promises of each; None is all there are."""
    whole, index = folder / WEIGHTS_NAME, folder / INDEX_NAME
    if whole.is_file():
        return [(whole, None)]
    if index.is_file():
        shards = _read_index(index)
        for shard in shards:
            if not (folder / shard).is_file():
                raise CheckpointError(
                    f"{folder / shard} is missing, but {INDEX_NAME} names it; copy the model again."
                )
        return [(folder / shard, names) for shard, names in shards.items()]
    if any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(
            f"{folder} has its weights as pytorch_model.bin; save them as {WEIGHTS_NAME} first."
        )
    raise CheckpointError(f"{whole} is missing; copy the model again or train one.")


def _read_index(path: Path) -> dict[str, list[str]]:
    """The tensors of each shard."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        places = cast("dict[str, Any]", dict(raw["weight_map"]))
    except (OSError, ValueError, TypeError, KeyError) as cause:
        raise CheckpointError(
            f"{path} has no weight_map of tensors to files ({cause!r}); copy the model again."
        ) from cause
    shards: dict[str, list[str]] = {}
    for name, shard in places.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(
                f"{path}: the tensor {name} is in {shard!r}, which is no file of this folder."
            )
        shards.setdefault(shard, []).append(name)
    if not shards:
        raise CheckpointError(f"{path} names no tensors; copy the model again.")
    return shards


def _read_tensors(path: Path, promised: list[str] | None) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = cast("list[str]", list(file.keys()))
            for name in promised or ():
                if name not in names:
                    raise CheckpointError(
                        f"{path} lacks the tensor {name}, but {INDEX_NAME} says it has it; "
                        "copy the model again."
                    )
            for name in names:
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError, ValueError) as cause:
        raise CheckpointError(
            f"{path} is truncated or damaged ({cause}); copy the model again."
        ) from cause


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _save_shards(tensors: dict[str, Tensor], folder: Path, max_shard_bytes: int) -> None:
    if max_shard_bytes < 1:
        raise ConfigError(f"max_shard_bytes must be at least 1, not {max_shard_bytes}.")
    for stale in (*folder.glob("model-*-of-*.safetensors"), folder / INDEX_NAME):
        stale.unlink(missing_ok=True)
    shards = _split(tensors, max_shard_bytes)
    if len(shards) == 1:
        _save_file(tensors, folder / WEIGHTS_NAME)
        return
    (folder / WEIGHTS_NAME).unlink(missing_ok=True)
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _save_file(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / INDEX_NAME, index)


def _split(tensors: dict[str, Tensor], max_bytes: int) -> list[dict[str, Tensor]]:
    """Group tensors in order, as many as fit; one that is too large stands alone."""
    shards: list[dict[str, Tensor]] = []
    room = 0
    for name, tensor in tensors.items():
        if tensor.nbytes > room:
            shards.append({})
            room = max_bytes
        shards[-1][name] = tensor
        room -= tensor.nbytes
    return shards


def _save_file(tensors: dict[str, Tensor], path: Path) -> None:
    """Write beside `path` and move: the tensors may be mapped from the very file they replace."""
    scratch = path.with_suffix(".partial")
    try:
        save_file(tensors, scratch, metadata={"format": "pt"})
        scratch.chmod(0o644)  # safetensors writes for the owner alone
        scratch.replace(path)
    except (SafetensorError, OSError) as cause:
        scratch.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} could not be written ({cause}); free some space and try again."
        ) from cause
