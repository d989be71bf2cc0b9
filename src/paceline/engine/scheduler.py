"""Decides which rows go into the next step, and what a step's results mean. No torch, no threads.

A step holds one row of every decoding sequence, plus prompt rows within `max_prefill_tokens`: first
of admitted prompts in order of arrival, then of waiting ones, which are admitted while a slot is free.

    waiting ──slot free──> running ──stop, length, cancel, error──> (gone; its slot is free again)

Invariant (`check`): free slots and slots of running sequences are all slots, and none is in both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Ids
from typing import NamedTuple

from paceline.engine.sequence import FinishReason, Phase, Sequence


class Rows(NamedTuple):
    """New ids of one slot, at positions start, start+1, …: all that a forward pass must know."""

    slot: int
    start: int
    token_ids: list[int]
    num_logit_rows: int
    """How many of the last rows need logits."""

    @property
    def end(self) -> int:
        return self.start + len(self.token_ids)


class Chunk(NamedTuple):
    """What one sequence has in a step."""

    sequence: Sequence
    rows: Rows


class Picked(NamedTuple):
    """What one row with logits gave: the id drawn (or given, if scored) and its log-probability."""

    token_id: int
    logprob: float


class Scheduler:
    """Owns the queue, the running sequences and the free slots."""

    def __init__(self, *, num_slots: int, max_prefill_tokens: int, context_tokens: int) -> None:
        self._num_slots = num_slots
        self._max_prefill_tokens = max_prefill_tokens
        self._context_tokens = context_tokens
        self._free_slots = list(reversed(range(num_slots)))
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.append(sequence)

    def drop_cancelled(self) -> None:
        """Finish every sequence that was asked to cancel; their slots are free at once."""
        for sequence in [*self.waiting, *self.running]:
            if sequence.listener.is_cancel_requested:
                self.finish(sequence, FinishReason.CANCELLED)

    def plan(self) -> list[Chunk]:
        """Return the rows of the next step, at most one chunk a sequence; admits what fits."""
        chunks = [self._chunk(s, 1) for s in self.running if s.num_uncomputed == 1]
        budget = self._max_prefill_tokens
        for sequence in self.running:
            if sequence.num_uncomputed > 1 and budget:
                chunks.append(self._chunk(sequence, budget))
                budget -= len(chunks[-1].rows.token_ids)
        while self.waiting and self._free_slots and budget:
            sequence = self.waiting.popleft()
            sequence.admit(self._free_slots.pop())
            self.running.append(sequence)
            chunks.append(self._chunk(sequence, budget))
            budget -= len(chunks[-1].rows.token_ids)
        return chunks

    def _chunk(self, sequence: Sequence, max_rows: int) -> Chunk:
        assert sequence.slot is not None, "planned before it was admitted"
        start = sequence.num_computed
        token_ids = sequence.token_ids[start : start + max_rows]
        num_logit_rows = sequence.num_logit_rows(start + len(token_ids))
        return Chunk(sequence, Rows(sequence.slot, start, token_ids, num_logit_rows))

    def commit(self, chunk: Chunk, picked: Ids[Picked]) -> None:
        """Record that `chunk` is in the cache and what its logits gave; may finish the sequence."""
        sequence = chunk.sequence
        sequence.num_computed = chunk.rows.end
        for token_id, logprob in picked:
            if not sequence.targets:
                if token_id in sequence.params.stop_ids:
                    return self.finish(sequence, FinishReason.STOP)
                sequence.token_ids.append(token_id)
            sequence.listener.on_token(token_id, logprob)
        if sequence.targets:
            if sequence.num_uncomputed == 0:
                self.finish(sequence, FinishReason.STOP)
        elif (
            sequence.num_output_tokens >= sequence.params.max_tokens
            or len(sequence.token_ids) >= self._context_tokens
        ):
            self.finish(sequence, FinishReason.LENGTH)
        return None

    def finish(
        self, sequence: Sequence, reason: FinishReason, error: Exception | None = None
    ) -> None:
        """Take a sequence out for good; its slot is free at once."""
        if sequence.phase is Phase.WAITING:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            assert sequence.slot is not None, "a running sequence has a slot"
            self._free_slots.append(sequence.slot)
        sequence.finish(reason, error)

    def finish_all(self, reason: FinishReason, error: Exception | None = None) -> None:
        """Take every sequence out."""
        for sequence in [*self.waiting, *self.running]:
            self.finish(sequence, reason, error)

    def check(self) -> None:
        """Assert what must hold between steps."""
        used = [s.slot for s in self.running if s.slot is not None]
        assert sorted([*used, *self._free_slots]) == list(range(self._num_slots)), "slots lost"
        assert all(s.phase is Phase.WAITING for s in self.waiting), "a queued sequence runs"
        assert all(s.phase is Phase.RUNNING for s in self.running), "a running sequence does not"
        for sequence in [*self.waiting, *self.running]:
            sequence.check(self._context_tokens)
