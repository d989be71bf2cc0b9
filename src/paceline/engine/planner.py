"""The making of one step: who runs, and which rows each of them has. No torch, no threads.

Sequences come in the order of urgency (scheduler.py). First as many as fit are admitted; then every
decoding sequence gets a row, prompts get chunks, and drafts what is left. When blocks run out, the newest
running sequence of the lowest lane is preempted. So the oldest running one always gets on.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from paceline.engine.config import SchedulerConfig
from paceline.engine.draft import Draft
from paceline.engine.sampler import Draw
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
    """One step. `copies` are (source, destination) blocks, to be copied before it; see
    Executor.copy_blocks."""

    chunks: list[Chunk]
    copies: list[tuple[int, int]]


class Owner(Protocol):
    """Who holds the sequences and their blocks: the scheduler."""

    config: SchedulerConfig
    policy: SpeculationPolicy
    running: dict[int, Sequence]
    """In the order in which they came to run."""

    @property
    def max_tokens(self) -> int:
        """Longest sequence, prompt and output together."""
        ...

    def fair_slots(self, lane: Lane) -> int:
        """Running sequences that each user of a lane may have while others want to run."""
        ...

    def admit(self, sequence: Sequence, copies: list[tuple[int, int]]) -> bool:
        """Let a waiting sequence run; False without room for it. Adds to `copies`."""
        ...

    def preempt(self, sequence: Sequence, *, is_kept: bool) -> None:
        """Let a running sequence wait again; what it has computed stays in the cache if `is_kept`."""
        ...

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Extend the block table to `num_tokens` positions; False if there is no block left."""
        ...


class Planner:
    """The making of one step: first who runs, then which rows each of them has."""

    def __init__(self, scheduler: Owner, order: list[Sequence]) -> None:
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
        prompts = [s for s in running if s.num_uncomputed > 1]
        num_prompt_rows = sum(map(self._chunk_rows, prompts))
        for index, sequence in enumerate(decodes):
            self._add(sequence, limit, len(decodes) - index - 1, num_prompt_rows)
        for sequence in prompts:
            num_prompt_rows -= self._chunk_rows(sequence)
            self._add(sequence, limit, 0, num_prompt_rows)

    def _chunk_rows(self, sequence: Sequence) -> int:
        """Rows that it would have in this step if it were alone."""
        return min(sequence.num_uncomputed, self._config.prefill_chunk_tokens)

    def _admit_lane(self, sequences: list[Sequence], limit: int) -> None:
        """Let waiting sequences run, in order, as long as they could have a row in this step.

        Where blocks are wanting nobody overtakes: short prompts would keep a long one out for ever.
        """
        num_expected = self._num_rows
        prefilling: list[Sequence] = []
        full_users: set[str] = set()
        for sequence in sequences:
            if sequence.phase is Phase.WAITING:
                if num_expected >= limit:
                    return
                if sequence.options.user in full_users or _is_shared_soon(sequence, prefilling):
                    continue
                if not self._admit(sequence):
                    if self._has_slot or not self._is_anyone_greedy(sequence.options.lane):
                        return
                    full_users.add(sequence.options.user)
                    continue
            if sequence.num_uncomputed > 1:
                prefilling.append(sequence)
            num_expected += self._chunk_rows(sequence)

    @property
    def _has_slot(self) -> bool:
        return len(self._scheduler.running) < self._config.max_sequences

    def _is_anyone_greedy(self, lane: Lane) -> bool:
        """Does a user run more than a fair share, so that another's request may take a slot of it?"""
        fair = self._scheduler.fair_slots(lane)
        return any(count > fair for count in self._num_running(lane).values())

    def _num_running(self, lane: Lane) -> Counter[str]:
        running = self._scheduler.running.values()
        return Counter(s.options.user for s in running if s.options.lane is lane)

    def _admit(self, sequence: Sequence) -> bool:
        """Let one run, if need be in the place of others."""
        while True:
            if self._has_slot and self._scheduler.admit(sequence, self._copies):
                return True
            victim = self._displaceable(sequence)
            if victim is None:
                return False
            self._preempt(victim)

    def _preempt(self, sequence: Sequence) -> None:
        """Preempt one; if this plan has let it run, its copy is not made and nothing is remembered."""
        copies = [pair for pair in self._copies if pair[1] not in sequence.block_ids]
        self._scheduler.preempt(sequence, is_kept=len(copies) == len(self._copies))
        self._copies = copies

    def _displaceable(self, sequence: Sequence) -> Sequence | None:
        """The newest running one of a lower lane, else of a user with more than a fair share of its own.

        Shares are counted in slots and not in served rows, so that two can never displace each other
        in turn.
        """
        candidates = [s for s in reversed(self._scheduler.running.values()) if self._is_idle(s)]
        lane, user = sequence.options.lane, sequence.options.user
        lower = next((s for s in candidates if s.options.lane > lane), None)
        if lower is not None:
            return lower
        counts = self._num_running(lane)
        fair = self._scheduler.fair_slots(lane)
        if counts[user] >= fair:
            return None
        same = (s for s in candidates if s.options.lane is lane)
        return next((s for s in same if counts[s.options.user] > fair), None)

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
                self._preempt(other)
                return True
        lower = [
            s
            for s in reversed(self._scheduler.running.values())
            if s.options.lane > lane and self._is_idle(s)
        ]
        if lower:
            self._preempt(lower[0])
        return bool(lower)

    def _add(
        self, sequence: Sequence, limit: int, num_decodes_to_come: int, num_prompt_rows_to_come: int
    ) -> None:
        """Give a running sequence its rows; it is preempted if there are no blocks for them.

        Rows are kept for the decodes after it, and its drafts leave room for the prompts after it too.
        """
        room = limit - self._num_rows - num_decodes_to_come
        num_given = min(self._chunk_rows(sequence), room)
        if sequence.phase is not Phase.RUNNING or num_given < 1:
            return  # preempted by one before it, or no rows are left
        end = sequence.num_computed + num_given
        draft = None
        if end == len(sequence.token_ids) and sequence.drafter is not None:
            draft = self._draft(
                sequence,
                room - num_given - num_prompt_rows_to_come,
                self._num_rows + num_given,
            )
        if draft and not self._scheduler.grow(sequence, end + len(draft.ids)):
            draft = None  # guesses are not worth anybody's blocks
        while not self._scheduler.grow(sequence, end):
            if not self._preempt_newer(sequence):
                self._preempt(sequence)
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
        num_soon = (other.num_computed // BLOCK_TOKENS + 1) * BLOCK_TOKENS
        if (
            other.options.adapter == sequence.options.adapter
            and num_soon <= min(sequence.first_logit_row, len(other.token_ids))
            and other.token_ids[:num_soon] == sequence.token_ids[:num_soon]
        ):
            return True
    return False
