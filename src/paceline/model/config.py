"""Shape of a decoder: what distinguishes one family from another. Free of torch.

`model/config_json.py` reads and writes it as Hugging Face's `config.json`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.errors import ConfigError

Family = Literal["qwen3", "qwen2", "llama", "mistral", "starcoder2"]
"""Values of `model_type` that can be loaded."""


class RopeScaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How RoPE's frequencies are stretched for longer contexts, as Hugging Face's `rope_scaling`."""

    kind: Literal["linear", "dynamic", "llama3", "yarn"]
    factor: float
    original_context_tokens: int
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    """Multiplies cos and sin (yarn); None derives it from `factor`."""


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and variant of a decoder with RoPE and grouped-query attention.

    The defaults are our own models' shape: Qwen3 (RMSNorm, QK-norm, SwiGLU, tied, no bias).
    """

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
    family: Family = "qwen3"
    norm: Literal["rms", "layer"] = "rms"
    """layer (StarCoder2) subtracts the mean and has a bias."""
    ffn: Literal["gated_silu", "gelu_tanh"] = "gated_silu"
    """gated_silu: down(silu(gate x) * up x); gelu_tanh (StarCoder2): c_proj(gelu_tanh(c_fc x))."""
    has_qk_norm: bool = True
    has_qkv_bias: bool = False
    has_out_bias: bool = False
    """Of the attention's output projection."""
    has_ffn_bias: bool = False
    is_tied: bool = True
    """Is the output head the embedding?"""
    rope_scaling: RopeScaling | None = None
    sliding_window_tokens: int | None = None
    """A row sees itself and the sliding_window_tokens - 1 positions before it; None sees all."""

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ConfigError("num_heads must be a multiple of num_kv_heads.")
        if self.head_dim % 2:
            raise ConfigError("head_dim must be even, because RoPE turns pairs.")

    @property
    def num_matmul_parameters(self) -> int:
        """Weights of the blocks' matrices, without embeddings, norms and biases."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_heads + self.num_kv_heads)
        num_ffn_matrices = 3 if self.ffn == "gated_silu" else 2
        return self.num_layers * (attention + num_ffn_matrices * self.hidden_size * self.ffn_size)

    @property
    def num_parameters(self) -> int:
        """All weights; a tied embedding counts once."""
        norm = self.hidden_size * (1 if self.norm == "rms" else 2)
        layer = 2 * norm + (2 * self.head_dim if self.has_qk_norm else 0) + self._num_biases
        embeddings = self.vocab_size * self.hidden_size * (1 if self.is_tied else 2)
        return self.num_matmul_parameters + self.num_layers * layer + norm + embeddings

    @property
    def _num_biases(self) -> int:
        """Biases of one layer's matrices."""
        qkv = self.head_dim * (self.num_heads + 2 * self.num_kv_heads)
        ffn_in = self.ffn_size * (2 if self.ffn == "gated_silu" else 1)
        return (
            qkv * self.has_qkv_bias
            + self.hidden_size * self.has_out_bias
            + (ffn_in + self.hidden_size) * self.has_ffn_bias
        )
