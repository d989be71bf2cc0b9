"""The fused operators of a decoder, as one tuple of functions: Triton's or the reference.

A runner composes these with matrix products and knows no more; so the same step can be computed by
kernels, by their slow twin, or by a mixture that a benchmark puts together.

Legend: T packed rows, M model width, E = (H + 2K) D fused projection, H query heads, K key/value
heads, D head width, A = H D, F feed-forward width, C context, N blocks, P tiles, S sequences,
W blocks of the longest sequence, R rows with logits, V vocabulary.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Norm(NamedTuple):
    """RMSNorm, or LayerNorm; float32 on the device."""

    weight_M: Tensor
    bias_M: Tensor | None
    eps: float
    is_layer: bool
    """LayerNorm subtracts the mean."""


class Rotation(NamedTuple):
    """What happens to queries and keys before attention; tensors float32."""

    cos_CD: Tensor
    sin_CD: Tensor
    q_norm_D: Tensor | None
    k_norm_D: Tensor | None
    eps: float


class LayerCache(NamedTuple):
    """One layer's keys and values. Position p of a sequence lies in block p // 16 of its table."""

    keys_NKBD: Tensor
    values_NKBD: Tensor
    """B = 16 positions of a block; a head's 16 rows are contiguous."""


class Tiles(NamedTuple):
    """Query rows of attention, cut into tiles. A tile's rows are consecutive rows of one sequence."""

    columns_4P: Tensor
    """For each tile: the packed row where it starts, its number of rows (1 .. max_rows), the absolute
    position of the first one, and the row of its block table. Contiguous int32."""
    table_SW: Tensor
    """Block tables, int32; what lies behind a sequence's last block is never read."""
    max_rows: int
    """Rows that every tile has room for; a power of two."""
    num_splits: int
    """Parts that a tile's keys are cut into; 1 does without a reduction."""


class AddNorm(Protocol):
    def __call__(self, x_TM: Tensor | None, residual_TM: Tensor, norm: Norm) -> Tensor:
        """Add x to the residual in place (unless None) and return the norm of the sum [T, M]."""
        ...


class RotateAndStore(Protocol):
    def __call__(
        self,
        qkv_TE: Tensor,
        rotation: Rotation,
        position_T: Tensor,
        slot_T: Tensor,
        cache: LayerCache,
    ) -> Tensor:
        """Norm (if given) and turn queries and keys; store keys and values at slot = block 16 + offset.

        Returns q_THD.
        """
        ...


class Attend(Protocol):
    def __call__(
        self, q_THD: Tensor, cache: LayerCache, tiles: Tiles, window: int | None, out_TA: Tensor
    ) -> None:
        """Write softmax(q k^T / sqrt(D), causal by position, within `window`) v of the tiles' rows."""
        ...


class Activate(Protocol):
    def __call__(self, x: Tensor, *, is_gated: bool) -> Tensor:
        """Gated: silu(first half) * second half, [T, 2F] to [T, F]. Plain: GELU's tanh form, [T, F]."""
        ...


class Pick(Protocol):
    def __call__(
        self,
        logits_RV: Tensor,
        inverse_temperature_R: Tensor | None = None,
        noise_RV: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (ids_R int64, logprobs_R) of argmax(logits * inverse temperature + noise).

        The smallest id among equals. Log-probabilities are those of the given logits, at temperature 1.
        Gumbel noise makes it a draw. All float32; one pass over the vocabulary.
        """
        ...


class Operators(NamedTuple):
    """The five of them."""

    add_norm: AddNorm
    rotate_and_store: RotateAndStore
    attend: Attend
    activate: Activate
    pick: Pick
