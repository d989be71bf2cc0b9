"""What a forward pass is asked, and by whom it is answered. No torch at run time, no threads.

    block table   [ 7 | 2 | 9 ]            physical block of positions 0-15, 16-31, 32-47
    rows          start=30, ids=[a b c]    positions 30, 31, 32: written to blocks 2, 2, 9
                  num_logit_rows=2         logits of b and c are wanted

A block holds the keys and values of BLOCK_TOKENS consecutive positions, of all layers. Several
sequences may name the same block; only its last writer writes to it (engine/prefix_cache.py).
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from paceline.engine.lora import LoraAdapter

BLOCK_TOKENS = 16
"""Positions in a block of the KV cache. Small, so that little is computed twice after a divergence;
16 lanes also fill an AVX-512 register."""


class Rows(NamedTuple):
    """New ids of one sequence, at positions start, start+1, ...: all that a forward pass must know."""

    block_ids: Items[int]
    """Blocks of positions 0 .. end-1, in order; there may be more of them than that."""
    start: int
    token_ids: list[int]
    num_logit_rows: int
    """How many of the last rows need logits."""
    adapter: int = 0
    """Row of the adapter table; 0 is the base model."""

    @property
    def end(self) -> int:
        return self.start + len(self.token_ids)


class Executor(Protocol):
    """What computes steps on one device. The engine needs no more of a model than this.

    Every call comes from the engine's one thread.
    """

    context_tokens: int
    vocab_size: int
    num_blocks: int
    """Blocks of the KV cache; ids 0 .. num_blocks-1."""
    block_bytes: int
    """Memory of one block, keys and values of all layers."""
    weight_bytes: int
    """What a step reads of the weights, if it reads all of them once."""
    num_threads: int
    """CPU threads of a step; 1 on an accelerator."""
    device_line: str
    """What computes, in words: "native int8, 1 thread"."""

    def forward(self, step: Items[Rows]) -> Tensor:
        """Return float32 logits_RV in the order of the step (R = sum of num_logit_rows).

        Keys and values of all rows are stored. Rows of one step never write to a block that another
        row set of the same step reads, except through the same block table.
        """
        ...

    def copy_blocks(self, pairs: Items[tuple[int, int]]) -> None:
        """Copy whole blocks (source, destination), before the next forward.

        No block is the destination of two, and none is a source after it was a destination.
        """
        ...

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        """Put an adapter into row `adapter` (1 or more) of the table; None empties the row.

        Raises:
            AdapterError: it does not fit this model.
        """
        ...

    def warm_up(self) -> None:
        """Pay one-time costs on the calling thread; the cache must be empty."""
        ...
