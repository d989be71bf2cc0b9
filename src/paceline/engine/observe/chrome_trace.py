"""Draws the records of engines as a Chrome trace: which request did what in which step. Ids and counts only.

    process "model: steps"      | decode                               |
      track "steps"             | plan | forward       | pick | commit |
    process "model: requests"
      track "request 4"         | queued | prefill | decode | verify | ...   and one slice around them
      track "request 5"                   | queued       | prefill | preempted | ...

Opens in https://ui.perfetto.dev and chrome://tracing. Times are microseconds with three decimals, made
from whole nanoseconds; a slice never sticks out of the one around it, which comes before it.

Source: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from paceline.engine.observe.stats import Entry, StepStats, entry_kind, num_accepted_drafts
from paceline.engine.observe.trace import Record, RequestEvent

YIELD_RECORDS, YIELD_S = 64, 0.0005
"""Drawing is pure Python; without pauses the engine's thread would wait up to 5 ms for the
interpreter at every operation (sys.getswitchinterval)."""

TraceEvent = dict[str, Any]


def chrome_trace(models: Sequence[tuple[str, Sequence[Record]]], seconds: float) -> dict[str, Any]:
    """Return the trace of each (model name, records): the last `seconds` before its newest record.

    What happened earlier is left out, so a request may begin with the first that is seen of it. The
    result is JSON as it stands. Call it from any thread but the engine's: it takes about 10 us a record.
    """
    events: list[TraceEvent] = []
    for index, (model_name, records) in enumerate(models):
        events += _Drawing(model_name, 2 * index + 1).draw(records, seconds)
    return {"displayTimeUnit": "ms", "traceEvents": events}


class _Drawing:
    """The events of one model: process `pid` has its steps, the next one its requests."""

    def __init__(self, model_name: str, pid: int) -> None:
        self._name, self._pid = model_name, pid
        self._events: list[TraceEvent] = []
        self._requests: dict[int, _RequestTrack] = {}
        self._gauges: dict[str, dict[str, int]] = {}

    def draw(self, records: Sequence[Record], seconds: float) -> list[TraceEvent]:
        newest_s = max((record.end_s for record in records), default=0.0)
        for index, record in enumerate(records):
            if index % YIELD_RECORDS == YIELD_RECORDS - 1:
                time.sleep(YIELD_S)
            if record.end_s < newest_s - seconds:
                continue
            if isinstance(record, StepStats):
                self._draw_step(record)
            else:
                self._track(record.sequence_id, to_ns(record.at_s)).happen(record)
        for track in self._requests.values():
            track.close(to_ns(newest_s))
        return [*self._names(), *self._events] if self._events else []

    def _draw_step(self, stats: StepStats) -> None:
        durations = (stats.plan_s, stats.forward_s, stats.pick_s, stats.commit_s)
        borders = [to_ns(stats.started_s)]
        for duration_s in durations:
            borders.append(borders[-1] + max(to_ns(duration_s), 0))
        args = {
            "number": stats.number,
            "rows": stats.num_rows,
            "batch_lane_rows": stats.num_batch_lane_rows,
            "sequences": len(stats.entries),
            "used_blocks": stats.used_blocks,
            "cached_blocks": stats.cached_blocks,
        }
        step = slice_of(self._pid, 0, stats.kind, borders[0], borders[-1], args)
        names = ("plan", "forward", "pick", "commit")
        spans = zip(names, borders, borders[1:], strict=False)
        self._events += [step, *(slice_of(self._pid, 0, *span) for span in spans)]
        self._gauge("blocks", borders[0], used=stats.used_blocks, cached=stats.cached_blocks)
        self._gauge("sequences", borders[0], running=stats.num_running, waiting=stats.num_waiting)
        for entry in stats.entries:  # from the end of the plan, in which it may have been admitted
            self._track(entry[0], borders[1]).compute(entry, stats.number, borders[1], borders[-1])

    def _gauge(self, name: str, at_ns: int, **values: int) -> None:
        """Draw a level, if it changed."""
        if self._gauges.get(name) != values:
            self._gauges[name] = values
            event = {"ph": "C", "name": name, "pid": self._pid, "tid": 0}
            self._events.append({**event, "ts": at_ns / 1000, "args": values})

    def _track(self, sequence_id: int, at_ns: int) -> _RequestTrack:
        track = self._requests.get(sequence_id)
        if track is None:
            track = _RequestTrack(self._pid + 1, sequence_id, at_ns, self._events)
            self._requests[sequence_id] = track
        return track

    def _names(self) -> list[TraceEvent]:
        steps, requests = self._pid, self._pid + 1
        return [
            name_of("process_name", steps, 0, f"{self._name}: steps"),
            name_of("thread_name", steps, 0, "steps"),
            name_of("process_name", requests, 0, f"{self._name}: requests"),
            *(name_of("thread_name", requests, id, f"request {id}") for id in self._requests),
        ]


class _RequestTrack:
    """Slices of one request, one after another: `_end_ns` only moves forward."""

    def __init__(self, pid: int, sequence_id: int, at_ns: int, events: list[TraceEvent]) -> None:
        self._pid, self._id, self._events = pid, sequence_id, events
        self._start_ns = self._end_ns = at_ns
        self._is_finished = False
        self._waits_as: str | None = None
        """Name of the wait that is going on."""
        self._args: dict[str, Any] = {}
        self._around = slice_of(
            pid, sequence_id, f"request {sequence_id}", at_ns, at_ns, self._args
        )
        events.append(self._around)

    def compute(self, entry: Entry, number: int, start_ns: int, end_ns: int) -> None:
        """Draw what a step did for the request. A request may have finished in the same step."""
        _, start, num_rows, num_draft_rows, num_new_tokens = entry
        self._end_wait(start_ns)
        args = {"step": number, "start": start, "rows": num_rows, "new_tokens": num_new_tokens}
        if num_draft_rows:
            args |= {"draft_tokens": num_draft_rows, "accepted_drafts": num_accepted_drafts(entry)}
        self._draw(entry_kind(entry), max(start_ns, self._end_ns), end_ns, args)

    def happen(self, event: RequestEvent) -> None:
        """Draw what befell the request."""
        at_ns = max(to_ns(event.at_s), self._start_ns)
        if event.what == "queued":
            self._waits_as = "queued"
            self._args |= {"lane": event.word, "prompt_tokens": event.num_tokens}
        elif event.what == "admitted":
            self._end_wait(at_ns)
            self._args.setdefault("cached_tokens", event.num_tokens)
        elif event.what == "preempted":
            self._waits_as = "preempted"
            self._end_ns = max(self._end_ns, at_ns)
        else:
            self._end_wait(at_ns)
            self._is_finished = True
            self._args |= {"finish_reason": event.word, "output_tokens": event.num_tokens}
            mark = {"ph": "i", "s": "t", "name": f"finished: {event.word}"}
            self._events.append({**mark, "pid": self._pid, "tid": self._id, "ts": at_ns / 1000})
            self._around["dur"] = (at_ns - self._start_ns) / 1000

    def close(self, at_ns: int) -> None:
        """End the slice around all; a request that has not finished lasts until `at_ns`."""
        if not self._is_finished:
            self._end_wait(at_ns)
            self._end_ns = max(self._end_ns, at_ns)
        duration = (self._end_ns - self._start_ns) / 1000
        self._around["dur"] = max(self._around["dur"], duration)

    def _end_wait(self, at_ns: int) -> None:
        if self._waits_as is not None:
            self._draw(self._waits_as, self._end_ns, at_ns)
            self._waits_as = None

    def _draw(
        self, name: str, start_ns: int, end_ns: int, args: dict[str, Any] | None = None
    ) -> None:
        self._end_ns = max(start_ns, end_ns)
        self._events.append(slice_of(self._pid, self._id, name, start_ns, self._end_ns, args))


def slice_of(
    pid: int, tid: int, name: str, start_ns: int, end_ns: int, args: dict[str, Any] | None = None
) -> TraceEvent:
    """A complete event."""
    event: TraceEvent = {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": start_ns / 1000}
    event["dur"] = (end_ns - start_ns) / 1000
    if args is not None:
        event["args"] = args
    return event


def name_of(kind: str, pid: int, tid: int, name: str) -> TraceEvent:
    """The name of a process or a track."""
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def to_ns(seconds: float) -> int:
    """Whole nanoseconds."""
    return round(seconds * 1e9)
