"""Paged attention, one kernel for decoding, verification and chunked prefill.

    program       (tile, key/value head, split)
    tile          up to max_rows consecutive rows of one sequence; the G query heads that share a key
                  head are folded into the tile's rows, so K and V are read once for all of them
    split         a part of the tile's keys; a second kernel joins the parts (flash-decoding)

A row at position p sees keys max(0, p - window + 1) .. p; the tile's keys are gathered through the
block table, 16 positions a block. Softmax is online, in base 2 and float32.

Source: Dao 2023, arXiv:2307.08691 (online softmax over key blocks); Dao et al. 2023, "Flash-Decoding"
(the split); Kwon et al. 2023, arXiv:2309.06180 (block tables).

Legend: T packed rows, H query heads, K key/value heads, G = H/K, D head width, A = H D, N blocks,
P tiles, S sequences, W table width.
"""

# Launch options are not in a kernel's signature.
# pyright: reportCallIssue=false, reportOperatorIssue=false
from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from paceline.engine.cuda.operators import LayerCache, Tiles

KEYS_PER_LOOP = 64
"""Keys handled together: four blocks of the cache."""
LEAST_ROWS = 16
"""Smallest side of a matrix product on tensor cores."""


@triton.jit
def _rows_of_tile(tiles_ptr, kv_head, G: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr):
    """Return (start of each row in q and out, in heads; is it a row; its number in the tile).

    Row m of the tile is query head m % G of packed row m // G.
    """
    tile, num_tiles = tl.program_id(0), tl.num_programs(0)
    m = tl.arange(0, ROWS)
    row = tl.load(tiles_ptr + tile) + m // G
    has_row = m // G < tl.load(tiles_ptr + num_tiles + tile)
    return row.to(tl.int64) * (K * G) + kv_head * G + m % G, has_row, m


@triton.jit
def _key_range(position, end, window, HAS_WINDOW: tl.constexpr, KEYS: tl.constexpr):
    """Return the first and last but one key of this split, the first a multiple of KEYS."""
    split, num_splits = tl.program_id(2), tl.num_programs(2)
    begin = 0
    if HAS_WINDOW:
        begin = tl.maximum(position - window + 1, 0) // KEYS * KEYS
    keys_per_split = tl.cdiv(tl.cdiv(end - begin, KEYS), num_splits) * KEYS
    begin += split * keys_per_split
    return begin, tl.minimum(begin + keys_per_split, end)


@triton.jit
def _add_keys(q, k, v, visible, scale, top, total, acc, WIDEN: tl.constexpr):
    """Take KEYS more keys into the running softmax (top, total, acc)."""
    value_type = v.dtype
    if WIDEN:
        q, k, v = q.to(tl.float32), k.to(tl.float32), v.to(tl.float32)
    score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    score = tl.where(visible, score, float("-inf"))
    largest = tl.maximum(top, tl.max(score, axis=1))
    safe = tl.where(largest == float("-inf"), 0.0, largest)
    weight = tl.exp2(score - safe[:, None])
    shrink = tl.exp2(top - safe)
    total = total * shrink + tl.sum(weight, axis=1)
    weight = weight.to(value_type)
    if WIDEN:
        weight = weight.to(tl.float32)
    acc = acc * shrink[:, None] + tl.dot(weight, v, input_precision="ieee")
    return largest, total, acc


