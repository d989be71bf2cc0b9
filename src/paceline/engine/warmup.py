"""What a step costs by its number of rows, measured once before the first request."""

from __future__ import annotations

import time

from paceline.engine.step import BLOCK_TOKENS, Executor, Rows

ROW_COUNTS = (1, 2, 4, 8, 16, 32)
NUM_ROUNDS = 3


def measure_row_costs(executor: Executor) -> dict[int, float]:
    """Milliseconds of a decode-like step with that many rows, the least of a few. Nothing may run yet.

    Row counts that do not fit the window or the cache are left out.
    """
    most = min(executor.context_tokens, executor.num_blocks * BLOCK_TOKENS)
    costs_ms: dict[int, float] = {}
    for num_rows in ROW_COUNTS:
        if num_rows > most:
            break
        block_ids = list(range(-(-num_rows // BLOCK_TOKENS)))
        rows = Rows(block_ids, 0, [0] * num_rows, num_rows)
        times_s: list[float] = []
        for _ in range(NUM_ROUNDS):
            start_s = time.perf_counter()
            executor.forward([rows])
            times_s.append(time.perf_counter() - start_s)
        costs_ms[num_rows] = min(times_s) * 1e3
    return costs_ms
