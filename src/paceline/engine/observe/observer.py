"""Counts what an engine does, for Prometheus and for traces. Ids and numbers only; no text, no torch.

    engine's thread   queued?  admitted  preempted  step  finished      some microseconds each
    any thread        queued, refused (under the engine's lock)
    readers           families(), records(): a copy, taken in a fraction of a millisecond

One lock guards it all; nothing is called while it is held. An id that was never queued, or has
finished, is ignored: a wrong figure must not stop the engine.

A step may be reported before or after the finishes that it brought about. If the finish comes first,
the request is set aside until its last tokens have been reported (at the latest, until the next step).
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

from paceline.core.exposition import Family, render
from paceline.engine.observe.chrome_trace import chrome_trace
from paceline.engine.observe.figures import Figures, LaneFigures
from paceline.engine.observe.stats import StepStats
from paceline.engine.observe.trace import Record, RequestEvent, TraceConfig, TraceRing
from paceline.engine.observe.work import Peaks, Precision, check_peaks
from paceline.plan.flops import DecoderShape

ANSWERED = ("stop", "length")
"""Only these count in histograms of whole requests; the time to a cancellation says how fast somebody types."""


class _Request:
    """What must be remembered of a request until it has finished."""

    __slots__ = (
        *("lane", "prompt_tokens", "queued_s", "admitted_s", "first_token_s", "last_token_s"),
        *("num_tokens", "is_running", "is_prefilled", "reason", "finished_s"),
    )

    def __init__(self, lane: LaneFigures, prompt_tokens: int, queued_s: float) -> None:
        self.lane, self.prompt_tokens, self.queued_s = lane, prompt_tokens, queued_s
        self.admitted_s: float | None = None
        self.first_token_s: float | None = None
        self.last_token_s = 0.0
        self.num_tokens = 0
        self.is_running = self.is_prefilled = False
        self.reason = ""
        self.finished_s = 0.0


class EngineObserver:
    """Everything that is known of one engine's past. Times are seconds of one monotonic clock.

    Args:
        model_name: value of the label `model_name`.
        shape: of the model, for operations and bytes of a step; None leaves those figures out.
        precision: bytes of a weight and of a number in the KV cache.
        peaks: of the device; None leaves shares of the peak out.
        num_blocks, block_bytes: blocks of the KV cache, and the memory of one.
        trace: how much is kept for traces.

    Raises:
        ConfigError: a peak is not positive.
    """

    def __init__(
        self,
        model_name: str,
        shape: DecoderShape | None = None,
        *,
        precision: Precision | None = None,
        peaks: Peaks | None = None,
        num_blocks: int = 0,
        block_bytes: int = 0,
        trace: TraceConfig | None = None,
    ) -> None:
        check_peaks(peaks)
        self.model_name = model_name
        self._lock = Lock()
        self._figures = Figures(
            shape, precision or Precision(), peaks, num_blocks=num_blocks, block_bytes=block_bytes
        )
        self._ring = TraceRing(trace or TraceConfig())
        self._requests: dict[int, _Request] = {}
        self._set_aside: dict[int, _Request] = {}

    def queued(self, sequence_id: int, *, lane: str, prompt_tokens: int, now_s: float) -> None:
        """A request waits to be admitted. `lane` is one of the engine's few lanes, never a user."""
        with self._lock:
            lanes = self._figures.lanes
            figures = lanes.get(lane)
            if figures is None:
                figures = lanes[lane] = LaneFigures()
            self._requests[sequence_id] = _Request(figures, prompt_tokens, now_s)
            self._ring.add(RequestEvent(sequence_id, "queued", now_s, prompt_tokens, lane))

    def refused(self, reason: str) -> None:
        """A request was not queued. `reason` is one of few words, such as overload."""
        with self._lock:
            counts = self._figures.refused
            counts[reason] = counts.get(reason, 0) + 1

    def admitted(self, sequence_id: int, *, cached_tokens: int, now_s: float) -> None:
        """A request got blocks, of which the prefix cache had filled some; again after a preemption."""
        with self._lock:
            request = self._requests.get(sequence_id)
            if request is None:
                return
            request.is_running = True
            if request.admitted_s is None:
                request.admitted_s = now_s
                self._figures.cache_queries += request.prompt_tokens
                self._figures.cache_hits += cached_tokens
            self._ring.add(RequestEvent(sequence_id, "admitted", now_s, cached_tokens))

    def preempted(self, sequence_id: int, *, now_s: float) -> None:
        """The blocks of a request were taken back; it waits again."""
        with self._lock:
            request = self._requests.get(sequence_id)
            if request is None:
                return
            request.is_running = False
            self._figures.preemptions += 1
            self._ring.add(RequestEvent(sequence_id, "preempted", now_s))

    def step(self, stats: StepStats) -> None:
        """A step is over."""
        with self._lock:
            self._figures.add_step(stats)
            end_s = stats.end_s
            for sequence_id, start, num_rows, num_draft_rows, num_new in stats.entries:
                request = self._requests.get(sequence_id) or self._set_aside.get(sequence_id)
                if request is None:
                    continue
                end = start + num_rows - num_draft_rows
                if end >= request.prompt_tokens and not request.is_prefilled:
                    request.is_prefilled = True
                    self._figures.prompt_tokens += request.prompt_tokens
                if num_new:
                    self._add_tokens(request, num_new, end_s)
            if self._set_aside:
                for request in self._set_aside.values():
                    self._settle(request)
                self._set_aside.clear()
            self._ring.add(stats)

    def finished(
        self,
        sequence_id: int,
        *,
        reason: str,
        output_tokens: int,
        wasted_tokens: int,
        now_s: float,
    ) -> None:
        """A request has ended. `wasted_tokens` were produced and shown to nobody."""
        with self._lock:
            request = self._requests.pop(sequence_id, None)
            if request is None:
                return
            figures = self._figures
            figures.finished[reason] = figures.finished.get(reason, 0) + 1
            figures.wasted[reason] = figures.wasted.get(reason, 0) + wasted_tokens
            request.reason, request.finished_s = reason, now_s
            self._ring.add(RequestEvent(sequence_id, "finished", now_s, output_tokens, reason))
            if request.num_tokens >= output_tokens:
                self._settle(request)
            else:
                self._set_aside[sequence_id] = request

    def families(self) -> list[Family]:
        """All figures as of now."""
        with self._lock:
            num_running = sum(request.is_running for request in self._requests.values())
            num_waiting = len(self._requests) - num_running
            return self._figures.families(
                self.model_name, num_waiting=num_waiting, num_running=num_running
            )

    def records(self) -> list[Record]:
        """What is kept for traces, oldest first."""
        with self._lock:
            return self._ring.copy()

    def _add_tokens(self, request: _Request, num_new: int, end_s: float) -> None:
        if request.first_token_s is None:
            request.first_token_s = end_s
            request.lane.first_token.observe(end_s - request.queued_s)
        else:
            request.lane.token.observe(end_s - request.last_token_s)
        request.last_token_s = end_s
        request.num_tokens += num_new

    def _settle(self, request: _Request) -> None:
        """Count a whole request, once its last tokens are known."""
        if request.reason not in ANSWERED:
            return
        lane, admitted_s, first_s = request.lane, request.admitted_s, request.first_token_s
        # A finish is noticed within its step, whose tokens count as written at its end.
        end_s = max(request.finished_s, request.last_token_s)
        lane.latency.observe(end_s - request.queued_s)
        lane.prompt_tokens.observe(request.prompt_tokens)
        lane.output_tokens.observe(request.num_tokens)
        if admitted_s is None:
            return
        lane.queue.observe(admitted_s - request.queued_s)
        if first_s is None:
            return
        decode_s = request.last_token_s - first_s
        lane.prefill.observe(first_s - admitted_s)
        lane.decode.observe(decode_s)
        lane.inference.observe(request.last_token_s - admitted_s)
        if request.num_tokens > 1:
            lane.mean_token.observe(decode_s / (request.num_tokens - 1))


def metrics_text(observers: Iterable[EngineObserver]) -> str:
    """Prometheus' text of several engines together."""
    return render(family for observer in observers for family in observer.families())


def trace_of(observers: Iterable[EngineObserver], seconds: float) -> dict[str, Any]:
    """A Chrome trace of the last `seconds` in which each of several engines did something."""
    models = [(observer.model_name, observer.records()) for observer in observers]
    return chrome_trace(models, seconds)
