"""Which operators a device gets. The only place that imports Triton, and only when it is asked for."""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch

from paceline.core.errors import ConfigError
from paceline.engine.cuda import eager, reference
from paceline.engine.cuda.operators import Operators

OperatorKind = Literal["auto", "triton", "eager", "reference"]


def load_operators(kind: OperatorKind, device: torch.device) -> Operators:
    """Return the operators for `device`; auto is Triton on CUDA (eager without it), else the reference.

    Raises:
        ConfigError: Triton is asked for and cannot run here.
    """
    has_triton = importlib.util.find_spec("triton") is not None
    if kind == "auto" and device.type == "cuda":
        kind = "triton" if has_triton else "eager"
    if kind == "eager":
        return eager.OPERATORS
    if kind in ("auto", "reference"):
        return reference.OPERATORS
    if not has_triton:
        raise ConfigError("Triton is not installed; run `pip install triton` or use 'eager'.")
    from paceline.engine.cuda import kernels

    if device.type != "cuda" and not kernels.IS_INTERPRETED:
        raise ConfigError(
            "Triton kernels need a CUDA device; to interpret them on a CPU, set TRITON_INTERPRET=1 "
            "before Python starts."
        )
    return kernels.OPERATORS
