"""Matrix products of a step, with dense or fp8 weights.

fp8 is e4m3 with one scale per output channel of the weight and one per row of the input, chosen anew
each step; products accumulate in float32 on the tensor cores (torch._scaled_mm).

Legend: T packed rows, I input width, O output width.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.core.errors import ConfigError

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
FP8_ALIGNMENT = 16
"""torch._scaled_mm wants both widths in multiples of this."""


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x / scale in fp8, scale [rows, 1] float32); the largest of each row becomes 448."""
    x32 = x.float()
    scale = x32.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / FP8_MAX
    return (x32 / scale).to(FP8), scale


class Linear:
    """y = x W^T + b, in the dtype of x."""

    def __init__(
        self, weight_OI: Tensor, bias_O: Tensor | None, dtype: torch.dtype, *, is_fp8: bool
    ) -> None:
        self.bias_O = None if bias_O is None else bias_O.to(dtype)
        self.scale_1O: Tensor | None = None
        if is_fp8:
            quantised_OI, scale_O1 = quantise_rows(weight_OI)
            self.weight_OI, self.scale_1O = quantised_OI.contiguous(), scale_O1.T.contiguous()
        else:
            self.weight_OI = weight_OI.to(dtype).contiguous()

    @property
    def num_bytes(self) -> int:
        """Memory of the weight."""
        return self.weight_OI.numel() * self.weight_OI.element_size()

    def __call__(self, x_TI: Tensor) -> Tensor:
        if self.scale_1O is None:
            return F.linear(x_TI, self.weight_OI, self.bias_O)
        quantised_TI, scale_T1 = quantise_rows(x_TI)
        out_TO = torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
            quantised_TI,
            self.weight_OI.T,
            scale_a=scale_T1,
            scale_b=self.scale_1O,
            out_dtype=x_TI.dtype,
        )
        return out_TO if self.bias_O is None else out_TO + self.bias_O


def check_fp8(device: torch.device, widths: Items[int]) -> None:
    """Refuse fp8 where it cannot run.

    Raises:
        ConfigError: the device has no fp8 with row-wise scales, or a width does not fit.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (9, 0):
        raise ConfigError(
            "engine.dtype 'fp8' needs an NVIDIA GPU of compute capability 9.0 or more (H100, H200); "
            "use 'bfloat16'."
        )
    for width in widths:
        if width % FP8_ALIGNMENT:
            raise ConfigError(
                f"engine.dtype 'fp8' needs matrix widths in multiples of {FP8_ALIGNMENT}, and this model "
                f"has one of {width}; use 'bfloat16'."
            )
