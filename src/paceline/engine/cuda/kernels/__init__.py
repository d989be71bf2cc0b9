"""The operators in Triton. Importing this package imports Triton; only `load_operators` does so.

Tensors are contiguous, tails are masked, sums and softmax are float32. Sizes of the model are
compile-time constants; the number of rows is the grid, so nothing is compiled anew as batches change.
"""

import os

from paceline.engine.cuda.kernels.activation import activate
from paceline.engine.cuda.kernels.attention import IS_INTERPRETED, attend
from paceline.engine.cuda.kernels.norm import add_norm
from paceline.engine.cuda.kernels.rotation import rotate_and_store
from paceline.engine.cuda.kernels.sampling import pick
from paceline.engine.cuda.operators import Operators

# What Triton 3.9 does anyway, and warns that it will not do for ever: contract a * b + c.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

__all__ = [
    "IS_INTERPRETED",
    "OPERATORS",
    "activate",
    "add_norm",
    "attend",
    "pick",
    "rotate_and_store",
]

OPERATORS = Operators(add_norm, rotate_and_store, attend, activate, pick)
