"""Residual add and RMSNorm or LayerNorm in one pass: a row is read once and lies in registers.

Eager PyTorch reads and writes the row for the sum, the square, the mean, the scale and the weight.

Legend: T rows, M model width.
"""

# Launch options are not in a kernel's signature.
# pyright: reportCallIssue=false, reportOperatorIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from paceline.engine.cuda.operators import Norm


@triton.jit
def add_norm_kernel(
    x_ptr,
    residual_ptr,
    weight_ptr,
    bias_ptr,
    out_ptr,
    eps,
    M: tl.constexpr,
    HAS_X: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_LAYER: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program is one row; BLOCK >= M."""
    start = tl.program_id(0).to(tl.int64) * M
    column = tl.arange(0, BLOCK)
    inside = column < M
    total = tl.load(residual_ptr + start + column, mask=inside, other=0.0).to(tl.float32)
    if HAS_X:
        total += tl.load(x_ptr + start + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(
            residual_ptr + start + column, total.to(residual_ptr.dtype.element_ty), mask=inside
        )
    if IS_LAYER:
        total = tl.where(inside, total - tl.sum(total, axis=0) / M, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(total * total, axis=0) / M + eps)
    normed = total * scale * tl.load(weight_ptr + column, mask=inside, other=0.0)
    if HAS_BIAS:
        normed += tl.load(bias_ptr + column, mask=inside, other=0.0)
    tl.store(out_ptr + start + column, normed.to(out_ptr.dtype.element_ty), mask=inside)


def add_norm(x_TM: Tensor | None, residual_TM: Tensor, norm: Norm) -> Tensor:
    """See operators.AddNorm."""
    T, M = residual_TM.shape
    out_TM = torch.empty_like(residual_TM)
    block = triton.next_power_of_2(M)
    assert residual_TM.is_contiguous()
    assert x_TM is None or x_TM.is_contiguous()
    if T:
        add_norm_kernel[(T,)](
            residual_TM if x_TM is None else x_TM,
            residual_TM,
            norm.weight_M,
            norm.weight_M if norm.bias_M is None else norm.bias_M,
            out_TM,
            norm.eps,
            M=M,
            HAS_X=x_TM is not None,
            HAS_BIAS=norm.bias_M is not None,
            IS_LAYER=norm.is_layer,
            BLOCK=block,
            num_warps=min(max(block // 512, 1), 16),
        )
    return out_TM
