"""Sequences over a shuffled block pool, for tests of executors: no scheduler, no prefix cache."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from torch import Tensor

from paceline.engine.step import BLOCK_TOKENS, Executor, Rows


@dataclass
class Track:
    """One sequence that is fed through an executor piece by piece."""

    ids: list[int]
    block_ids: list[int]
    adapter: int = 0
    num_computed: int = 0
    logits: dict[int, Tensor] = field(default_factory=dict)
    """By position, for the rows whose logits were asked."""

    @property
    def num_left(self) -> int:
        return len(self.ids) - self.num_computed

    def rows(self, count: int, num_logit_rows: int) -> Rows:
        """The next `count` ids."""
        ids = self.ids[self.num_computed : self.num_computed + count]
        return Rows(
            self.block_ids, self.num_computed, ids, min(num_logit_rows, count), self.adapter
        )


class Pool:
    """Hands out blocks in random order."""

    def __init__(self, num_blocks: int, rng: random.Random) -> None:
        self._free = list(range(num_blocks))
        rng.shuffle(self._free)

    def take(self, num_tokens: int) -> list[int]:
        return [self._free.pop() for _ in range(-(-num_tokens // BLOCK_TOKENS))]


def run_step(executor: Executor, parts: list[tuple[Track, int, int]]) -> None:
    """One step of (track, count, num_logit_rows); the tracks keep the logits and move on."""
    step = [track.rows(count, num_logit_rows) for track, count, num_logit_rows in parts]
    logits_RV = executor.forward(step)
    assert len(logits_RV) == sum(rows.num_logit_rows for rows in step)
    row = 0
    for (track, _, _), rows in zip(parts, step, strict=True):
        for position in range(rows.end - rows.num_logit_rows, rows.end):
            track.logits[position] = logits_RV[row]
            row += 1
        track.num_computed = rows.end


def run_randomly(executor: Executor, tracks: list[Track], rng: random.Random) -> None:
    """Feed all tracks to their end: random subsets, order, chunk lengths and logit rows."""
    while any(track.num_left for track in tracks):
        waiting = [track for track in tracks if track.num_left]
        chosen = rng.sample(waiting, rng.randint(1, len(waiting)))
        parts: list[tuple[Track, int, int]] = []
        for track in chosen:
            count = rng.choice((1, 1, min(4, track.num_left), rng.randint(1, track.num_left)))
            parts.append((track, count, rng.choice((0, 1, count, rng.randint(0, count)))))
        run_step(executor, parts)
