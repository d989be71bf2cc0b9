"""The operators in plain PyTorch, computed in float32 whatever the dtype: their definition.

Slow on purpose: attention goes tile by tile. Tests compare the kernels with these.

Legend: as in operators.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.engine.cuda.operators import LayerCache, Norm, Operators, Rotation, Tiles


def add_norm(x_TM: Tensor | None, residual_TM: Tensor, norm: Norm) -> Tensor:
    """See operators.AddNorm. The norm is of the sum before it is rounded to the residual's dtype."""
    total_TM = residual_TM.float() if x_TM is None else residual_TM.float() + x_TM.float()
    if x_TM is not None:
        residual_TM.copy_(total_TM)
    width = (total_TM.shape[-1],)
    if norm.is_layer:
        out_TM = F.layer_norm(total_TM, width, norm.weight_M, norm.bias_M, norm.eps)
    else:
        out_TM = F.rms_norm(total_TM, width, norm.weight_M, norm.eps)
        out_TM = out_TM if norm.bias_M is None else out_TM + norm.bias_M
    return out_TM.to(residual_TM.dtype)


def rotate_and_store(
    qkv_TE: Tensor, rotation: Rotation, position_T: Tensor, slot_T: Tensor, cache: LayerCache
) -> Tensor:
    """See operators.RotateAndStore."""
    _, K, B, D = cache.keys_NKBD.shape
    heads = qkv_TE.float().view(qkv_TE.shape[0], -1, D)
    q, k, v = heads.split([heads.shape[1] - 2 * K, K, K], dim=1)
    cos = rotation.cos_CD[position_T].unsqueeze(1)
    sin = rotation.sin_CD[position_T].unsqueeze(1)
    q_THD, k_TKD = (
        turn(x if weight is None else F.rms_norm(x, (D,), weight, rotation.eps), cos, sin)
        for x, weight in ((q, rotation.q_norm_D), (k, rotation.k_norm_D))
    )
    block_T, offset_T = slot_T // B, slot_T % B
    cache.keys_NKBD[block_T, :, offset_T] = k_TKD.to(cache.keys_NKBD.dtype)
    cache.values_NKBD[block_T, :, offset_T] = v.to(cache.values_NKBD.dtype)
    return q_THD.to(qkv_TE.dtype)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + D/2) of the last axis."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def attend(
    q_THD: Tensor, cache: LayerCache, tiles: Tiles, window: int | None, out_TA: Tensor
) -> None:
    """See operators.Attend. Reads the tiles back to the host; a graph cannot record it."""
    _, H, D = q_THD.shape
    _, K, B, _ = cache.keys_NKBD.shape
    for first, num_rows, position, table_row in tiles.columns_4P.T.tolist():
        end = position + num_rows
        blocks = tiles.table_SW[table_row, : -(-end // B)].long()
        keys_LKD, values_LKD = (
            part[blocks].transpose(1, 2).reshape(-1, K, D)[:end].float() for part in cache
        )
        q_nKGD = q_THD[first : first + num_rows].float().view(num_rows, K, H // K, D)
        scores = torch.einsum("nkgd,lkd->kgnl", q_nKGD, keys_LKD) / math.sqrt(D)
        row = torch.arange(position, end, device=q_THD.device)[:, None]
        key = torch.arange(end, device=q_THD.device)
        hidden = key > row if window is None else (key > row) | (key <= row - window)
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        out = torch.einsum("kgnl,lkd->nkgd", weights, values_LKD)
        out_TA[first : first + num_rows] = out.reshape(num_rows, H * D).to(out_TA.dtype)


def activate(x: Tensor, *, is_gated: bool) -> Tensor:
    """See operators.Activate."""
    if is_gated:
        gate_TF, up_TF = x.float().chunk(2, dim=-1)
        return (F.silu(gate_TF) * up_TF).to(x.dtype)
    return F.gelu(x.float(), approximate="tanh").to(x.dtype)


def pick(
    logits_RV: Tensor,
    inverse_temperature_R: Tensor | None = None,
    noise_RV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See operators.Pick."""
    score_RV = logits_RV
    if inverse_temperature_R is not None:
        score_RV = score_RV * inverse_temperature_R[:, None]
    if noise_RV is not None:
        score_RV = score_RV + noise_RV
    ids_R = score_RV.argmax(dim=-1)
    logprobs_R = logits_RV.gather(1, ids_R[:, None])[:, 0] - logits_RV.logsumexp(dim=-1)
    return ids_R, logprobs_R


OPERATORS = Operators(add_norm, rotate_and_store, attend, activate, pick)
