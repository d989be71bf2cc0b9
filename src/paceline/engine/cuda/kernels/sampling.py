"""Argmax and log-sum-exp over the vocabulary in one pass: the id and its log-probability.

    program (row, split)    keeps per lane the best score, its id and logit, the largest logit and the
                            sum of exponentials; lanes are joined at the end
    join (row)              joins the splits

Legend: R rows, V vocabulary.
"""

# Launch options are not in a kernel's signature.
# pyright: reportCallIssue=false, reportOperatorIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
MAX_SPLITS = 32


@triton.jit
def _join(score, id, logit, top, total):
    """Join lanes to scalars; the smallest id among equal scores."""
    best = tl.max(score, axis=0)
    best_id = tl.min(tl.where(score == best, id, 2147483647), axis=0)
    best_logit = tl.max(tl.where(id == best_id, logit, float("-inf")), axis=0)
    all_top = tl.max(top, axis=0)
    safe_top = tl.where(all_top == float("-inf"), 0.0, all_top)
    return best, best_id, best_logit, all_top, tl.sum(total * tl.exp(top - safe_top), axis=0)


@triton.jit
def pick_kernel(
    logits_ptr,
    inverse_temperature_ptr,
    noise_ptr,
    id_ptr,
    part_ptr,
    V: tl.constexpr,
    HAS_TEMPERATURE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Scan one split of a row's vocabulary."""
    row, split, num_splits = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    start = row.to(tl.int64) * V
    width = tl.cdiv(tl.cdiv(V, BLOCK), num_splits) * BLOCK
    inverse_temperature = 1.0
    if HAS_TEMPERATURE:
        inverse_temperature = tl.load(inverse_temperature_ptr + row)
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    best_id = tl.full([BLOCK], 2147483647, tl.int32)
    best_logit = tl.full([BLOCK], float("-inf"), tl.float32)
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(split * width, tl.minimum((split + 1) * width, V), BLOCK):
        id = first + tl.arange(0, BLOCK)
        inside = id < V
        logit = tl.load(logits_ptr + start + id, mask=inside, other=float("-inf"))
        score = logit * inverse_temperature
        if HAS_NOISE:
            score += tl.load(noise_ptr + start + id, mask=inside, other=0.0)
        better = score > best
        best = tl.where(better, score, best)
        best_id = tl.where(better, id, best_id)
        best_logit = tl.where(better, logit, best_logit)
        new_top = tl.maximum(top, logit)
        safe_top = tl.where(new_top == float("-inf"), 0.0, new_top)
        total = total * tl.exp(top - safe_top) + tl.exp(logit - safe_top)
        top = new_top
    best, best_id, best_logit, top, total = _join(best, best_id, best_logit, top, total)
    part, num_parts = row * num_splits + split, tl.num_programs(0) * num_splits
    tl.store(id_ptr + part, best_id)
    tl.store(part_ptr + part, best)
    tl.store(part_ptr + num_parts + part, best_logit)
    tl.store(part_ptr + 2 * num_parts + part, top)
    tl.store(part_ptr + 3 * num_parts + part, total)


@triton.jit(do_not_specialize=["num_splits"])
def join_kernel(
    id_ptr,
    part_ptr,
    out_id_ptr,
    out_logprob_ptr,
    num_splits,
    SPLITS: tl.constexpr,
):
    """Join the splits of one row; SPLITS >= num_splits."""
    row = tl.program_id(0)
    split = tl.arange(0, SPLITS)
    part = row * num_splits + split
    inside = split < num_splits
    num_parts = tl.num_programs(0) * num_splits
    id = tl.load(id_ptr + part, mask=inside, other=2147483647)
    score = tl.load(part_ptr + part, mask=inside, other=float("-inf"))
    logit = tl.load(part_ptr + num_parts + part, mask=inside, other=float("-inf"))
    top = tl.load(part_ptr + 2 * num_parts + part, mask=inside, other=float("-inf"))
    total = tl.load(part_ptr + 3 * num_parts + part, mask=inside, other=0.0)
    score, id, logit, top, total = _join(score, id, logit, top, total)
    tl.store(out_id_ptr + row, tl.where(id == 2147483647, 0, id).to(tl.int64))
    tl.store(out_logprob_ptr + row, logit - top - tl.log(total))


def pick(
    logits_RV: Tensor,
    inverse_temperature_R: Tensor | None = None,
    noise_RV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """See operators.Pick."""
    R, V = logits_RV.shape
    device = logits_RV.device
    ids_R = torch.empty(R, dtype=torch.int64, device=device)
    logprobs_R = torch.empty(R, dtype=torch.float32, device=device)
    splits = min(MAX_SPLITS, triton.cdiv(V, 4 * BLOCK))
    parts = torch.empty(4, R * splits, dtype=torch.float32, device=device)
    part_id = torch.empty(R * splits, dtype=torch.int32, device=device)
    assert logits_RV.is_contiguous()
    assert logits_RV.dtype == torch.float32
    assert noise_RV is None or noise_RV.is_contiguous()
    if R:
        pick_kernel[(R, splits)](
            logits_RV,
            logits_RV if inverse_temperature_R is None else inverse_temperature_R,
            logits_RV if noise_RV is None else noise_RV,
            part_id,
            parts,
            V=V,
            HAS_TEMPERATURE=inverse_temperature_R is not None,
            HAS_NOISE=noise_RV is not None,
            BLOCK=BLOCK,
            num_warps=4,
        )
        join_kernel[(R,)](
            part_id,
            parts,
            ids_R,
            logprobs_R,
            splits,
            SPLITS=triton.next_power_of_2(splits),
            num_warps=1,
        )
    return ids_R, logprobs_R
