"""Decides which rows go into the next step, and what a step's results mean. No torch, no threads.

    add ──> waiting ──admit: match the prefix cache, take blocks──> running ──> gone
               ^                                                      │
               └── preempt: leave KV in the cache, take blocks back ──┘

Before a step is planned, everything that nobody wants any more is dropped: cancelled, superseded, past
its deadline. The rest is put in order: lane, user's share, deadline, arrival. Rows are given out in that
order under one budget: first one row of every decoding sequence, then prompt chunks, then drafts.
When blocks run out, idle ones are evicted from the prefix cache; then the newest running sequence of the
lowest lane is preempted. So the oldest running one always gets on, and a step never waits.

Invariants (`check`): no block is lost or shared by mistake, phases and lists agree, users are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as Ids
from typing import NamedTuple

from paceline.core.errors import OverloadedError
from paceline.engine.block_pool import BlockPool
from paceline.engine.config import SchedulerConfig
from paceline.engine.draft import Draft
from paceline.engine.fairness import FairShare
from paceline.engine.params import FinishReason
from paceline.engine.prefix_cache import PrefixCache, common_tokens
from paceline.engine.sampler import Draw, Picked, count_accepted
from paceline.engine.sequence import Lane, Phase, Sequence
from paceline.engine.speculation import SpeculationPolicy
from paceline.engine.step import BLOCK_TOKENS, Rows


class Chunk(NamedTuple):
    """What one sequence has in a step."""

    sequence: Sequence
    rows: Rows
    draft: Draft | None
    """Where the last rows come from, if they are guesses that this step verifies."""

    @property
    def num_draft_rows(self) -> int:
        return len(self.draft.ids) if self.draft else 0

    @property
    def draw(self) -> Draw:
        """What the sampler has to know."""
        sequence, count = self.sequence, self.rows.num_logit_rows
        scored = sequence.num_scored
        return Draw(
            params=sequence.params,
            seed=sequence.seed,
            output_ids=sequence.targets[:scored] if sequence.targets else sequence.output_ids,
            draft_ids=self.draft.ids if self.draft else (),
            target_ids=sequence.targets[scored : scored + count],
            num_logit_rows=count,
        )


class StepPlan(NamedTuple):
    """One step. `copies` are (source, destination) blocks, to be copied in order before it."""

    chunks: list[Chunk]
    copies: list[tuple[int, int]]


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
        self._shares = FairShare(config.fair_quantum_tokens)
        self._listener = listener or SchedulerListener()

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def max_tokens(self) -> int:
        """Longest sequence that fits, prompt and output together."""
        return min(self._context_tokens, self.pool.num_blocks * BLOCK_TOKENS)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence.

        Raises:
            OverloadedError: the queue is full and no user holds more of it than this one would.
        """
        if self._is_full:
            self._refuse_newest_of_the_greediest(sequence.options.user)
        self.waiting[sequence.sequence_id] = sequence
        self._shares.arrive(sequence.options.user)

    @property
    def _is_full(self) -> bool:
        num_present = len(self.waiting) + len(self.running)
        return num_present >= self.config.max_sequences + self.config.max_queued

    def refuse_if_full(self, user: str) -> None:
        """Raise OverloadedError if `add` would, for a sequence of `user`."""
        if self._is_full:
            self._greediest(user)

    def _refuse_newest_of_the_greediest(self, user: str) -> None:
        greediest, error = self._greediest(user)
        newest = next(s for s in reversed(self.waiting.values()) if s.options.user == greediest)
        self.finish(newest, FinishReason.ERROR, error)

    def _greediest(self, user: str) -> tuple[str, OverloadedError]:
        """The user with most of the queue, and what its newest request is told.

        Raises:
            OverloadedError: no user has more of it than `user` would.
        """
        counts = Counter(s.options.user for s in self.waiting.values())
        greediest, most = counts.most_common(1)[0] if counts else (user, 0)
        error = OverloadedError(queued=len(self.waiting), retry_after_ms=self.config.retry_after_ms)
        if most <= counts[user] + 1:
            raise error
        return greediest, error

    def purge(self, now_s: float) -> None:
        """Finish all that nobody wants any more; their blocks are free or in the cache at once."""
        for sequence in [*self.waiting.values(), *self.running.values()]:
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
        return _Planner(self, order).plan() if order else StepPlan([], [])

    def _in_order(self) -> list[Sequence]:
        """Queued and running sequences, the most urgent first."""
        everyone = [*self.running.values(), *self.waiting.values()]
        if len(everyone) > 1:
            ranks = self._shares.ranks()
            everyone.sort(
                key=lambda s: (
                    s.options.lane,
                    ranks[s.options.user],
                    s.options.deadline_s,
                    s.sequence_id,
                )
            )
        return everyone

    def fair_slots(self) -> int:
        """Running sequences that each user may have while others want to run."""
        return math.ceil(self.config.max_sequences / max(1, self._shares.num_users))

    def commit(self, chunk: Chunk, picked: Ids[Picked]) -> int:
        """Record that `chunk` is in the cache and what its logits gave; may finish the sequence.

        Returns how many ids the sequence gained.
        """
        sequence = chunk.sequence
        self._shares.charge(sequence.options.user, len(chunk.rows.token_ids))
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

    def preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks back; what it has computed stays in the cache for now."""
        self._release(sequence, is_kept=True)
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
        self._shares.leave(sequence.options.user)
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

    def finish_all(self, reason: FinishReason, error: Exception | None = None) -> None:
        """Take every sequence out."""
        for sequence in [*self.waiting.values(), *self.running.values()]:
            self.finish(sequence, reason, error)

    def check(self) -> None:
        """Assert what must hold between steps."""
        assert all(s.phase is Phase.WAITING for s in self.waiting.values()), "a queued one runs"
        assert all(s.phase is Phase.RUNNING for s in self.running.values()), "a running one waits"
        assert len(self.running) <= self.config.max_sequences
        everyone: Iterable[Sequence] = [*self.waiting.values(), *self.running.values()]
        for sequence in everyone:
            sequence.check(self._context_tokens, BLOCK_TOKENS)
        self._shares.check(Counter(s.options.user for s in everyone))
        self.pool.check(
            (s.block_ids for s in everyone), (node.block_id for node in self.cache.nodes())
        )
        self.cache.check()


class _Planner:
    """The making of one step: first who runs, then which rows each of them has."""

    def __init__(self, scheduler: Scheduler, order: list[Sequence]) -> None:
        self._scheduler = scheduler
        self._config = scheduler.config
        self._order = order
        self._num_rows = 0
        self._chunks: list[Chunk] = []
        self._copies: list[tuple[int, int]] = []

    def plan(self) -> StepPlan:
        """Give out rows in order; the batch lane gets what its limit allows."""
        interactive = [s for s in self._order if s.options.lane is Lane.INTERACTIVE]
        batch = self._order[len(interactive) :]
        self._plan_lane(interactive, self._config.max_step_tokens)
        limit = self._config.batch_lane_tokens if self._chunks else self._config.max_step_tokens
        if batch and limit:
            self._plan_lane(batch, min(self._num_rows + limit, self._config.max_step_tokens))
        return StepPlan(self._chunks, self._copies)

    def _plan_lane(self, sequences: list[Sequence], limit: int) -> None:
        """Rows for one lane, up to `limit` rows of the whole step."""
        self._admit_lane(sequences, limit)
        running = [s for s in sequences if s.phase is Phase.RUNNING]
        decodes = [s for s in running if s.num_uncomputed == 1]
        for index, sequence in enumerate(decodes):
            self._add(sequence, limit, num_to_come=len(decodes) - index - 1)
        for sequence in running:
            if sequence.num_uncomputed > 1:
                self._add(sequence, limit, num_to_come=0)

    def _admit_lane(self, sequences: list[Sequence], limit: int) -> None:
        """Let waiting sequences run, in order, as long as they could have a row in this step."""
        num_expected = self._num_rows
        prefilling: list[Sequence] = []
        for sequence in sequences:
            if sequence.phase is Phase.WAITING:
                if num_expected >= limit or _is_shared_soon(sequence, prefilling):
                    continue
                if not self._admit(sequence):
                    continue
            if sequence.num_uncomputed > 1:
                prefilling.append(sequence)
            num_expected += min(sequence.num_uncomputed, self._config.prefill_chunk_tokens)

    def _admit(self, sequence: Sequence) -> bool:
        """Let one run, if need be in the place of others."""
        scheduler = self._scheduler
        while True:
            has_slot = len(scheduler.running) < self._config.max_sequences
            if has_slot and scheduler.admit(sequence, self._copies):
                return True
            victim = self._displaceable(sequence)
            if victim is None:
                return False
            scheduler.preempt(victim)

    def _displaceable(self, sequence: Sequence) -> Sequence | None:
        """The newest running one of a lower lane, else of a user with more than a fair share of slots.

        Shares are counted in slots and not in served rows, so that two can never displace each other
        in turn.
        """
        candidates = [s for s in reversed(self._scheduler.running.values()) if self._is_idle(s)]
        lane, user = sequence.options.lane, sequence.options.user
        lower = next((s for s in candidates if s.options.lane > lane), None)
        if lower is not None:
            return lower
        counts = Counter(s.options.user for s in self._scheduler.running.values())
        fair = self._scheduler.fair_slots()
        if counts[user] >= fair:
            return None
        return next((s for s in candidates if counts[s.options.user] > fair), None)

    def _is_idle(self, sequence: Sequence) -> bool:
        """Does it hold blocks without being part of this step?"""
        return not any(chunk.sequence is sequence for chunk in self._chunks)

    def _preempt_newer(self, sequence: Sequence) -> bool:
        """Preempt the newest of a lower lane, or of those of its lane that came to run after it."""
        lane = sequence.options.lane
        for other in reversed(self._scheduler.running.values()):
            if other is sequence:
                break
            if other.options.lane >= lane and self._is_idle(other):
                self._scheduler.preempt(other)
                return True
        lower = [
            s
            for s in reversed(self._scheduler.running.values())
            if s.options.lane > lane and self._is_idle(s)
        ]
        if lower:
            self._scheduler.preempt(lower[0])
        return bool(lower)

    def _add(self, sequence: Sequence, limit: int, *, num_to_come: int) -> None:
        """Give a running sequence its rows; it is preempted if there are no blocks for them.

        `num_to_come` rows are kept for decodes after it.
        """
        room = limit - self._num_rows - num_to_come
        num_given = min(sequence.num_uncomputed, self._config.prefill_chunk_tokens, room)
        if sequence.phase is not Phase.RUNNING or num_given < 1:
            return  # preempted by one before it, or no rows are left
        end = sequence.num_computed + num_given
        draft = None
        if end == len(sequence.token_ids) and sequence.drafter is not None:
            draft = self._draft(sequence, room - num_given, self._num_rows + num_given)
        if draft and not self._scheduler.grow(sequence, end + len(draft.ids)):
            draft = None  # guesses are not worth anybody's blocks
        while not self._scheduler.grow(sequence, end):
            if not self._preempt_newer(sequence):
                self._scheduler.preempt(sequence)
                return
        self._append(sequence, end, draft)

    def _append(self, sequence: Sequence, end: int, draft: Draft | None) -> None:
        start = sequence.num_computed
        draft_ids = draft.ids if draft else []
        rows = Rows(
            block_ids=sequence.block_ids,
            start=start,
            token_ids=[*sequence.token_ids[start:end], *draft_ids],
            num_logit_rows=sequence.num_logit_rows(end) + len(draft_ids),
            adapter=sequence.options.adapter,
        )
        self._chunks.append(Chunk(sequence, rows, draft))
        self._num_rows += len(rows.token_ids)

    def _draft(self, sequence: Sequence, room: int, num_other_rows: int) -> Draft | None:
        """Ids that may follow, as many as pay."""
        policy = self._scheduler.policy
        most = min(
            room,
            policy.max_draft_tokens,
            sequence.params.max_tokens - sequence.num_output_tokens - 1,
            self._scheduler.max_tokens - len(sequence.token_ids) - 1,
        )
        if most < 1 or sequence.drafter is None:
            return None
        draft = sequence.drafter.propose(sequence.token_ids, sequence.num_prompt_tokens, most)
        count = policy.num_draft_tokens(draft.source, num_other_rows) if draft.ids else 0
        return Draft(draft.ids[:count], draft.source) if count else None


def _is_shared_soon(sequence: Sequence, prefilling: list[Sequence]) -> bool:
    """Is a prompt that is being computed about to put a block of this one's into the cache?

    Then it waits a step rather than compute the same. Source: SGLang's in-batch prefix caching delay.
    """
    for other in prefilling:
        if other.options.adapter == sequence.options.adapter:
            common = common_tokens(other.token_ids, sequence.token_ids)
            limit = min(common, sequence.first_logit_row) // BLOCK_TOKENS * BLOCK_TOKENS
            if limit > other.num_computed:
                return True
    return False
