"""A step's numbers in one int32 buffer: built on the host, copied to the device once.

    ids T | positions T | slots T | logit rows R | few tiles 4 P | many tiles 4 Q | block tables S W

A sequence with few rows is one tile, whose keys are split over the device; one with many rows is cut
into tiles of `many_rows`. The layout depends on counts alone, so that a recorded graph can read the
same places again; block tables come last, so that what is not used of them need not be copied.

Legend: T packed rows, R rows with logits, P tiles of few rows, Q tiles of many rows, S block tables,
W their width.
"""

# ruff: noqa: N815 - fields are arrays and carry their shape
from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from paceline.engine.step import BLOCK_TOKENS, Rows

Array = TypeVar("Array", np.ndarray, Tensor)

FEW_ROWS = 8
"""A sequence with up to so many rows in a step is memory-bound: decoding, or checking a draft."""
ALIGNMENT = 32
"""Parts start at multiples of this many numbers (128 bytes): Triton compiles a kernel anew for a
pointer that is not aligned."""


class StepViews(NamedTuple, Generic[Array]):
    """The buffer's parts."""

    ids_T: Array
    position_T: Array
    slot_T: Array
    """Where a row's keys and values go: block BLOCK_TOKENS + offset."""
    logit_row_R: Array
    few_4P: Array
    many_4Q: Array
    table_SW: Array


class Layout(NamedTuple):
    """Sizes of the parts, and what a kernel must know of them when it is launched."""

    num_rows: int
    num_logit_rows: int
    num_few: int
    num_many: int
    num_tables: int
    table_width: int
    few_rows: int
    """Rows that a few-row tile has room for; a power of two."""
    many_rows: int
    num_splits: int
    """Parts that the keys of few-row tiles are cut into."""

    @property
    def _counts(self) -> tuple[int, ...]:
        rows, table = (self.num_rows,) * 3, self.num_tables * self.table_width
        return (*rows, self.num_logit_rows, 4 * self.num_few, 4 * self.num_many, table)

    @property
    def _starts(self) -> list[int]:
        aligned = (-(-count // ALIGNMENT) * ALIGNMENT for count in self._counts)
        return list(accumulate(aligned, initial=0))

    @property
    def table_start(self) -> int:
        return self._starts[-2]

    @property
    def size(self) -> int:
        return self._starts[-1]

    def views(self, buffer: Array) -> StepViews[Array]:
        """Cut a buffer of `size` or more numbers into its parts; nothing is copied."""
        pairs = zip(self._starts[:-1], self._counts, strict=True)
        parts = [buffer[start : start + count] for start, count in pairs]
        ids_T, position_T, slot_T, logit_row_R, few, many, table = parts
        return StepViews(
            ids_T,
            position_T,
            slot_T,
            logit_row_R,
            few.reshape(4, self.num_few),
            many.reshape(4, self.num_many),
            table.reshape(self.num_tables, self.table_width),
        )


def num_blocks_of(rows: Rows) -> int:
    """Blocks that the rows read or write."""
    return -(-rows.end // BLOCK_TOKENS)


def choose_splits(num_programs: int, longest: int, num_processors: int) -> int:
    """Parts of the keys, so that twice the processors are busy and a part has 128 keys or more.

    Args:
        num_programs: tiles times key/value heads.
        longest: keys of the longest tile.
        num_processors: streaming multiprocessors of the device.
    """
    wanted = -(-2 * num_processors // max(num_programs, 1))
    return max(1, min(wanted, -(-longest // 128), 32))


def layout_of(
    step: Items[Rows], *, num_kv_heads: int, many_rows: int, num_processors: int
) -> Layout:
    """Return the layout of any step. Always splits keys: one variant of the kernel less to compile."""
    few = [rows for rows in step if len(rows.token_ids) <= FEW_ROWS]
    many = [len(rows.token_ids) for rows in step if len(rows.token_ids) > FEW_ROWS]
    longest_few = max((len(rows.token_ids) for rows in few), default=1)
    longest_keys = max((rows.end for rows in few), default=1)
    return Layout(
        num_rows=sum(len(rows.token_ids) for rows in step),
        num_logit_rows=sum(rows.num_logit_rows for rows in step),
        num_few=len(few),
        num_many=sum(-(-count // many_rows) for count in many),
        num_tables=len(step),
        table_width=max(map(num_blocks_of, step), default=0),
        few_rows=1 << (longest_few - 1).bit_length(),
        many_rows=many_rows,
        num_splits=max(2, choose_splits(len(few) * num_kv_heads, longest_keys, num_processors)),
    )


def fill(step: Items[Rows], layout: Layout, views: StepViews[np.ndarray]) -> None:
    """Write a step into host views of its layout."""
    _fill_rows(step, views)
    few: list[tuple[int, int, int, int]] = []
    many: list[tuple[int, int, int, int]] = []
    first = 0
    for index, rows in enumerate(step):
        count = len(rows.token_ids)
        if count <= FEW_ROWS:
            few.append((first, count, rows.start, index))
        else:
            for done in range(0, count, layout.many_rows):
                size = min(layout.many_rows, count - done)
                many.append((first + done, size, rows.start + done, index))
        first += count
    views.few_4P[:] = np.array(few, dtype=np.int32).reshape(-1, 4).T
    views.many_4Q[:] = np.array(many, dtype=np.int32).reshape(-1, 4).T
    views.logit_row_R[:] = logit_rows(step)


def fill_single_rows(
    step: Items[Rows], views: StepViews[np.ndarray], *, scratch_block: int
) -> None:
    """Write a step of few rows into views with room for more: every row is a tile of its own.

    What is left over becomes rows that read and write the scratch block. Logits are of all rows.
    """
    num_rows, num_sequences = sum(len(rows.token_ids) for rows in step), len(step)
    views.ids_T[num_rows:] = 0
    views.position_T[num_rows:] = 0
    views.slot_T[num_rows:] = scratch_block * BLOCK_TOKENS
    views.few_4P[3, num_rows:] = num_sequences
    if num_rows < len(views.ids_T):
        views.table_SW[num_sequences, 0] = scratch_block
    _fill_rows(step, views)
    owner = np.repeat(np.arange(num_sequences), [len(rows.token_ids) for rows in step])
    views.few_4P[3, :num_rows] = owner
    views.few_4P[0] = np.arange(len(views.ids_T))
    views.few_4P[1] = 1
    views.few_4P[2] = views.position_T
    views.logit_row_R[:] = np.arange(len(views.ids_T))


def _fill_rows(step: Items[Rows], views: StepViews[np.ndarray]) -> None:
    """Write ids, positions, slots and block tables."""
    first = 0
    for index, rows in enumerate(step):
        end = first + len(rows.token_ids)
        used = num_blocks_of(rows)
        blocks = views.table_SW[index, :used]
        blocks[:] = rows.block_ids[:used]
        positions = np.arange(rows.start, rows.end, dtype=np.int32)
        views.ids_T[first:end] = rows.token_ids
        views.position_T[first:end] = positions
        views.slot_T[first:end] = (
            blocks[positions // BLOCK_TOKENS] * BLOCK_TOKENS + positions % BLOCK_TOKENS
        )
        first = end


def logit_rows(step: Items[Rows]) -> list[int]:
    """Packed rows whose logits are wanted."""
    ends = accumulate(len(rows.token_ids) for rows in step)
    return [
        row
        for rows, end in zip(step, ends, strict=True)
        for row in range(end - rows.num_logit_rows, end)
    ]
