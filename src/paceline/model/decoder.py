"""The decoder of five families: parameters with Hugging Face's names, one forward without a cache.

Qwen3, Qwen2, Llama, Mistral and StarCoder2 are one computation with parts that `ModelConfig` switches.

Weights are held in float32 (or any dtype) and cast to the dtype of the activations at use, so that
the same module trains with fp32 masters and bf16 compute, and scores in float32.
The engine does not call this forward: it reads the parameters and has its own cached one.

Legend: B sequences, T positions, M model width, H query heads, K key/value heads, D head width,
F feed-forward width, V vocabulary.

Source: Qwen3 technical report (arXiv:2505.09388) §2; StarCoder2 (arXiv:2402.19173) §6; RoPE in the
half-split form of Hugging Face.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.model.attention import causal_attention
from paceline.model.config import ModelConfig
from paceline.model.norm import rms_norm
from paceline.model.rope import apply_rope, rope_tables


class Linear(nn.Module):
    """`x @ weight.T (+ bias)`, with the parameters cast to the dtype of x."""

    def __init__(self, num_in: int, num_out: int, *, has_bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))
        self.bias = nn.Parameter(torch.zeros(num_out)) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class RmsNorm(nn.Module):
    """Root-mean-square normalisation with a learnt scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """Normalisation to mean 0 and variance 1 with a learnt scale and shift."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps
        )


def make_norm(config: ModelConfig) -> RmsNorm | LayerNorm:
    """The normalisation of the residual stream."""
    kind = RmsNorm if config.norm == "rms" else LayerNorm
    return kind(config.hidden_size, config.norm_eps)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        q_width, kv_width = (
            config.num_heads * config.head_dim,
            config.num_kv_heads * config.head_dim,
        )
        width, has_bias = config.hidden_size, config.has_qkv_bias
        self.q_proj = Linear(width, q_width, has_bias=has_bias)
        self.k_proj = Linear(width, kv_width, has_bias=has_bias)
        self.v_proj = Linear(width, kv_width, has_bias=has_bias)
        self.o_proj = Linear(q_width, width, has_bias=config.has_out_bias)
        if config.has_qk_norm:
            self.q_norm = RmsNorm(config.head_dim, config.norm_eps)
            self.k_norm = RmsNorm(config.head_dim, config.norm_eps)

    def forward(self, x_BTM: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        B, T, _ = x_BTM.shape
        D = self.config.head_dim
        q_BTHD = self.q_proj(x_BTM).view(B, T, -1, D)
        k_BTKD = self.k_proj(x_BTM).view(B, T, -1, D)
        if self.config.has_qk_norm:
            q_BTHD, k_BTKD = self.q_norm(q_BTHD), self.k_norm(k_BTKD)
        v_BKTD = self.v_proj(x_BTM).view(B, T, -1, D).transpose(1, 2)
        out_BHTD = causal_attention(
            apply_rope(q_BTHD.transpose(1, 2), cos_TD, sin_TD),
            apply_rope(k_BTKD.transpose(1, 2), cos_TD, sin_TD),
            v_BKTD,
            self.config.sliding_window_tokens,
        )
        return self.o_proj(out_BHTD.transpose(1, 2).reshape(B, T, -1))


class GatedFeedForward(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, has_bias = config.hidden_size, config.has_ffn_bias
        self.gate_proj = Linear(width, config.ffn_size, has_bias=has_bias)
        self.up_proj = Linear(width, config.ffn_size, has_bias=has_bias)
        self.down_proj = Linear(config.ffn_size, width, has_bias=has_bias)

    def forward(self, x_BTM: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTM)) * self.up_proj(x_BTM))


class PlainFeedForward(nn.Module):
    """c_proj(gelu(c_fc x)), gelu in its tanh form."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, has_bias = config.hidden_size, config.has_ffn_bias
        self.c_fc = Linear(width, config.ffn_size, has_bias=has_bias)
        self.c_proj = Linear(config.ffn_size, width, has_bias=has_bias)

    def forward(self, x_BTM: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x_BTM), approximate="tanh"))


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = make_norm(config)
        is_gated = config.ffn == "gated_silu"
        self.mlp = GatedFeedForward(config) if is_gated else PlainFeedForward(config)

    def forward(self, x_BTM: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        x_BTM = x_BTM + self.self_attn(self.input_layernorm(x_BTM), cos_TD, sin_TD)
        return x_BTM + self.mlp(self.post_attention_layernorm(x_BTM))


class Decoder(nn.Module):
    """The body: embedding, layers, final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = make_norm(config)


class CausalLm(nn.Module):
    """Decoder with a head, tied to the embedding or not. Parameter names are Hugging Face's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        if not config.is_tied:
            self.lm_head = Linear(config.hidden_size, config.vocab_size)
        cos, sin = rope_tables(config)
        self.register_buffer("cos_TD", cos, persistent=False)
        self.register_buffer("sin_TD", sin, persistent=False)

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with std 0.02 for the embedding, 1/sqrt(fan-in) for matrices.

        Biases are zero. Projections back into the residual stream start at zero, so every layer starts as identity.
        Source: modded-nanogpt's records (zero-init projections).
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith(".bias"):
                    parameter.zero_()
                elif "norm" in name:
                    parameter.fill_(1.0)
                elif name.endswith(("o_proj.weight", "down_proj.weight", "c_proj.weight")):
                    parameter.zero_()
                else:
                    std = 0.02 if "embed" in name else 1.0 / math.sqrt(parameter.shape[1])
                    fresh = torch.empty(parameter.shape, dtype=torch.float32)
                    parameter.copy_(fresh.normal_(0.0, std, generator=generator))

    @property
    def head_weight(self) -> Tensor:
        """The output matrix [V, M]; the embedding itself if tied."""
        return self.model.embed_tokens.weight if self.config.is_tied else self.lm_head.weight

    def forward(self, ids_BT: Tensor, compute_dtype: torch.dtype | None = None) -> Tensor:
        """Return the normed hidden states [B, T, M].

        Args:
            compute_dtype: of activations and result; None is float32, or float64 if the weights are.
        """
        if compute_dtype is None:
            is_double = self.model.embed_tokens.weight.dtype == torch.float64
            compute_dtype = torch.float64 if is_double else torch.float32
        T = ids_BT.shape[1]
        cos_TD: Tensor = self.get_buffer("cos_TD")[:T]
        sin_TD: Tensor = self.get_buffer("sin_TD")[:T]
        x_BTM = self.model.embed_tokens(ids_BT).to(compute_dtype)
        for layer in self.model.layers:
            x_BTM = layer(x_BTM, cos_TD, sin_TD)
        return self.model.norm(x_BTM)

    def logits(self, hidden_BTM: Tensor) -> Tensor:
        """Return [..., V] logits of hidden states, in their dtype."""
        return F.linear(hidden_BTM, self.head_weight.to(hidden_BTM.dtype))
