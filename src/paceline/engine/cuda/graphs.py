"""Steps of few rows, recorded as CUDA graphs: one replay instead of hundreds of launches.

    buckets   1 2 4 8 16 32 64 rows; a step takes the smallest that it fits into
    padding   rows of the scratch block, whose logits nobody reads
    fits      at most REPLAYED_ROWS rows of each sequence, no adapter

Besides plain decoding this covers what typing causes: the few new ids of a keystroke, and drafts to
be checked. Every row is a tile of attention of its own, so that one recording serves any mixture;
rows of one sequence read its keys once each, which the second-level cache should bear (unproven).

On a CPU nothing can be recorded: the same padded step is computed directly, which is what tests do.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import Any

import torch
from torch import Tensor

from paceline.engine.cuda.packing import (
    Layout,
    StepViews,
    choose_splits,
    fill_single_rows,
    logit_rows,
)
from paceline.engine.cuda.transfer import HostBuffer
from paceline.engine.step import Rows

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
REPLAYED_ROWS = 32
"""Rows of one sequence up to which a replay is thought to beat launching: a keystroke's ids and the rest
of a block. Each reads the sequence's keys once, so long contexts want fewer. To be measured."""

Compute = Callable[[StepViews[Tensor], Layout], Tensor]
"""Computes logits_RV of a step on the device, without waiting for the host."""


class StepGraphs:
    """Recorded steps of one runner. Empty until `record`."""

    def __init__(
        self,
        compute: Compute,
        device: torch.device,
        *,
        buckets: Items[int],
        table_width: int,
        num_kv_heads: int,
        num_processors: int,
        scratch_block: int,
    ) -> None:
        self._compute = compute
        self._device = device
        self._scratch_block = scratch_block
        self._layouts = {
            bucket: Layout(
                num_rows=bucket,
                num_logit_rows=bucket,
                num_few=bucket,
                num_many=0,
                num_tables=bucket,
                table_width=table_width,
                few_rows=1,
                many_rows=1,
                num_splits=choose_splits(bucket * num_kv_heads, table_width * 16, num_processors),
            )
            for bucket in sorted(buckets)
        }
        self._inputs: dict[int, Tensor] = {}
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        largest = max((layout.size for layout in self._layouts.values()), default=0)
        self._host = HostBuffer(largest, device)

    def bucket_for(self, step: Items[Rows]) -> int | None:
        """Return the bucket that a step can be replayed in, or None."""
        if any(len(rows.token_ids) > REPLAYED_ROWS or rows.adapter for rows in step):
            return None
        num_rows = sum(len(rows.token_ids) for rows in step)
        return next((bucket for bucket in self._inputs if bucket >= num_rows), None)

    def record(self) -> None:
        """Record every bucket, on the scratch block alone. The largest goes first: memory is shared."""
        pool: Any = None
        for bucket, layout in sorted(self._layouts.items(), reverse=True):
            input = torch.zeros(layout.size, dtype=torch.int32, device=self._device)
            self._load([], layout, input)
            if self._device.type == "cuda":
                pool = self._record_one(bucket, layout.views(input), layout, pool)
            self._inputs[bucket] = input
        self._inputs = dict(sorted(self._inputs.items()))

    def _record_one(self, bucket: int, views: StepViews[Tensor], layout: Layout, pool: Any) -> Any:
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(2):  # compiles the kernels and lets cuBLAS take its workspace
                self._compute(views, layout)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits_RV = self._compute(views, layout)
        self._graphs[bucket] = (graph, logits_RV)
        return graph.pool()

    def replay(self, step: Items[Rows], bucket: int) -> Tensor:
        """Return logits_RV of a step for which `bucket_for` gave `bucket`."""
        layout, input = self._layouts[bucket], self._inputs[bucket]
        self._load(step, layout, input)
        if bucket in self._graphs:
            graph, logits_RV = self._graphs[bucket]
            graph.replay()
        else:
            logits_RV = self._compute(layout.views(input), layout)
        wanted = logit_rows(step)
        if len(wanted) == sum(len(rows.token_ids) for rows in step):
            return logits_RV[: len(wanted)].clone()
        return logits_RV[torch.tensor(wanted, dtype=torch.long, device=self._device)]

    def _load(self, step: Items[Rows], layout: Layout, input: Tensor) -> None:
        """Copy a padded step into a graph's input; of the block tables only those in use."""
        host = self._host.take()
        fill_single_rows(step, layout.views(host), scratch_block=self._scratch_block)
        num_tables = min(len(step) + 1, layout.num_tables)
        used = layout.table_start + num_tables * layout.table_width
        self._host.send(input, used)
