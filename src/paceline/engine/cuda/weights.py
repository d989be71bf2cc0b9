"""A model's parameters on the device, in the dtype of the executor. Twin of engine/weights.py.

Norms, RoPE tables and scales stay float32: they are small and are read once per row.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paceline.engine.cuda.linear import Linear, check_fp8
from paceline.engine.cuda.operators import Norm, Rotation
from paceline.engine.weights import LayerParameters, ModelParameters, NormParameters


@dataclass(frozen=True)
class DeviceLayer:
    """One decoder layer."""

    attention_norm: Norm
    qkv: Linear
    rotation: Rotation
    out: Linear
    ffn_norm: Norm
    ffn_in: Linear
    ffn_out: Linear


@dataclass(frozen=True)
class DeviceWeights:
    """The whole model. The head is dense even if the layers are fp8."""

    embedding_VM: Tensor
    layers: tuple[DeviceLayer, ...]
    norm: Norm
    head_VM: Tensor

    @property
    def num_bytes(self) -> int:
        """Matrix weights that a step reads: layers and head."""
        matrices = sum(
            part.num_bytes
            for layer in self.layers
            for part in (layer.qkv, layer.out, layer.ffn_in, layer.ffn_out)
        )
        return matrices + self.head_VM.numel() * self.head_VM.element_size()


def place_weights(
    parameters: ModelParameters, dtype: torch.dtype, device: torch.device, *, is_fp8: bool
) -> DeviceWeights:
    """Copy parameters to the device, one tensor at a time.

    Raises:
        ConfigError: fp8 is asked for and cannot run here.
    """
    if is_fp8:
        first = parameters.layers[0]
        matrices = (first.qkv_EM, first.out_MA, first.ffn_in_FM, first.ffn_out_MF)
        check_fp8(device, [width for matrix in matrices for width in matrix.shape])
    embedding_VM = parameters.embedding_VM.to(device, dtype).contiguous()
    is_tied = parameters.head_VM is parameters.embedding_VM
    cos_CD, sin_CD = (x.to(device).contiguous() for x in (parameters.cos_CD, parameters.sin_CD))
    eps, is_layer = parameters.config.norm_eps, parameters.config.norm == "layer"

    def norm(given: NormParameters) -> Norm:
        bias_M = None if given.bias_M is None else given.bias_M.to(device)
        return Norm(given.weight_M.to(device).contiguous(), bias_M, eps, is_layer)

    def linear(weight_OI: Tensor, bias_O: Tensor | None) -> Linear:
        bias_O = None if bias_O is None else bias_O.to(device)
        return Linear(weight_OI.to(device), bias_O, dtype, is_fp8=is_fp8)

    def layer(given: LayerParameters) -> DeviceLayer:
        q_norm_D, k_norm_D = (
            None if x is None else x.to(device) for x in (given.q_norm_D, given.k_norm_D)
        )
        return DeviceLayer(
            attention_norm=norm(given.attention_norm),
            qkv=linear(given.qkv_EM, given.qkv_bias_E),
            rotation=Rotation(cos_CD, sin_CD, q_norm_D, k_norm_D, eps),
            out=linear(given.out_MA, given.out_bias_M),
            ffn_norm=norm(given.ffn_norm),
            ffn_in=linear(given.ffn_in_FM, given.ffn_in_bias_F),
            ffn_out=linear(given.ffn_out_MF, given.ffn_out_bias_M),
        )

    return DeviceWeights(
        embedding_VM=embedding_VM,
        layers=tuple(layer(given) for given in parameters.layers),
        norm=norm(parameters.norm),
        head_VM=embedding_VM if is_tied else parameters.head_VM.to(device, dtype).contiguous(),
    )
