"""Decides which rows go into the next step, and what a step's results mean. No torch, no threads.

    add ──> waiting ──admit: match the prefix cache, take blocks──> running ──> gone
               ^                                                      │
               └── preempt: leave KV in the cache, take blocks back ──┘

Before a step is planned, everything that nobody wants any more is dropped: cancelled, superseded, past
its deadline. The rest is put in order: lane, user's share, deadline, arrival; planner.py gives out rows in
that order. When blocks run out, idle ones are evicted from the prefix cache.

Invariants (`check`): no block is lost or shared by mistake, phases and lists agree, users are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence as Ids

from paceline.core.errors import OverloadedError
from paceline.engine.admission import displaced_by
from paceline.engine.block_pool import BlockPool
from paceline.engine.config import SchedulerConfig
from paceline.engine.fairness import FairShare
from paceline.engine.params import FinishReason
from paceline.engine.planner import Chunk, Planner, StepPlan
from paceline.engine.prefix_cache import PrefixCache
from paceline.engine.sampler import Picked, count_accepted
from paceline.engine.sequence import Lane, Phase, Sequence, SubmitOptions
from paceline.engine.speculation import SpeculationPolicy
from paceline.engine.step import BLOCK_TOKENS


class SchedulerListener:
    """Is told what the scheduler did; for statistics. This one ignores it."""

    def admitted(self, sequence: Sequence) -> None:
        """It runs; `num_cached_tokens` is set."""

    def preempted(self, sequence: Sequence) -> None:
        """It waits again."""

    def finished(self, sequence: Sequence) -> None:
        """It is gone."""


class Scheduler:
    """Owns the queue, the running sequences, the blocks and the prefix cache."""

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        num_blocks: int,
        context_tokens: int,
        policy: SpeculationPolicy,
        listener: SchedulerListener | None = None,
    ) -> None:
        self.config = config
        self.pool = BlockPool(num_blocks)
        self.cache = PrefixCache(self.pool)
        self.policy = policy
        self.waiting: dict[int, Sequence] = {}
        self.running: dict[int, Sequence] = {}
        self._context_tokens = context_tokens
        self._shares = {lane: FairShare(config.fair_quantum_tokens) for lane in Lane}
        self._listener = listener or SchedulerListener()

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def everyone(self) -> list[Sequence]:
        """Running and waiting sequences."""
        return [*self.running.values(), *self.waiting.values()]

    @property
    def max_tokens(self) -> int:
        """Longest sequence that fits, prompt and output together."""
        return min(self._context_tokens, self.pool.num_blocks * BLOCK_TOKENS)

    def add(self, sequence: Sequence, *, in_place_of: Sequence | None = None) -> None:
        """Queue a sequence; the one that it supersedes makes room for it.

        Raises:
            OverloadedError: the queue is full and nobody has less right to it.
        """
        if in_place_of is not None:
            self._supersede(in_place_of)
        elif self._is_full:
            displaced = self._displaced_by(sequence.options)
            self.finish(displaced, FinishReason.ERROR, self._overload())
        self.waiting[sequence.sequence_id] = sequence
        self._shares[sequence.options.lane].arrive(sequence.options.user)

    def _supersede(self, sequence: Sequence) -> None:
        """At once if it waits, else before the next step: it may be in this one."""
        if sequence.phase is Phase.WAITING:
            self.finish(sequence, FinishReason.SUPERSEDED)
        sequence.is_superseded = True

    @property
    def _is_full(self) -> bool:
        num_present = len(self.waiting) + len(self.running)
        return num_present >= self.config.max_sequences + self.config.max_queued

    def refuse_if_full(self, options: SubmitOptions) -> None:
        """Raise OverloadedError if `add` would, for a sequence with `options`."""
        if self._is_full:
            self._displaced_by(options)

    def _displaced_by(self, options: SubmitOptions) -> Sequence:
        displaced = displaced_by(options, self.waiting.values())
        if displaced is None:
            raise self._overload()
        return displaced

    def _overload(self) -> OverloadedError:
        return OverloadedError(queued=len(self.waiting), retry_after_ms=self.config.retry_after_ms)

    def purge(self, now_s: float) -> None:
        """Finish all that nobody wants any more; their blocks are free or in the cache at once."""
        for sequence in self.everyone:
            listener = sequence.listener
            if listener.is_stop_requested:
                self.finish(sequence, FinishReason.STOP)
            elif listener.is_cancel_requested:
                self.finish(sequence, FinishReason.CANCELLED)
            elif sequence.is_superseded:
                self.finish(sequence, FinishReason.SUPERSEDED)
            elif now_s > sequence.options.deadline_s:
                self.finish(sequence, FinishReason.DEADLINE)

    def plan(self) -> StepPlan:
        """Return the rows of the next step, at most one chunk a sequence; admits what fits."""
        order = self._in_order()
        return Planner(self, order).plan() if order else StepPlan([], [])

    def _in_order(self) -> list[Sequence]:
        """Queued and running sequences, the most urgent first."""
        everyone = self.everyone
        if len(everyone) > 1:
            ranks = {lane: share.ranks() for lane, share in self._shares.items()}
            everyone.sort(
                key=lambda s: (
                    s.options.lane,
                    ranks[s.options.lane][s.options.user],
                    s.options.deadline_s,
                    s.sequence_id,
                )
            )
        return everyone

    def fair_slots(self, lane: Lane) -> int:
        """Running sequences that each user of a lane may have while others want to run."""
        return math.ceil(self.config.max_sequences / max(1, self._shares[lane].num_users))

    def commit(self, chunk: Chunk, picked: Ids[Picked]) -> int:
        """Record that `chunk` is in the cache and what its logits gave; may finish the sequence.

        Returns how many ids the sequence gained.
        """
        sequence = chunk.sequence
        options = sequence.options
        self._shares[options.lane].charge(options.user, len(chunk.rows.token_ids))
        if sequence.targets:
            return self._commit_scores(chunk, picked)
        num_given = len(chunk.rows.token_ids) - chunk.num_draft_rows
        sequence.num_computed = chunk.rows.start + num_given + max(len(picked) - 1, 0)
        if not picked:
            self._remember(sequence)
            return 0
        end = picked[-1].finish
        if chunk.draft:
            num_accepted = count_accepted(chunk.draft.ids, picked)
            is_cut = end is not None and num_accepted == len(picked)
            self.policy.record(
                chunk.draft.source, len(chunk.draft.ids), num_accepted, is_cut=is_cut
            )
        is_stop_id = picked[-1].token_id in sequence.params.stop_ids
        kept = picked[:-1] if is_stop_id else picked
        sequence.token_ids += [p.token_id for p in kept]
        if kept:
            sequence.listener.on_tokens(kept)
        if end is None and len(sequence.token_ids) >= self.max_tokens:
            end = FinishReason.LENGTH
        if end is not None:
            self.finish(sequence, end)
        else:
            self._remember(sequence)
        return len(kept)

    def _commit_scores(self, chunk: Chunk, picked: Ids[Picked]) -> int:
        sequence = chunk.sequence
        sequence.num_computed = chunk.rows.end
        sequence.num_scored += len(picked)
        if picked:
            sequence.listener.on_tokens(picked)
        if sequence.num_scored == len(sequence.targets):
            self.finish(sequence, FinishReason.STOP)
        else:
            self._remember(sequence)
        return 0

    def _remember(self, sequence: Sequence) -> None:
        """Put the blocks that have become full into the prefix cache."""
        num_full = sequence.num_computed // BLOCK_TOKENS
        if num_full > sequence.num_cached_blocks:
            ids = sequence.token_ids[: num_full * BLOCK_TOKENS]
            self.cache.insert(sequence.options.adapter, ids, sequence.block_ids)
            sequence.num_cached_blocks = num_full

    def preempt(self, sequence: Sequence, *, is_kept: bool = True) -> None:
        """Take a running sequence's blocks back; what it has computed stays in the cache if `is_kept`."""
        self._release(sequence, is_kept=is_kept)
        del self.running[sequence.sequence_id]
        self.waiting[sequence.sequence_id] = sequence
        sequence.preempt()
        self._listener.preempted(sequence)

    def finish(
        self, sequence: Sequence, reason: FinishReason, error: Exception | None = None
    ) -> None:
        """Take a sequence out for good; its blocks stay in the prefix cache unless it failed."""
        if sequence.phase is Phase.WAITING:
            del self.waiting[sequence.sequence_id]
        else:
            self._release(sequence, is_kept=reason is not FinishReason.ERROR)
            del self.running[sequence.sequence_id]
        self._shares[sequence.options.lane].leave(sequence.options.user)
        sequence.finish(reason, error)
        self._listener.finished(sequence)

    def _release(self, sequence: Sequence, *, is_kept: bool) -> None:
        if is_kept:
            ids = sequence.token_ids[: sequence.num_computed]
            self.cache.insert(sequence.options.adapter, ids, sequence.block_ids)
        for block_id in sequence.block_ids:
            self.pool.release(block_id)
        sequence.block_ids = []

    def admit(self, sequence: Sequence, copies: list[tuple[int, int]]) -> bool:
        """Let a waiting sequence run with what the prefix cache has of it; False without room for the rest.

        The rest is not reserved: others may take it first, and one of them is preempted then.
        """
        match = self.cache.match(
            sequence.options.adapter, sequence.token_ids, sequence.first_logit_row
        )
        for block_id in match.block_ids:
            self.pool.retain(block_id)
        sequence.block_ids = list(match.block_ids)
        num_wanted = len(sequence.token_ids) // BLOCK_TOKENS + 1 - len(match.block_ids)
        is_roomy = num_wanted <= self.pool.num_free + self.pool.num_idle
        if not (is_roomy and self.grow(sequence, len(match.block_ids) * BLOCK_TOKENS + 1)):
            for block_id in sequence.block_ids:
                self.pool.release(block_id)
            sequence.block_ids = []
            return False
        if match.partial_block_id is not None:
            copies.append((match.partial_block_id, sequence.block_ids[-1]))
        sequence.num_computed = match.num_tokens
        sequence.num_cached_blocks = len(match.block_ids)
        if not sequence.num_admissions:
            sequence.num_cached_tokens = match.num_tokens
        del self.waiting[sequence.sequence_id]
        self.running[sequence.sequence_id] = sequence
        sequence.admit()
        self._listener.admitted(sequence)
        return True

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Extend the block table to `num_tokens` positions, evicting idle blocks; False if none is left."""
        num_wanted = -(-num_tokens // BLOCK_TOKENS) - len(sequence.block_ids)
        if num_wanted > self.pool.num_free:
            self.cache.evict(num_wanted - self.pool.num_free)
        if num_wanted > self.pool.num_free:
            return False
        sequence.block_ids += [self.pool.allocate() for _ in range(num_wanted)]
        return True

    def check(self) -> None:
        """Assert what must hold between steps."""
        assert all(s.phase is Phase.WAITING for s in self.waiting.values()), "a queued one runs"
        assert all(s.phase is Phase.RUNNING for s in self.running.values()), "a running one waits"
        assert len(self.running) <= self.config.max_sequences
        everyone = self.everyone
        for sequence in everyone:
            sequence.check(self._context_tokens, BLOCK_TOKENS)
        for lane, share in self._shares.items():
            share.check(Counter(s.options.user for s in everyone if s.options.lane is lane))
        self.pool.check(
            (s.block_ids for s in everyone), (node.block_id for node in self.cache.nodes())
        )
        self.cache.check()
