"""A step laid out for one pass: the rows of all sequences behind each other, no padding.

    step       a: 3 prompt rows   b (adapter 1): 1 decode row   c: 2 prompt rows
    packed     a0 a1 a2 | c4 c5 | b7                 by adapter, so that an adapter's rows are a slice
    trimmed         a2  |    c5 | b7                 rows whose logits are asked: the last layer's

Legend: T packed rows, R rows with logits.
"""

# ruff: noqa: N815 - fields are tensors and carry their shape
from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from paceline.engine.eager.cache import KvCache
from paceline.engine.step import BLOCK_TOKENS, Rows


@dataclass(frozen=True)
class Span:
    """One sequence's rows and the keys that they see."""

    first: int
    last: int
    """Packed rows first .. last-1."""
    located: Tensor | slice
    """Where its keys lie, for `KvCache.read`."""
    num_keys: int
    """How many of the located positions exist; the last is that of row last-1."""
    adapter: int


@dataclass(frozen=True)
class Layout:
    """Which packed rows belong to which sequence and adapter."""

    spans: tuple[Span, ...]
    adapter_rows: tuple[tuple[int, slice], ...]
    """Rows of each adapter other than the base."""

    @staticmethod
    def of(spans: list[Span]) -> Layout:
        """Join neighbouring spans of the same adapter."""
        runs = [(adapter, list(run)) for adapter, run in groupby(spans, lambda s: s.adapter)]
        return Layout(
            tuple(spans),
            tuple((adapter, slice(run[0].first, run[-1].last)) for adapter, run in runs if adapter),
        )


@dataclass(frozen=True)
class Packed:
    """A whole step."""

    ids_T: Tensor
    position_T: Tensor
    """In its sequence."""
    physical_T: Tensor
    """In the cache."""
    full: Layout
    trimmed: Layout
    trimmed_R: Tensor | None
    """Packed rows that stay after trimming; None if all do."""
    order_R: Tensor | None
    """Trimmed rows in the order of the step; None if they are."""


def pack(step: Items[Rows], cache: KvCache, device: torch.device, window: int | None) -> Packed:
    """Lay out a step.

    Args:
        window: positions that a row sees, itself included; blocks before that are not located.
    """
    order = sorted(range(len(step)), key=lambda index: step[index].adapter)
    is_sorted = order == list(range(len(step)))
    columns: tuple[list[int], list[int], list[int]] = ([], [], [])
    spans: list[Span] = []
    for index in order:
        first = len(columns[0])
        _append(step[index], columns)
        spans.append(_span(step[index], first, cache, window))
    packed_3T = torch.tensor(columns).to(device)
    kept, trimmed = _trim([step[index] for index in order], spans)
    is_all = len(kept) == packed_3T.shape[1]
    return Packed(
        ids_T=packed_3T[0],
        position_T=packed_3T[1],
        physical_T=packed_3T[2],
        full=Layout.of(spans),
        trimmed=Layout.of(trimmed),
        trimmed_R=None if is_all else torch.tensor(kept, dtype=torch.long).to(device),
        order_R=None if is_sorted else _order(step, order).to(device),
    )


def _append(rows: Rows, columns: tuple[list[int], list[int], list[int]]) -> None:
    ids, positions, physical = columns
    ids += rows.token_ids
    positions += range(rows.start, rows.end)
    physical += [
        rows.block_ids[position // BLOCK_TOKENS] * BLOCK_TOKENS + position % BLOCK_TOKENS
        for position in range(rows.start, rows.end)
    ]


def _span(rows: Rows, first: int, cache: KvCache, window: int | None) -> Span:
    low = 0 if window is None else max(0, rows.start + 1 - window) // BLOCK_TOKENS
    high = -(-rows.end // BLOCK_TOKENS)
    return Span(
        first=first,
        last=first + len(rows.token_ids),
        located=cache.locate(rows.block_ids[low:high]),
        num_keys=rows.end - low * BLOCK_TOKENS,
        adapter=rows.adapter,
    )


def _trim(step: Items[Rows], spans: Items[Span]) -> tuple[list[int], list[Span]]:
    """Return the packed rows with logits, and spans that number them anew."""
    kept: list[int] = []
    trimmed: list[Span] = []
    for rows, span in zip(step, spans, strict=True):
        if rows.num_logit_rows:
            first = len(kept)
            kept += range(span.last - rows.num_logit_rows, span.last)
            trimmed.append(Span(first, len(kept), span.located, span.num_keys, span.adapter))
    return kept, trimmed


def _order(step: Items[Rows], order: list[int]) -> Tensor:
    """Where each logit row of the step lies among the trimmed rows."""
    start_of: dict[int, int] = {}
    total = 0
    for index in order:
        start_of[index] = total
        total += step[index].num_logit_rows
    return torch.tensor(
        [start_of[i] + row for i, rows in enumerate(step) for row in range(rows.num_logit_rows)],
        dtype=torch.long,
    )
