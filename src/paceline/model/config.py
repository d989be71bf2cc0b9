"""Shape of a decoder in Qwen3 form, and its Hugging Face `config.json`. Free of torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from paceline.core.errors import CheckpointError, ConfigError


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a Qwen3-shaped decoder (RMSNorm, RoPE, GQA, QK-norm, SwiGLU, tied embeddings)."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    context_tokens: int
    """Longest sequence the model was trained for."""
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    end_token_id: int = 0

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ConfigError("num_heads must be a multiple of num_kv_heads.")
        if self.head_dim % 2:
            raise ConfigError("head_dim must be even, because RoPE turns pairs.")

    @property
    def num_matmul_parameters(self) -> int:
        """Weights of the blocks, without embeddings and norms."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_heads + self.num_kv_heads)
        return self.num_layers * (attention + 3 * self.hidden_size * self.ffn_size)

    @property
    def num_parameters(self) -> int:
        """All weights; the tied embedding counts once."""
        norms = self.num_layers * 2 * (self.hidden_size + self.head_dim) + self.hidden_size
        return self.num_matmul_parameters + self.vocab_size * self.hidden_size + norms

    def to_hugging_face(self) -> dict[str, Any]:
        """The `config.json` that `transformers` loads as Qwen3ForCausalLM."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.ffn_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.context_tokens,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "initializer_range": 0.02,
            "use_cache": True,
            "bos_token_id": None,
            "eos_token_id": self.end_token_id,
            "pad_token_id": self.end_token_id,
            "torch_dtype": "float32",
        }


def read_model_config(folder: Path) -> ModelConfig:
    """Read `config.json` of a Qwen3-shaped checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, or of an architecture that is not supported.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise CheckpointError(
            f"{path} is missing; give a folder with config.json and weights."
        ) from cause
    except ValueError as cause:
        raise CheckpointError(f"{path} is not JSON ({cause}); copy the model again.") from cause
    if raw.get("model_type") != "qwen3":
        raise CheckpointError(
            f"{path} describes a {raw.get('model_type')!r} model; this version reads 'qwen3' only."
        )
    if not raw.get("tie_word_embeddings", False):
        raise CheckpointError(f"{path}: untied embeddings are not supported yet.")
    rope = raw.get("rope_parameters") or {}
    eos = raw.get("eos_token_id") or 0
    try:
        return ModelConfig(
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            num_layers=raw["num_hidden_layers"],
            num_heads=raw["num_attention_heads"],
            num_kv_heads=raw["num_key_value_heads"],
            head_dim=raw["head_dim"],
            ffn_size=raw["intermediate_size"],
            context_tokens=raw["max_position_embeddings"],
            rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta", 10_000.0)),
            norm_eps=raw["rms_norm_eps"],
            end_token_id=eos[0] if isinstance(eos, list) else eos,
        )
    except KeyError as cause:
        raise CheckpointError(f"{path} lacks the field {cause}; copy the model again.") from cause
