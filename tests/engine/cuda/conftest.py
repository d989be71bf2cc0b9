"""Lets Triton's kernels run here: on the GPU where there is one, else in Triton's interpreter on the CPU.

Triton decides when a kernel is defined, by TRITON_INTERPRET. Its own library functions (tl.sum) are
defined when it is first imported, which another test may have caused, so they are defined anew. The
variable is put back, because tests of torch.compile share this process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os

import pytest
import torch

from paceline.engine.cuda import eager
from paceline.engine.cuda.operators import Operators

HAS_TRITON = importlib.util.find_spec("triton") is not None


def define_kernels() -> None:
    """Import the kernels, interpreted unless there is a GPU."""
    before = os.environ.get("TRITON_INTERPRET")
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
        for name in ("triton.language.standard", "triton.language"):
            importlib.reload(importlib.import_module(name))
    kernels = importlib.import_module("paceline.engine.cuda.kernels")
    if kernels.IS_INTERPRETED:  # the first launch imports more of Triton
        kernels.activate(torch.zeros(1, 2), is_gated=True)
    if before is None:
        os.environ.pop("TRITON_INTERPRET", None)
    else:
        os.environ["TRITON_INTERPRET"] = before


if HAS_TRITON:
    define_kernels()


@pytest.fixture
def device() -> torch.device:
    """Where kernels run in these tests."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["triton", "eager"])
def operators(request: pytest.FixtureRequest) -> Operators:
    """The operators under test; their twin is the reference."""
    if request.param == "eager":
        return eager.OPERATORS
    if not HAS_TRITON:
        pytest.skip("Triton is not installed")
    from paceline.engine.cuda import kernels

    return kernels.OPERATORS
