"""Devices, numbers and prepared weights of the executor in plain PyTorch.

    dtype      matrices and KV cache                  norms, RoPE, residual stream
    auto, CPU  int8 | repacked bfloat16; bfloat16     float32
    auto, GPU  bfloat16                               float32
    bfloat16   bfloat16                               float32
    float32    float32                                float32
    float64    float64                                float64

The residual stream is never bfloat16: it is more exact so, and on CPU a norm of 256 bfloat16 rows
takes 15 times that of float32 ones (0.73 and 0.05 ms at width 640).

Legend: M model width, E = (H + 2K) D, H query heads, K key/value heads, D head width, V vocabulary.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from paceline.core.errors import ConfigError
from paceline.engine.eager.quantised import Matrix, MixedMatrix, PlainMatrix
from paceline.engine.step import BLOCK_TOKENS
from paceline.engine.weights import LayerParameters, NormParameters, gather_parameters
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


class Numbers(NamedTuple):
    """In what a model computes."""

    narrow: torch.dtype
    """Matrices and KV cache."""
    wide: torch.dtype
    """Norms, RoPE, residual stream, logits."""
    is_packed: bool = False
    """Matrices are repacked by oneDNN (CPU only)."""
    has_int8: bool = False
    """Few rows read int8 matrices."""


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_numbers(dtype: str, device: torch.device) -> Numbers:
    """Turn the name of a dtype into numbers; `auto` takes what is fastest on the device.

    Raises:
        ConfigError: the dtype is not among auto, float64, float32, bfloat16.
    """
    is_auto, is_cpu = dtype == "auto", device.type == "cpu"
    if is_auto:
        has_bf16 = _cpu_has_bfloat16() if is_cpu else torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if has_bf16 else "float32"
    if dtype not in DTYPES:
        raise ConfigError(
            f"engine.dtype {dtype!r} is not possible with the torch executor; use auto, float64, "
            "float32 or bfloat16."
        )
    narrow = DTYPES[dtype]
    is_packed = is_cpu and narrow == torch.bfloat16
    wide = torch.promote_types(narrow, torch.float32)
    return Numbers(narrow, wide, is_packed, is_packed and is_auto)


def _cpu_has_bfloat16() -> bool:
    """Instructions for products of bfloat16, without which it is slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def block_bytes(config: ModelConfig, dtype: str = "auto", device: str = "auto") -> int:
    """Memory of one block of the KV cache, keys and values of all layers."""
    width = choose_numbers(dtype, choose_device(device)).narrow.itemsize
    per_position = 2 * config.num_kv_heads * config.head_dim * width
    return BLOCK_TOKENS * config.num_layers * per_position


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer."""

    attention_norm: NormParameters
    qkv: Matrix
    qk_norm_HD: Tensor | None
    """Rows 0 .. H-1 are the queries' weight, the K rows after them the keys'."""
    out: Matrix
    ffn_norm: NormParameters
    ffn_in: Matrix
    ffn_out: Matrix


@dataclass(frozen=True)
class Weights:
    """The whole model, prepared."""

    embedding_VM: Tensor
    layers: tuple[LayerWeights, ...]
    norm: NormParameters
    head: Matrix
    cos_CD: Tensor
    sin_CD: Tensor
    """With the sign of the rotation in it: the first half is negated."""
    num_bytes: int
    """Memory of matrices, their copies, and the embedding."""


def prepare_weights(model: CausalLm, numbers: Numbers, device: torch.device) -> Weights:
    """Copy the parameters of `model` into the forms that the numbers ask for."""
    parameters = gather_parameters(model)
    layers = tuple(
        _prepare_layer(layer, model.config, numbers, device) for layer in parameters.layers
    )
    head = _matrix(parameters.head_VM, None, numbers, device)
    embedding_VM = parameters.embedding_VM.to(device, numbers.narrow)
    cos_CD = parameters.cos_CD.to(device, numbers.wide)
    sin_CD = parameters.sin_CD.to(device, numbers.wide)
    half = sin_CD.shape[1] // 2
    matrices = [head, *(m for w in layers for m in (w.qkv, w.out, w.ffn_in, w.ffn_out))]
    return Weights(
        embedding_VM=embedding_VM,
        layers=layers,
        norm=_norm(parameters.norm, numbers, device),
        head=head,
        cos_CD=cos_CD,
        sin_CD=torch.cat((-sin_CD[:, :half], sin_CD[:, half:]), dim=1),
        num_bytes=embedding_VM.nbytes + sum(matrix.num_bytes for matrix in matrices),
    )


def _prepare_layer(
    layer: LayerParameters, config: ModelConfig, numbers: Numbers, device: torch.device
) -> LayerWeights:
    def matrix(weight_OI: Tensor, bias_O: Tensor | None) -> Matrix:
        return _matrix(weight_OI, bias_O, numbers, device)

    qk_norm_HD = None
    if layer.q_norm_D is not None and layer.k_norm_D is not None:
        q_norm_HD = layer.q_norm_D.expand(config.num_heads, -1)
        k_norm_KD = layer.k_norm_D.expand(config.num_kv_heads, -1)
        qk_norm_HD = torch.cat((q_norm_HD, k_norm_KD)).to(device, numbers.wide)
    return LayerWeights(
        attention_norm=_norm(layer.attention_norm, numbers, device),
        qkv=matrix(layer.qkv_EM, layer.qkv_bias_E),
        qk_norm_HD=qk_norm_HD,
        out=matrix(layer.out_MA, layer.out_bias_M),
        ffn_norm=_norm(layer.ffn_norm, numbers, device),
        ffn_in=matrix(layer.ffn_in_FM, layer.ffn_in_bias_F),
        ffn_out=matrix(layer.ffn_out_MF, layer.ffn_out_bias_M),
    )


def _matrix(
    weight_OI: Tensor, bias_O: Tensor | None, numbers: Numbers, device: torch.device
) -> Matrix:
    if numbers.is_packed:
        return MixedMatrix(weight_OI, bias_O, has_int8=numbers.has_int8)
    bias_O = bias_O if bias_O is None else bias_O.to(device)
    return PlainMatrix(weight_OI.to(device), bias_O, numbers.narrow)


def _norm(norm: NormParameters, numbers: Numbers, device: torch.device) -> NormParameters:
    bias_M = norm.bias_M if norm.bias_M is None else norm.bias_M.to(device, numbers.wide)
    return NormParameters(norm.weight_M.to(device, numbers.wide), bias_M)
