"""Tells the observer what the engine did. Knows which figures are wanted; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass

from paceline.core.errors import OverloadedError
from paceline.engine.observe.observer import EngineObserver
from paceline.engine.observe.stats import StepStats
from paceline.engine.params import FinishReason
from paceline.engine.planner import StepPlan
from paceline.engine.scheduler import Scheduler, SchedulerListener
from paceline.engine.sequence import Lane, Sequence, SubmitOptions
from paceline.engine.stream import TokenStream


@dataclass
class StepTimes:
    """When the parts of a step ended, on the engine's clock."""

    started_s: float
    planned_s: float = 0.0
    computed_s: float = 0.0
    picked_s: float = 0.0


class Reporter(SchedulerListener):
    """Between one engine and its observer; without an observer it only fills in the streams."""

    def __init__(self, observer: EngineObserver | None, now_s: Callable[[], float]) -> None:
        self._observer = observer
        self._now_s = now_s

    def queue(
        self, sequence: Sequence, scheduler: Scheduler, *, in_place_of: Sequence | None = None
    ) -> None:
        """Add a sequence to the scheduler and say so, or say why not.

        Raises:
            OverloadedError: the queue is full.
        """
        with self._counting_refusals():
            scheduler.add(sequence, in_place_of=in_place_of)
        if self._observer:
            self._observer.queued(
                sequence.sequence_id,
                lane=sequence.options.lane.name.lower(),
                prompt_tokens=sequence.num_prompt_tokens,
                now_s=self._now_s(),
            )

    def refuse_if_full(self, options: SubmitOptions, scheduler: Scheduler) -> None:
        """Count a refusal, if it is one.

        Raises:
            OverloadedError: the queue is full.
        """
        with self._counting_refusals():
            scheduler.refuse_if_full(options)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except OverloadedError:
            if self._observer:
                self._observer.refused("overload")
            raise

    def admitted(self, sequence: Sequence) -> None:
        """It runs; its stream learns how much was cached."""
        if isinstance(sequence.listener, TokenStream):
            sequence.listener.cached_tokens = sequence.num_cached_tokens
        if self._observer:
            self._observer.admitted(
                sequence.sequence_id,
                cached_tokens=sequence.num_cached_tokens,
                now_s=self._now_s(),
            )

    def preempted(self, sequence: Sequence) -> None:
        """It waits again."""
        if self._observer:
            self._observer.preempted(sequence.sequence_id, now_s=self._now_s())

    def finished(self, sequence: Sequence) -> None:
        """It is gone."""
        if self._observer and sequence.finish_reason:
            self._observer.finished(
                sequence.sequence_id,
                reason=sequence.finish_reason.value,
                output_tokens=sequence.num_output_tokens,
                wasted_tokens=num_wasted_tokens(sequence),
                now_s=self._now_s(),
            )

    def step(
        self,
        number: int,
        plan: StepPlan,
        num_new: Items[int],
        times: StepTimes,
        scheduler: Scheduler,
    ) -> None:
        """One step is done; `num_new` ids came out of each chunk."""
        if not self._observer:
            return
        entries = tuple(
            (c.sequence.sequence_id, c.rows.start, len(c.rows.token_ids), c.num_draft_rows, new)
            for c, new in zip(plan.chunks, num_new, strict=True)
        )
        num_batch_rows = sum(
            len(c.rows.token_ids) for c in plan.chunks if c.sequence.options.lane is Lane.BATCH
        )
        self._observer.step(
            StepStats(
                number=number,
                started_s=times.started_s,
                plan_s=times.planned_s - times.started_s,
                forward_s=times.computed_s - times.planned_s,
                pick_s=times.picked_s - times.computed_s,
                commit_s=self._now_s() - times.picked_s,
                entries=entries,
                num_waiting=len(scheduler.waiting),
                num_running=len(scheduler.running),
                used_blocks=scheduler.pool.num_busy,
                cached_blocks=scheduler.pool.num_idle,
                num_blocks=scheduler.pool.num_blocks,
                num_batch_lane_rows=num_batch_rows,
            )
        )


def num_wasted_tokens(sequence: Sequence) -> int:
    """Tokens that were computed for nothing: nobody read them, or nobody could use the result."""
    reason = sequence.finish_reason
    if reason in (FinishReason.CANCELLED, FinishReason.SUPERSEDED):
        return sequence.num_output_tokens
    listener = sequence.listener
    if listener.is_stop_requested and isinstance(listener, TokenStream):
        return max(sequence.num_output_tokens - listener.num_read, 0)
    return 0
