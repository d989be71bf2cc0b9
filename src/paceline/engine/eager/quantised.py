"""One weight matrix, kept in the forms that suit few rows and many: y = x W^T + b.

    dtype "auto" on a CPU with bfloat16 instructions
        1 .. FEW_ROWS rows    int8, one scale for each output    half the memory read per step
        more                  bfloat16, repacked by oneDNN       no repacking per step
    otherwise                 one plain copy in the dtype

Measured with one thread, ms for a [3456, 640] matrix, twelve in turn (int8 / repacked bfloat16 /
plain bfloat16 / float32): 1 row 0.08 / 0.12 / 0.24 / 0.31; 4 rows 0.11 / 0.13 / 0.24 / 0.64; 6 rows
0.19 / 0.15 / 0.27 / 0.77; 256 rows 7.2 / 2.2 / 2.3 / 10.

Both kernels are private operations of PyTorch, so nothing depends on them: each matrix compares what
they return with the definition once, and does without a kernel that is absent or disagrees.

Legend: T rows, I input width, O output width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_ROWS = 4
"""Up to here int8 wins, although it computes row by row."""
INT8_WIDTH = 32
"""The int8 kernel reads past the end of a row whose width is no multiple of 16: refused beforehand."""
MAX_ERROR = 0.05
"""Of a kernel against the definition, in units of the largest output; int8 gives 0.01."""

Kernel = Callable[[Tensor], Tensor]


class Matrix(Protocol):
    """A linear map."""

    num_bytes: int
    """Memory of all copies."""

    def __call__(self, x_TI: Tensor) -> Tensor:
        """Return y_TO, a new tensor in the compute dtype; x_TI may be of another float dtype."""
        ...


class PlainMatrix:
    """One copy. Float matrices lie [in, out], which is up to 1.6x faster for one row."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        weight_IO = weight_OI.to(dtype).t()
        is_wide = dtype in (torch.float32, torch.float64) and weight_OI.device.type == "cpu"
        self._weight_IO = weight_IO.contiguous() if is_wide else weight_IO
        self._bias_O = bias_O if bias_O is None else bias_O.to(dtype)
        self.num_bytes = _num_bytes(self._weight_IO, self._bias_O)

    def __call__(self, x_TI: Tensor) -> Tensor:
        x_TI = x_TI.to(self._weight_IO.dtype)
        if self._bias_O is None:
            return x_TI @ self._weight_IO
        return torch.addmm(self._bias_O, x_TI, self._weight_IO)


class MixedMatrix:
    """Copies on the CPU, bfloat16 in and out: repacked for many rows and, if wanted, int8 for few."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, has_int8: bool = True) -> None:
        bias_bf16 = bias_O if bias_O is None else bias_O.bfloat16()
        plain = PlainMatrix(weight_OI, bias_O, torch.bfloat16)
        packed = _pack_bfloat16(weight_OI, bias_bf16)
        int8 = _pack_int8(weight_OI, bias_bf16) if has_int8 else None
        self._many, many_bytes = packed or (plain, plain.num_bytes)
        self._few, few_bytes = int8 or (self._many, 0)
        self.num_bytes = many_bytes + few_bytes

    @property
    def kernels(self) -> tuple[str, str]:
        """Names of the kernels for (few, many) rows."""
        return type(self._few).__name__, type(self._many).__name__

    def __call__(self, x_TI: Tensor) -> Tensor:
        kernel = self._few if x_TI.shape[0] <= FEW_ROWS else self._many
        return kernel(x_TI.bfloat16())


class _Int8:
    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        scale_O = weight_OI.float().abs().amax(1).clamp_min(1e-12) / 127
        scale_O = scale_O.bfloat16().float()  # the kernel's; rounding happens after it, not before
        levels_OI = (weight_OI.float() / scale_O[:, None]).round_().clamp_(-127, 127)
        self._levels_OI, self._scale_O = levels_OI.to(torch.int8), scale_O.bfloat16()
        self._bias_O = bias_O
        self.num_bytes = _num_bytes(self._levels_OI, self._scale_O, bias_O)

    def __call__(self, x_TI: Tensor) -> Tensor:
        y_TO = torch.ops.aten._weight_int8pack_mm(x_TI, self._levels_OI, self._scale_O)
        return y_TO if self._bias_O is None else y_TO.add_(self._bias_O)


class _Packed:
    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        reorder = torch.ops.mkldnn._reorder_linear_weight
        self._weight, self._bias_O = reorder(weight_OI.bfloat16(), 64), bias_O
        self.num_bytes = weight_OI.numel() * 2 + _num_bytes(bias_O)

    def __call__(self, x_TI: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x_TI, self._weight, self._bias_O, "none", [], "")


def _pack_int8(weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Kernel, int] | None:
    if weight_OI.shape[1] % INT8_WIDTH:
        return None
    return _tested(_Int8, weight_OI, bias_O, num_rows=1)


def _pack_bfloat16(weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Kernel, int] | None:
    return _tested(_Packed, weight_OI, bias_O, num_rows=FEW_ROWS + 1)


def _tested(
    kind: type[_Int8] | type[_Packed], weight_OI: Tensor, bias_O: Tensor | None, num_rows: int
) -> tuple[Kernel, int] | None:
    """Build a kernel and compare it with the definition; None if it is absent or wrong."""
    generator = torch.Generator().manual_seed(0)
    x_TI = torch.randn(num_rows, weight_OI.shape[1], generator=generator).bfloat16()
    bias = None if bias_O is None else bias_O.float()
    expected = F.linear(x_TI.float(), weight_OI.float(), bias)
    try:
        kernel = kind(weight_OI, bias_O)
        error = (kernel(x_TI).float() - expected).abs().max()
    except (AttributeError, RuntimeError):
        return None  # another PyTorch, or a CPU that it has no such kernel for
    return (kernel, kernel.num_bytes) if error <= MAX_ERROR * expected.abs().max() else None


def _num_bytes(*tensors: Tensor | None) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
