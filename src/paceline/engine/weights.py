"""A model's parameters, arranged once for the engine's forward pass in one dtype.

Q, K and V are one matrix, gate and up are one matrix, the queries' 1/sqrt(D) lies in their norm's
weight. Matrices are [in, out]; in float32 also in memory, which is up to
2.4x faster for one row (the head).

Legend: M model width, E = (H + 2K) D fused projection, H query heads, K key/value heads, D head width,
F feed-forward width, V vocabulary, C context.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer."""

    attention_norm_M: Tensor
    qkv_ME: Tensor
    qk_norm_HD: Tensor
    """Rows 0 .. H-1 are the queries' weight, scaled; the K rows after them are the keys'."""
    out_AM: Tensor
    """A = H D."""
    ffn_norm_M: Tensor
    gate_up_MF: Tensor
    down_FM: Tensor


@dataclass(frozen=True)
class Weights:
    """The whole model in one dtype."""

    dtype: torch.dtype
    embedding_VM: Tensor
    layers: tuple[LayerWeights, ...]
    norm_M: Tensor
    head_MV: Tensor
    cos_CD: Tensor
    sin_CD: Tensor
    """With the sign of the rotation in it: the first half is negated."""


def prepare_weights(model: CausalLm, dtype: torch.dtype, device: torch.device) -> Weights:
    """Copy and fuse the parameters of `model`."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    embedding_VM = parameters["model.embed_tokens.weight"].to(device, dtype)
    cos_CD, sin_CD = model.get_buffer("cos_TD"), model.get_buffer("sin_TD")
    half = cos_CD.shape[1] // 2
    return Weights(
        dtype=dtype,
        embedding_VM=embedding_VM,
        layers=tuple(
            _prepare_layer(parameters, f"model.layers.{i}.", model.config, dtype, device)
            for i in range(model.config.num_layers)
        ),
        norm_M=parameters["model.norm.weight"].to(device, dtype),
        head_MV=_transpose(embedding_VM),
        cos_CD=cos_CD.to(device, dtype),
        sin_CD=torch.cat((-sin_CD[:, :half], sin_CD[:, half:]), dim=1).to(device, dtype),
    )


def _prepare_layer(
    parameters: dict[str, Tensor],
    stem: str,
    config: ModelConfig,
    dtype: torch.dtype,
    device: torch.device,
) -> LayerWeights:
    def get(name: str) -> Tensor:
        return parameters[f"{stem}{name}.weight"].to(device)

    def fuse(*names: str) -> Tensor:
        return _transpose(torch.cat([get(name) for name in names]).to(dtype))

    q_norm_HD = get("self_attn.q_norm").expand(config.num_heads, -1) / math.sqrt(config.head_dim)
    k_norm_KD = get("self_attn.k_norm").expand(config.num_kv_heads, -1)
    return LayerWeights(
        attention_norm_M=get("input_layernorm").to(dtype),
        qkv_ME=fuse("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        qk_norm_HD=torch.cat((q_norm_HD, k_norm_KD)).to(dtype),
        out_AM=fuse("self_attn.o_proj"),
        ffn_norm_M=get("post_attention_layernorm").to(dtype),
        gate_up_MF=fuse("mlp.gate_proj", "mlp.up_proj"),
        down_FM=fuse("mlp.down_proj"),
    )


def _transpose(weight_OI: Tensor) -> Tensor:
    """[out, in] to [in, out]; copied in float32, a view in bfloat16, whose kernel wants it so."""
    weight_IO = weight_OI.t()
    return weight_IO.contiguous() if weight_IO.dtype == torch.float32 else weight_IO
