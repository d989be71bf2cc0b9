"""A model's parameters, gathered once under common names for all executors. Float32, on the CPU.

Q, K and V are one matrix, gate and up are one matrix. Families differ only in what is None and in
two enums of the config (norm, feed-forward), so an executor has no branch per family.

Legend: M model width, A = H D, E = (H + 2K) D fused projection, H query heads, K key/value heads,
D head width, F feed-forward width (2F rows where gate and up are fused), V vocabulary, C context.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm


@dataclass(frozen=True)
class NormParameters:
    """RMSNorm (no bias) or LayerNorm."""

    weight_M: Tensor
    bias_M: Tensor | None


@dataclass(frozen=True)
class LayerParameters:
    """One decoder layer; matrices are [out, in], as Hugging Face stores them."""

    attention_norm: NormParameters
    qkv_EM: Tensor
    qkv_bias_E: Tensor | None
    q_norm_D: Tensor | None
    """RMSNorm of each query head before RoPE (Qwen3)."""
    k_norm_D: Tensor | None
    out_MA: Tensor
    out_bias_M: Tensor | None
    ffn_norm: NormParameters
    ffn_in_FM: Tensor
    """Gated: the F gate rows, then the F up rows. Plain: the F rows of the first matrix."""
    ffn_in_bias_F: Tensor | None
    ffn_out_MF: Tensor
    ffn_out_bias_M: Tensor | None


@dataclass(frozen=True)
class ModelParameters:
    """The whole model."""

    config: ModelConfig
    embedding_VM: Tensor
    layers: tuple[LayerParameters, ...]
    norm: NormParameters
    head_VM: Tensor
    """The very same tensor as `embedding_VM` if tied."""
    cos_CD: Tensor
    sin_CD: Tensor
    """RoPE tables of `model.rope.rope_tables`, half-split form, with scaling applied."""


def gather_parameters(model: CausalLm) -> ModelParameters:
    """Fuse and name the parameters of `model`; tensors that need no fusing are not copied."""
    parameters = {name: p.detach().float() for name, p in model.named_parameters()}
    embedding_VM = parameters["model.embed_tokens.weight"]
    return ModelParameters(
        config=model.config,
        embedding_VM=embedding_VM,
        layers=tuple(
            _gather_layer(parameters, f"model.layers.{i}.", model.config)
            for i in range(model.config.num_layers)
        ),
        norm=_norm(parameters, "model.norm"),
        head_VM=parameters.get("lm_head.weight", embedding_VM),
        cos_CD=model.get_buffer("cos_TD").float(),
        sin_CD=model.get_buffer("sin_TD").float(),
    )


def _norm(parameters: dict[str, Tensor], name: str) -> NormParameters:
    return NormParameters(parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))


def _gather_layer(parameters: dict[str, Tensor], stem: str, config: ModelConfig) -> LayerParameters:
    def fuse(kind: str, *names: str) -> Tensor | None:
        found = [parameters.get(f"{stem}{name}.{kind}") for name in names]
        given = [tensor for tensor in found if tensor is not None]
        assert len(given) in (0, len(found)), f"{stem}{names}: some have a {kind}, some do not"
        return torch.cat(given) if len(given) > 1 else (given or [None])[0]

    def weight(*names: str) -> Tensor:
        tensor = fuse("weight", *names)
        assert tensor is not None, f"{stem}{names[0]}.weight is missing"
        return tensor

    qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    is_gated = config.ffn == "gated_silu"
    ffn_in = ("mlp.gate_proj", "mlp.up_proj") if is_gated else ("mlp.c_fc",)
    ffn_out = "mlp.down_proj" if is_gated else "mlp.c_proj"
    return LayerParameters(
        attention_norm=_norm(parameters, f"{stem}input_layernorm"),
        qkv_EM=weight(*qkv),
        qkv_bias_E=fuse("bias", *qkv),
        q_norm_D=parameters.get(f"{stem}self_attn.q_norm.weight"),
        k_norm_D=parameters.get(f"{stem}self_attn.k_norm.weight"),
        out_MA=weight("self_attn.o_proj"),
        out_bias_M=fuse("bias", "self_attn.o_proj"),
        ffn_norm=_norm(parameters, f"{stem}post_attention_layernorm"),
        ffn_in_FM=weight(*ffn_in),
        ffn_in_bias_F=fuse("bias", *ffn_in),
        ffn_out_MF=weight(ffn_out),
        ffn_out_bias_M=fuse("bias", ffn_out),
    )
