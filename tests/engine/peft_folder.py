"""Writes random adapters as PEFT does, and merges them into dense weights: the slow twin."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from paceline.engine.lora_file import CONFIG_NAME, WEIGHTS_NAME, projection_shapes
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

PREFIX = "base_model.model."


def write_adapter(
    folder: Path,
    config: ModelConfig,
    targets: list[str],
    *,
    seed: int = 0,
    rank: int = 4,
    ranks: dict[str, int] | None = None,
    layers: range | None = None,
    **fields: Any,
) -> Path:
    """Write a folder with random factors; `ranks` gives modules by full name another rank."""
    peft: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "someone/tiny-base",
        "r": rank,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": targets,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
    } | fields
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for layer in layers or range(config.num_layers):
        for projection, (num_out, num_in) in projection_shapes(config).items():
            if not any(f".{projection}".endswith(f".{target}") for target in targets):
                continue
            module = f"model.layers.{layer}.{projection}"
            own = (ranks or {}).get(module, rank)
            for factor, shape in (("A", (own, num_in)), ("B", (num_out, own))):
                noise = torch.randn(shape, generator=generator) / math.sqrt(own)
                tensors[f"{PREFIX}{module}.lora_{factor}.weight"] = noise * 0.3
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(json.dumps(peft))
    save_file(tensors, folder / WEIGHTS_NAME)
    return folder


@torch.no_grad()
def merge(model: CausalLm, folder: Path, scales: dict[str, float] | float) -> CausalLm:
    """Return a float64 copy of `model` with W + scale * B A; scales by full module name, or one for all."""
    merged = copy.deepcopy(model).double()
    tensors = load_file(folder / WEIGHTS_NAME)
    for name, a_RI in tensors.items():
        if not name.endswith("lora_A.weight"):
            continue
        module = name.removeprefix(PREFIX).removesuffix(".lora_A.weight")
        scale = scales[module] if isinstance(scales, dict) else scales
        delta = tensors[name.replace("lora_A", "lora_B")].double() @ a_RI.double()
        merged.get_parameter(f"{module}.weight").add_(delta, alpha=scale)
    return merged
