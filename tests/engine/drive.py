"""Runs scheduler, executor and sampler step by step on the test's own thread: no races, no waiting."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from paceline.engine.config import SchedulerConfig
from paceline.engine.draft import Source
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.planner import Chunk
from paceline.engine.sampler import Picked, pick
from paceline.engine.scheduler import Scheduler, SchedulerListener
from paceline.engine.sequence import DEFAULT_OPTIONS, SessionKey, SubmitOptions
from paceline.engine.sequence import Sequence as EngineSequence
from paceline.engine.speculation import SpeculationConfig, SpeculationPolicy
from paceline.engine.step import BLOCK_TOKENS, Executor


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.is_stop_requested = False
        self.tokens: list[Picked] = []
        self.reasons: list[FinishReason] = []
        self.error: Exception | None = None

    def on_tokens(self, tokens: Sequence[Picked]) -> None:
        assert not self.reasons, "a token after the end"
        assert tokens, "told of nothing"
        self.tokens += tokens

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        self.reasons.append(reason)
        self.error = error

    @property
    def ids(self) -> list[int]:
        return [token.token_id for token in self.tokens]

    @property
    def pairs(self) -> list[tuple[int, float]]:
        return [(token.token_id, token.logprob) for token in self.tokens]


class Counts(SchedulerListener):
    """How often what a property is about really happened."""

    def __init__(self) -> None:
        self.num_admissions = 0
        self.num_cache_hits = 0
        self.num_partial_hits = 0
        self.num_preemptions = 0
        self.num_rejected_drafts = 0
        self.num_accepted_drafts = 0
        self.reasons: Counter[FinishReason] = Counter()

    def admitted(self, sequence: EngineSequence) -> None:
        self.num_admissions += 1
        self.num_cache_hits += sequence.num_computed > 0
        self.num_partial_hits += sequence.num_computed % BLOCK_TOKENS > 0

    def preempted(self, sequence: EngineSequence) -> None:
        self.num_preemptions += 1

    def finished(self, sequence: EngineSequence) -> None:
        assert sequence.finish_reason is not None
        self.reasons[sequence.finish_reason] += 1

    def add(self, other: Counts) -> None:
        """Sum up over several runs."""
        for name in ("admissions", "cache_hits", "partial_hits", "preemptions"):
            field = f"num_{name}"
            setattr(self, field, getattr(self, field) + getattr(other, field))
        self.num_rejected_drafts += other.num_rejected_drafts
        self.num_accepted_drafts += other.num_accepted_drafts
        self.reasons += other.reasons


class AlwaysDraft(SpeculationPolicy):
    """Drafts as much as it may, whether it pays or not: for tests of what comes out."""

    def num_draft_tokens(self, source: Source, num_other_rows: int) -> int:
        return self.max_draft_tokens


class Drive:
    """What TokenEngine does in its thread, one call a step, with the invariants checked after each."""

    def __init__(
        self,
        executor: Executor,
        config: SchedulerConfig = SchedulerConfig(),
        *,
        max_draft_tokens: int = 0,
    ) -> None:
        self.executor = executor
        self.counts = Counts()
        speculation = SpeculationConfig(
            is_enabled=max_draft_tokens > 0, max_draft_tokens=max(max_draft_tokens, 1)
        )
        self.scheduler = Scheduler(
            config,
            num_blocks=executor.num_blocks,
            context_tokens=executor.context_tokens,
            policy=AlwaysDraft(speculation) if max_draft_tokens else SpeculationPolicy(speculation),
            listener=self.counts,
        )
        self.now_s = 0.0
        self.steps: list[list[Chunk]] = []
        self._ids = itertools.count(1)
        self._sessions: dict[SessionKey, EngineSequence] = {}

    def add(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams = SamplingParams(),
        options: SubmitOptions = DEFAULT_OPTIONS,
        *,
        targets: tuple[int, ...] = (),
    ) -> Recorder:
        """Queue a sequence; one of the same session is superseded."""
        recorder = Recorder()
        ids = [*prompt_ids, *targets[:-1]]
        sequence = EngineSequence(
            next(self._ids), ids, params, recorder, options=options, targets=targets
        )
        self.scheduler.add(sequence)
        if options.session is not None:
            if options.session in self._sessions:
                self._sessions[options.session].is_superseded = True
            self._sessions[options.session] = sequence
        return recorder

    def step(self) -> list[Chunk]:
        """One step; returns what was in it."""
        self.scheduler.purge(self.now_s)
        plan = self.scheduler.plan()
        if plan.chunks:
            _assert_nobody_writes_into_another_s_block(plan.chunks)
            assert_copies_may_be_made_in_any_order(plan.copies)
            self.executor.copy_blocks(plan.copies)
            logits_RV = self.executor.forward([chunk.rows for chunk in plan.chunks])
            picked = pick([chunk.draw for chunk in plan.chunks], logits_RV)
            for chunk, chunk_picks in zip(plan.chunks, picked, strict=True):
                num_new = self.scheduler.commit(chunk, chunk_picks)
                if chunk.draft:
                    self.counts.num_accepted_drafts += max(num_new - 1, 0)
                    self.counts.num_rejected_drafts += num_new - 1 < len(chunk.draft.ids)
        self.steps.append(plan.chunks)
        self.now_s += 1.0
        self.scheduler.check()
        return plan.chunks

    def run(self, max_steps: int = 10_000) -> None:
        """Step until nothing is left."""
        for _ in range(max_steps):
            if not self.scheduler.has_work:
                return
            self.step()
        raise AssertionError("it does not end")


def assert_copies_may_be_made_in_any_order(copies: Sequence[tuple[int, int]]) -> None:
    """An executor may read all sources first, and write in parallel."""
    written: set[int] = set()
    for source, destination in copies:
        assert source not in written, "a copy of a block that is not there yet"
        assert destination not in written, "two copies into one block"
        written.add(destination)


def _assert_nobody_writes_into_another_s_block(chunks: Sequence[Chunk]) -> None:
    written = [set(c.rows.block_ids[c.rows.start // BLOCK_TOKENS :]) for c in chunks]
    for index, blocks in enumerate(written):
        for other, chunk in enumerate(chunks):
            assert index == other or not blocks & set(chunk.rows.block_ids), (
                "a shared block changes"
            )
