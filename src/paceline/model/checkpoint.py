"""Model folders: `config.json` + `model.safetensors` in and out, as Hugging Face writes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from paceline.core.errors import CheckpointError
from paceline.model.config import read_model_config
from paceline.model.decoder import CausalLm

WEIGHTS_NAME = "model.safetensors"


def save_model(model: CausalLm, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write config and weights into `folder`; the tied head is not stored twice.

    Raises:
        CheckpointError: the weights could not be written (full disk).
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_hugging_face()
    config["torch_dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    generation = {
        "eos_token_id": model.config.end_token_id,
        "pad_token_id": model.config.end_token_id,
    }
    (folder / "generation_config.json").write_text(
        json.dumps(generation, indent=1) + "\n", encoding="utf-8"
    )
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in model.named_parameters()
    }
    try:
        save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    except SafetensorError as cause:
        raise CheckpointError(
            f"{folder / WEIGHTS_NAME} could not be written ({cause}); free some space and try again."
        ) from cause
    (folder / WEIGHTS_NAME).chmod(0o644)  # safetensors writes for the owner alone


def load_model(folder: Path) -> CausalLm:
    """Read a Qwen3-shaped model in float32, ready to evaluate.

    Raises:
        CheckpointError: a file is missing, truncated, or does not fit the config.
    """
    config = read_model_config(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; copy the model again or train one.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as cause:
        raise CheckpointError(
            f"{path} is truncated or damaged ({cause}); copy the model again."
        ) from cause
    tensors.pop("lm_head.weight", None)
    model = CausalLm(config)
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, shape in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{path} lacks the tensor {name}; it does not fit config.json.")
        if tensors[name].shape != shape:
            raise CheckpointError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, config.json says {list(shape)}."
            )
    model.load_state_dict(
        {name: tensors[name].float() for name in expected}, strict=False, assign=True
    )
    return model.eval()