@triton.jit(do_not_specialize=["table_width", "window"])
def attend_kernel(
    q_ptr,
    keys_ptr,
    values_ptr,
    out_ptr,
    part_log_ptr,
    tiles_ptr,
    table_ptr,
    table_width,
    scale,
    window,
    K: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    B: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    IS_SPLIT: tl.constexpr,
    WIDEN: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    LANES: tl.constexpr,
):
    """One tile, key/value head and split. `scale` includes log2(e).

    WIDEN multiplies in float32: Triton's interpreter would multiply bfloat16's bits as integers.
    """
    tile, kv_head, num_tiles = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    head, has_row, m = _rows_of_tile(tiles_ptr, kv_head, G, K, ROWS)
    position = tl.load(tiles_ptr + 2 * num_tiles + tile)
    end = position + tl.load(tiles_ptr + num_tiles + tile)
    table_ptr += tl.load(tiles_ptr + 3 * num_tiles + tile).to(tl.int64) * table_width
    lane = tl.arange(0, LANES)
    mask = has_row[:, None] & (lane < D)[None, :]
    q = tl.load(q_ptr + head[:, None] * D + lane[None, :], mask=mask, other=0.0)
    begin, stop = _key_range(position, end, window, HAS_WINDOW, KEYS)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, LANES], tl.float32)
    for start in range(begin, stop, KEYS):
        n = start + tl.arange(0, KEYS)
        block = tl.load(table_ptr + n // B, mask=n < end, other=0).to(tl.int64)
        offset = ((block * K + kv_head) * B + n % B) * D
        inside = (n < end)[:, None] & (lane < D)[None, :]
        k = tl.load(keys_ptr + offset[:, None] + lane[None, :], mask=inside, other=0.0)
        v = tl.load(values_ptr + offset[:, None] + lane[None, :], mask=inside, other=0.0)
        row_position = (position + m // G)[:, None]
        visible = n[None, :] <= row_position
        if HAS_WINDOW:
            visible = visible & (n[None, :] > row_position - window)
        top, total, acc = _add_keys(q, k, v, visible, scale, top, total, acc, WIDEN)
    acc = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    if IS_SPLIT:
        part = (tile * K + kv_head) * tl.num_programs(2) + tl.program_id(2)
        head = part.to(tl.int64) * ROWS + m
        log_total = top + tl.log2(tl.where(total == 0.0, 1.0, total))
        tl.store(part_log_ptr + head, log_total)
    out = acc.to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + head[:, None] * D + lane[None, :], out, mask=mask)


@triton.jit(do_not_specialize=["num_splits"])
def join_kernel(
    part_ptr,
    part_log_ptr,
    out_ptr,
    tiles_ptr,
    num_splits,
    K: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Weigh the parts of one tile and key/value head by their softmax totals."""
    kv_head = tl.program_id(1)
    head, has_row, m = _rows_of_tile(tiles_ptr, kv_head, G, K, ROWS)
    lane = tl.arange(0, LANES)
    mask = has_row[:, None] & (lane < D)[None, :]
    part = (tl.program_id(0) * K + kv_head).to(tl.int64) * num_splits * ROWS + m
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, LANES], tl.float32)
    for split in range(0, num_splits):
        row = part + split * ROWS
        log_total = tl.load(part_log_ptr + row)
        out = tl.load(part_ptr + row[:, None] * D + lane[None, :], mask=mask, other=0.0)
        largest = tl.maximum(top, log_total)
        safe = tl.where(largest == float("-inf"), 0.0, largest)
        old, new = tl.exp2(top - safe), tl.exp2(log_total - safe)
        total = total * old + new
        acc = acc * old[:, None] + out * new[:, None]
        top = largest
    acc = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    out = acc.to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + head[:, None] * D + lane[None, :], out, mask=mask)


IS_INTERPRETED = not isinstance(attend_kernel, triton.JITFunction)
"""Were the kernels defined for Triton's interpreter (TRITON_INTERPRET=1), which runs on a CPU?"""


def attend(
    q_THD: Tensor, cache: LayerCache, tiles: Tiles, window: int | None, out_TA: Tensor
) -> None:
    """See operators.Attend."""
    P, splits = tiles.columns_4P.shape[1], tiles.num_splits
    if not P:
        return
    _, H, D = q_THD.shape
    _, K, B, _ = cache.keys_NKBD.shape
    rows = max(LEAST_ROWS, triton.next_power_of_2(tiles.max_rows * (H // K)))
    lanes = max(LEAST_ROWS, triton.next_power_of_2(D))
    assert all(x.is_contiguous() for x in (q_THD, out_TA, tiles.table_SW, tiles.columns_4P))
    assert KEYS_PER_LOOP % B == 0
    out = part_log = out_TA
    if splits > 1:
        part_rows = P * K * splits * rows
        out = torch.empty(part_rows, D, dtype=torch.float32, device=q_THD.device)
        part_log = torch.empty(part_rows, dtype=torch.float32, device=q_THD.device)
    attend_kernel[(P, K, splits)](
        q_THD,
        cache.keys_NKBD,
        cache.values_NKBD,
        out,
        part_log,
        tiles.columns_4P,
        tiles.table_SW,
        tiles.table_SW.shape[1],
        math.log2(math.e) / math.sqrt(D),
        0 if window is None else window,
        K=K,
        G=H // K,
        D=D,
        B=B,
        HAS_WINDOW=window is not None,
        IS_SPLIT=splits > 1,
        WIDEN=IS_INTERPRETED,
        ROWS=rows,
        KEYS=KEYS_PER_LOOP,
        LANES=lanes,
        num_warps=4 if rows <= 64 else 8,
        num_stages=2,
    )
    if splits > 1:
        sizes = {"K": K, "G": H // K, "D": D, "ROWS": rows, "LANES": lanes}
        join_kernel[(P, K)](out, part_log, out_TA, tiles.columns_4P, splits, **sizes, num_warps=4)
