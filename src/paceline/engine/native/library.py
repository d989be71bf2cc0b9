"""The C interface in ctypes (api.h), and the check that a freshly loaded library computes correctly."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor

from paceline.engine.native.build import build_library, open_verified
from paceline.engine.native.errors import NativeUnavailableError

GROUP = 64
"""Inputs that share a scale."""


class Matrix(IntEnum):
    """PlMatrix."""

    QKV = 0
    OUT = 1
    FFN_IN = 2
    FFN_OUT = 3
    HEAD = 4
    EMBEDDING = 5


class Vector(IntEnum):
    """PlVector."""

    ATTENTION_NORM = 0
    ATTENTION_NORM_BIAS = 1
    QKV_BIAS = 2
    Q_NORM = 3
    K_NORM = 4
    OUT_BIAS = 5
    FFN_NORM = 6
    FFN_NORM_BIAS = 7
    FFN_IN_BIAS = 8
    FFN_OUT_BIAS = 9
    NORM = 10
    NORM_BIAS = 11


STATUS = {
    1: "the step is malformed: a start, a length or a number of logit rows is out of range",
    2: "a token id is outside the vocabulary",
    3: "a block id is outside the KV cache, or a block table is too short for its rows",
    4: "a sequence is longer than the context window",
    5: "a row names an adapter that is not loaded",
    6: "there is not enough memory",
    7: "the process was forked after the executor was made",
}
"""Meanings of PlStatus."""


class Config(ctypes.Structure):
    """PlConfig."""

    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in (
                "vocab_size",
                "hidden_size",
                "num_layers",
                "num_heads",
                "num_kv_heads",
                "head_dim",
                "ffn_size",
                "context_tokens",
                "num_blocks",
                "num_threads",
                "is_gated",
                "window_tokens",
            )
        ),
        ("norm_eps", ctypes.c_float),
    ]


_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_FUNCTIONS = {
    "pl_target": (ctypes.c_char_p, ()),
    "pl_create": (_POINTER, (ctypes.POINTER(Config),)),
    "pl_destroy": (None, (_POINTER,)),
    "pl_set_matrix": (None, (_POINTER, _INT, _INT, _POINTER)),
    "pl_set_vector": (_INT, (_POINTER, _INT, _INT, _POINTER)),
    "pl_set_rope": (None, (_POINTER, _POINTER, _POINTER)),
    "pl_set_low_rank": (_INT, (_POINTER, _INT, _INT, _INT, _INT, _POINTER, _POINTER)),
    "pl_remove_adapter": (None, (_POINTER, _INT)),
    "pl_block_bytes": (_LONG, (_POINTER,)),
    "pl_weight_bytes": (_LONG, (_POINTER,)),
    "pl_forward": (_INT, (_POINTER, _INT, _POINTER, _LONG, _POINTER, _LONG)),
    "pl_copy_blocks": (_INT, (_POINTER, _POINTER, _LONG)),
    "pl_linear": (_INT, (_POINTER, _POINTER, _INT, _INT, _INT, _POINTER, _POINTER)),
}


@functools.cache
def load_library(target: str | None = None) -> ctypes.CDLL:
    """Build if needed, load and check the library; once in a process.

    Args:
        target: value for -march; None means this processor.

    Raises:
        NativeUnavailableError: it cannot be built or loaded, or computes wrongly.
    """
    return open_library(build_library(target))


def open_library(path: Path) -> ctypes.CDLL:
    """Load and check one shared library, as `build_library` returns it.

    Raises:
        NativeUnavailableError: it is damaged, cannot be loaded or computes wrongly.
    """
    try:
        library = _load(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, list(arguments)
    except (OSError, AttributeError) as cause:
        raise NativeUnavailableError(
            f"{path} cannot be loaded ({cause}); delete it and start again."
        ) from cause
    _check(library, path)
    return library


def _load(path: Path) -> ctypes.CDLL:
    """Load the very bytes that were verified, even if the file is exchanged meanwhile.

    The descriptor stays open: the loader takes a name it has seen for the library it knows by it.
    """
    handle = open_verified(path)
    try:
        return ctypes.CDLL(f"/proc/self/fd/{handle}" if sys.platform == "linux" else str(path))
    except OSError:
        os.close(handle)
        raise


def linear(library: ctypes.CDLL, weight_NK: Tensor, x_RK: Tensor) -> tuple[Tensor, Tensor]:
    """x W^T through the 8-bit kernel, and the bytes into which x was quantised. For checks."""
    (n, k), rows = weight_NK.shape, x_RK.shape[0]
    out_RN = torch.empty(rows, n)
    bytes_RK = torch.empty(rows, k, dtype=torch.int8)
    status = library.pl_linear(
        weight_NK.contiguous().data_ptr(),
        x_RK.contiguous().data_ptr(),
        n,
        k,
        rows,
        out_RN.data_ptr(),
        bytes_RK.data_ptr(),
    )
    if status:
        raise MemoryError(STATUS[status])
    return out_RN, bytes_RK


def slow_linear(weight_NK: Tensor, x_RK: Tensor) -> tuple[Tensor, Tensor]:
    """What `linear` must return, in float64: its slow twin."""
    weights_NGI, weight_scales_NG = _quantise(weight_NK)
    x_RGI, x_scales_RG = _quantise(x_RK)
    sums_RNG = torch.einsum("rgi,ngi->rng", x_RGI.double(), weights_NGI.double())
    scales_RNG = x_scales_RG[:, None] * weight_scales_NG[None]
    bytes_RK = x_RGI.flatten(1)[:, : x_RK.shape[1]].to(torch.int8)
    return (sums_RNG * scales_RNG.double()).sum(-1), bytes_RK


def _quantise(x_RK: Tensor) -> tuple[Tensor, Tensor]:
    rows, k = x_RK.shape
    padded_RGI = torch.nn.functional.pad(x_RK, (0, -k % GROUP)).view(rows, -1, GROUP)
    largest_RG = padded_RGI.abs().amax(-1)
    # A tensor over a tensor: `127.0 / tensor` is 127 times the reciprocal, which rounds twice and so differs at ties.
    inverse_RG = torch.where(largest_RG < 1e-30, 0.0, torch.tensor(127.0) / largest_RG)
    return (padded_RGI * inverse_RG[..., None]).round(), largest_RG / 127.0


def _check(library: ctypes.CDLL, path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weight_NK = torch.randn(70, 100, generator=generator)
    x_RK = torch.randn(9, 100, generator=generator)
    out_RN, bytes_RK = linear(library, weight_NK, x_RK)
    wanted_RN, wanted_bytes_RK = slow_linear(weight_NK, x_RK)
    if not torch.equal(bytes_RK, wanted_bytes_RK) or not torch.allclose(
        out_RN.double(), wanted_RN, rtol=1e-5, atol=1e-5
    ):
        raise NativeUnavailableError(
            f"{path} computes wrong products, so the compiler or the processor is broken; set CXX to another compiler."
        )
