"""QK-norm, RoPE and the write into the KV blocks in one pass over the fused projection.

Heads are handled in groups; what is a query, a key or a value is a mask, not a branch.

Legend: T rows, E = (H + 2K) D, H query heads, K key/value heads, D head width, C context, N blocks,
B = 16 positions of a block.
"""

# Launch options are not in a kernel's signature.
# pyright: reportCallIssue=false, reportOperatorIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from paceline.engine.cuda.operators import LayerCache, Rotation

HEADS_PER_PROGRAM = 8


@triton.jit
def _weight(q_norm_ptr, k_norm_ptr, is_query, lane, D: tl.constexpr):
    """Half of the norm's weight of each head."""
    q_weight = tl.load(q_norm_ptr + lane, mask=lane < D // 2, other=0.0)[None, :]
    k_weight = tl.load(k_norm_ptr + lane, mask=lane < D // 2, other=0.0)[None, :]
    return tl.where(is_query, q_weight, k_weight)


@triton.jit
def rotate_and_store_kernel(
    qkv_ptr,
    q_ptr,
    keys_ptr,
    values_ptr,
    cos_ptr,
    sin_ptr,
    q_norm_ptr,
    k_norm_ptr,
    position_ptr,
    slot_ptr,
    eps,
    H: tl.constexpr,
    K: tl.constexpr,
    D: tl.constexpr,
    B: tl.constexpr,
    HAS_NORM: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    """One program is HEADS heads of one row; HALF >= D / 2."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    lane = tl.arange(0, HALF)
    inside = (head < H + 2 * K)[:, None] & (lane < D // 2)[None, :]
    is_query = (head < H)[:, None]
    is_key = ((head >= H) & (head < H + K))[:, None]
    is_value = (head >= H + K)[:, None]

    source = qkv_ptr + row * ((H + 2 * K) * D) + head[:, None] * D + lane[None, :]
    first = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(source + D // 2, mask=inside, other=0.0).to(tl.float32)
    plain_first, plain_second = first, second
    if HAS_NORM:
        square = tl.sum(first * first + second * second, axis=1) / D
        scale = (1.0 / tl.sqrt(square + eps))[:, None]
        first *= scale * _weight(q_norm_ptr, k_norm_ptr, is_query, lane, D)
        second *= scale * _weight(q_norm_ptr + D // 2, k_norm_ptr + D // 2, is_query, lane, D)

    position = tl.load(position_ptr + row).to(tl.int64)
    cos = tl.load(cos_ptr + position * D + lane, mask=lane < D // 2, other=0.0)[None, :]
    sin = tl.load(sin_ptr + position * D + lane, mask=lane < D // 2, other=0.0)[None, :]
    turned_first = first * cos - second * sin
    turned_second = second * cos + first * sin

    query = q_ptr + row * (H * D) + head[:, None] * D + lane[None, :]
    query_type = q_ptr.dtype.element_ty
    tl.store(query, turned_first.to(query_type), mask=inside & is_query)
    tl.store(query + D // 2, turned_second.to(query_type), mask=inside & is_query)

    slot = tl.load(slot_ptr + row).to(tl.int64)
    block_start = (slot // B) * (K * B * D) + (slot % B) * D
    cache_type = keys_ptr.dtype.element_ty
    key = keys_ptr + block_start + (head - H)[:, None] * (B * D) + lane[None, :]
    tl.store(key, turned_first.to(cache_type), mask=inside & is_key)
    tl.store(key + D // 2, turned_second.to(cache_type), mask=inside & is_key)
    value = values_ptr + block_start + (head - H - K)[:, None] * (B * D) + lane[None, :]
    tl.store(value, plain_first.to(cache_type), mask=inside & is_value)
    tl.store(value + D // 2, plain_second.to(cache_type), mask=inside & is_value)


def rotate_and_store(
    qkv_TE: Tensor, rotation: Rotation, position_T: Tensor, slot_T: Tensor, cache: LayerCache
) -> Tensor:
    """See operators.RotateAndStore. Only the first half of the RoPE tables is read."""
    T, E = qkv_TE.shape
    _, K, B, D = cache.keys_NKBD.shape
    H = E // D - 2 * K
    q_THD = torch.empty(T, H, D, dtype=qkv_TE.dtype, device=qkv_TE.device)
    has_norm = rotation.q_norm_D is not None and rotation.k_norm_D is not None
    assert has_norm or (rotation.q_norm_D is None and rotation.k_norm_D is None)
    assert all(x.is_contiguous() for x in (qkv_TE, *cache))
    if T:
        rotate_and_store_kernel[(T, triton.cdiv(H + 2 * K, HEADS_PER_PROGRAM))](
            qkv_TE,
            q_THD,
            cache.keys_NKBD,
            cache.values_NKBD,
            rotation.cos_CD,
            rotation.sin_CD,
            rotation.q_norm_D if has_norm else rotation.cos_CD,
            rotation.k_norm_D if has_norm else rotation.cos_CD,
            position_T,
            slot_T,
            rotation.eps,
            H=H,
            K=K,
            D=D,
            B=B,
            HAS_NORM=has_norm,
            HEADS=HEADS_PER_PROGRAM,
            HALF=triton.next_power_of_2(D // 2),
            num_warps=4,
        )
    return q_THD
