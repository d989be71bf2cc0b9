"""The feed-forward's activation on the output of its first matrix product.

Legend: T rows, F feed-forward width.
"""

# Launch options are not in a kernel's signature.
# pyright: reportCallIssue=false, reportOperatorIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def activate_kernel(x_ptr, out_ptr, F: tl.constexpr, IS_GATED: tl.constexpr, BLOCK: tl.constexpr):
    """One program is BLOCK columns of one row."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < F
    if IS_GATED:
        gate = tl.load(x_ptr + row * (2 * F) + column, mask=inside, other=0.0).to(tl.float32)
        up = tl.load(x_ptr + row * (2 * F) + F + column, mask=inside, other=0.0).to(tl.float32)
        out = gate * tl.sigmoid(gate) * up
    else:
        x = tl.load(x_ptr + row * F + column, mask=inside, other=0.0).to(tl.float32)
        # gelu_tanh(x) = x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
        out = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    tl.store(out_ptr + row * F + column, out.to(out_ptr.dtype.element_ty), mask=inside)


def activate(x: Tensor, *, is_gated: bool) -> Tensor:
    """See operators.Activate."""
    T, width = x.shape
    F = width // 2 if is_gated else width
    out_TF = torch.empty(T, F, dtype=x.dtype, device=x.device)
    block = min(BLOCK, triton.next_power_of_2(F))
    assert x.is_contiguous()
    if T:
        grid = (T, triton.cdiv(F, block))
        activate_kernel[grid](x, out_TF, F=F, IS_GATED=is_gated, BLOCK=block, num_warps=4)
    return out_TF
