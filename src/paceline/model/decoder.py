"""The Qwen3-shaped decoder: parameters with Hugging Face's names, one forward without a cache.

Weights are held in float32 (or any dtype) and cast to the dtype of the activations at use, so that
the same module trains with fp32 masters and bf16 compute, and scores in float32.
The engine does not call this forward: it reads the parameters and has its own cached one.

Legend: B sequences, T positions, M model width, H query heads, K key/value heads, D head width,
F feed-forward width, V vocabulary.

Source: Qwen3 technical report (arXiv:2505.09388) §2; RoPE in the half-split form of Hugging Face.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paceline.model.attention import causal_attention
from paceline.model.config import ModelConfig
from paceline.model.norm import rms_norm


class Linear(nn.Module):
    """`x @ weight.T`, with the weight cast to the dtype of x."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class RmsNorm(nn.Module):
    """Root-mean-square normalisation with a learnt scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def rope_tables(
    num_positions: int, head_dim: int, theta: float, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return (cos_TD, sin_TD) in float32 for positions 0 .. num_positions-1."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    angle = torch.outer(
        torch.arange(num_positions, dtype=torch.float32, device=device), theta**-exponent
    )
    angle_TD = torch.cat((angle, angle), dim=-1)
    return angle_TD.cos(), angle_TD.sin()


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + D/2) of the last axis; cos and sin broadcast against x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        q_width, kv_width = (
            config.num_heads * config.head_dim,
            config.num_kv_heads * config.head_dim,
        )
        self.q_proj = Linear(config.hidden_size, q_width)
        self.k_proj = Linear(config.hidden_size, kv_width)
        self.v_proj = Linear(config.hidden_size, kv_width)
        self.o_proj = Linear(q_width, config.hidden_size)
        self.q_norm = RmsNorm(config.head_dim, config.norm_eps)
        self.k_norm = RmsNorm(config.head_dim, config.norm_eps)

    def forward(self, x_BTM: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        B, T, _ = x_BTM.shape
        D = self.config.head_dim
        q_BHTD = self.q_norm(self.q_proj(x_BTM).view(B, T, -1, D)).transpose(1, 2)
        k_BKTD = self.k_norm(self.k_proj(x_BTM).view(B, T, -1, D)).transpose(1, 2)
        v_BKTD = self.v_proj(x_BTM).view(B, T, -1, D).transpose(1, 2)
        out_BHTD = causal_attention(
            apply_rope(q_BHTD, cos_TD, sin_TD), apply_rope(k_BKTD, cos_TD, sin_TD), v_BKTD
        )
        return self.o_proj(out_BHTD.transpose(1, 2).reshape(B, T, -1))


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.ffn_size)
        self.up_proj = Linear(config.hidden_size, config.ffn_size)
        self.down_proj = Linear(config.ffn_size, config.hidden_size)

    def forward(self, x_BTM: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTM)) * self.up_proj(x_BTM))


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x_BTM: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
        x_BTM = x_BTM + self.self_attn(self.input_layernorm(x_BTM), cos_TD, sin_TD)
        return x_BTM + self.mlp(self.post_attention_layernorm(x_BTM))


class Decoder(nn.Module):
    """The body: embedding, layers, final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)


class CausalLm(nn.Module):
    """Decoder with a head tied to the embedding. Parameter names are `Qwen3ForCausalLM`'s."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        cos, sin = rope_tables(config.context_tokens, config.head_dim, config.rope_theta)
        self.register_buffer("cos_TD", cos, persistent=False)
        self.register_buffer("sin_TD", sin, persistent=False)

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with std 0.02 for the embedding, 1/sqrt(fan-in) for matrices.

        Projections back into the residual stream start at zero, so every layer starts as identity.
        Source: modded-nanogpt's records (zero-init projections).
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if "norm" in name:
                    parameter.fill_(1.0)
                elif name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter.zero_()
                else:
                    std = 0.02 if "embed" in name else 1.0 / math.sqrt(parameter.shape[1])
                    fresh = torch.empty(parameter.shape, dtype=torch.float32)
                    parameter.copy_(fresh.normal_(0.0, std, generator=generator))

    def forward(self, ids_BT: Tensor, compute_dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the normed hidden states [B, T, M] in `compute_dtype`."""
        T = ids_BT.shape[1]
        cos_TD: Tensor = self.get_buffer("cos_TD")[:T]
        sin_TD: Tensor = self.get_buffer("sin_TD")[:T]
        x_BTM = self.model.embed_tokens(ids_BT).to(compute_dtype)
        for layer in self.model.layers:
            x_BTM = layer(x_BTM, cos_TD, sin_TD)
        return self.model.norm(x_BTM)

    def logits(self, hidden_BTM: Tensor) -> Tensor:
        """Return [..., V] logits of hidden states, in their dtype."""
        return F.linear(hidden_BTM, self.model.embed_tokens.weight.to(hidden_BTM.dtype))
