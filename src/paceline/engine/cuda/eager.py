"""The operators as PyTorch's own fused functions, in the dtype of the model: what Triton competes with.

Used on a GPU without Triton, and by the benchmark, where torch.compile may fuse them further. Nothing
waits for the host, so a graph can record them. Attention copies the keys that it reads: simple, not fast.

Legend: as in operators.py; R rows that a tile has room for, L = 16 W keys of the longest sequence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.engine.cuda.operators import LayerCache, Norm, Operators, Rotation, Tiles
from paceline.engine.cuda.reference import pick, turn


def add_norm(x_TM: Tensor | None, residual_TM: Tensor, norm: Norm) -> Tensor:
    """See operators.AddNorm. The norm is of the rounded sum."""
    if x_TM is not None:
        residual_TM.add_(x_TM)
    dtype, width = residual_TM.dtype, (residual_TM.shape[-1],)
    bias_M = None if norm.bias_M is None else norm.bias_M.to(dtype)
    if norm.is_layer:
        return F.layer_norm(residual_TM, width, norm.weight_M.to(dtype), bias_M, norm.eps)
    out_TM = F.rms_norm(residual_TM, width, norm.weight_M.to(dtype), norm.eps)
    return out_TM if bias_M is None else out_TM + bias_M


def rotate_and_store(
    qkv_TE: Tensor, rotation: Rotation, position_T: Tensor, slot_T: Tensor, cache: LayerCache
) -> Tensor:
    """See operators.RotateAndStore."""
    _, K, B, D = cache.keys_NKBD.shape
    dtype = qkv_TE.dtype
    heads = qkv_TE.view(qkv_TE.shape[0], -1, D)
    q, k, v = heads.split([heads.shape[1] - 2 * K, K, K], dim=1)
    if rotation.q_norm_D is not None and rotation.k_norm_D is not None:
        q = F.rms_norm(q, (D,), rotation.q_norm_D.to(dtype), rotation.eps)
        k = F.rms_norm(k, (D,), rotation.k_norm_D.to(dtype), rotation.eps)
    cos, sin = (
        table[position_T].unsqueeze(1).to(dtype) for table in (rotation.cos_CD, rotation.sin_CD)
    )
    block_T, offset_T = slot_T // B, slot_T % B
    cache.keys_NKBD[block_T, :, offset_T] = turn(k, cos, sin)
    cache.values_NKBD[block_T, :, offset_T] = v
    return turn(q, cos, sin)


def attend(
    q_THD: Tensor, cache: LayerCache, tiles: Tiles, window: int | None, out_TA: Tensor
) -> None:
    """See operators.Attend. Spare rows of a tile repeat its last row, and write the same again."""
    first, num_rows, position, table_row = (column[:, None] for column in tiles.columns_4P)
    if not first.numel():
        return
    device = q_THD.device
    within = torch.arange(tiles.max_rows, device=device, dtype=torch.int32).minimum(num_rows - 1)
    row_PR, position_PR = first + within, position + within
    keys_PKLD, values_PKLD = _gather(cache, tiles.table_SW[table_row[:, 0]], position + num_rows)
    key_L = torch.arange(keys_PKLD.shape[2], device=device)
    visible = key_L <= position_PR[:, :, None]
    if window is not None:
        visible = visible & (key_L > position_PR[:, :, None] - window)
    q_PHRD = q_THD[row_PR].transpose(1, 2)
    out = F.scaled_dot_product_attention(
        q_PHRD, keys_PKLD, values_PKLD, attn_mask=visible[:, None], enable_gqa=True
    )
    out_TA[row_PR] = out.transpose(1, 2).flatten(2)


def _gather(cache: LayerCache, table_PW: Tensor, end_P1: Tensor) -> tuple[Tensor, Tensor]:
    """Copy each tile's keys and values to [P, K, L, D]; zero behind its end, where anything may lie."""
    _, K, B, D = cache.keys_NKBD.shape
    P, W = table_PW.shape
    block = torch.arange(W, device=table_PW.device)
    used_PW = table_PW.masked_fill(block * B >= end_P1, 0)
    behind_PL = torch.arange(W * B, device=table_PW.device) >= end_P1

    def gather(part_NKBD: Tensor) -> Tensor:
        part_PKLD = part_NKBD[used_PW].transpose(1, 2).reshape(P, K, W * B, D)
        return part_PKLD.masked_fill(behind_PL[:, None, :, None], 0.0)

    return gather(cache.keys_NKBD), gather(cache.values_NKBD)


def activate(x: Tensor, *, is_gated: bool) -> Tensor:
    """See operators.Activate."""
    if is_gated:
        gate_TF, up_TF = x.chunk(2, dim=-1)
        return F.silu(gate_TF) * up_TF
    return F.gelu(x, approximate="tanh")


OPERATORS = Operators(add_norm, rotate_and_store, attend, activate, pick)
