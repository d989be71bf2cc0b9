"""The story of each request: why this, why nothing, and where each millisecond went.

Numbers, names of rules and reasons only. Text of the document, of snippets or of the completion, and
paths, are kept only if the config says so (`is_code_in_traces`). In memory, the newest `max_traces`.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec

from paceline.complete.gate_features import GateFeatures
from paceline.complete.modes import Mode, Trigger
from paceline.complete.steps.types import StepNote

MIN_ID_CHARS = 9
"""A shorter beginning of an id is not looked for."""
MAX_EVENTS = 32
"""Of one request; a client that sends more repeats itself."""


def user_key_of(owner: str) -> str:
    """A hash of a user's name (`owner_of`), from which it cannot be read; empty for nobody in particular."""
    named = owner.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=12).hexdigest() if owner else ""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work."""

    name: str
    start_ms: float
    """After the request came."""
    ms: float


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the completion afterwards."""

    kind: str
    after_ms: float
    """After the request came."""
    num_chars: int = 0


class SnippetNote(msgspec.Struct, frozen=True, kw_only=True):
    """A snippet that entered the prompt, or did not."""

    origin: str
    num_chars: int = 0
    skipped: str = ""
    """Why it did not enter; empty if it did."""
    path: str = ""
    """Only if code may be kept."""


class CandidateNote(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: what the model wrote, what the steps did, what the gate thinks."""

    num_tokens: int
    num_chars_raw: int
    num_chars_confident: int | None = None
    """What was left of it before the first doubtful word; None: all of it (confidence.py)."""
    num_chars: int
    mean_logprob: float | None
    finish_reason: str
    steps: tuple[StepNote, ...] = ()
    drop_reason: str = ""
    flags: tuple[str, ...] = ()
    probability: float | None = None
    gate_reasons: tuple[str, ...] = ()
    features: GateFeatures | None = None
    """What the gate saw: numbers only, from which it can be fitted anew."""
    raw_text: str = ""
    """Only if code may be kept."""
    text: str = ""
    """Only if code may be kept."""


class RequestTrace(msgspec.Struct, kw_only=True):
    """All that is remembered of one request. Grows while the request is answered."""

    request_id: str
    at_s: float
    """Seconds since 1970."""
    trigger: Trigger
    is_ahead: bool = False
    """Was it asked before the user did, for what would come next?"""
    user_key: str = ""
    """A hash of whose it is; empty: nobody's in particular."""
    document_key: str = ""
    """A hash, so that requests of one document can be told to belong together."""
    path: str = ""
    """Only if code may be kept."""
    language: str = ""
    num_document_chars: int = 0
    mode: Mode | None = None
    intent: str = ""
    mode_score: float | None = None
    reasons: tuple[str, ...] = ()
    """Why this mode."""
    source: str = ""
    """network | cache | typed_as_suggested | prefetch; empty if nothing was asked."""
    debounce_ms: float = 0.0
    debounce_reasons: tuple[str, ...] = ()
    snippets: tuple[SnippetNote, ...] = ()
    model_id: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    candidates: tuple[CandidateNote, ...] = ()
    outcome: str = ""
    """shown | prepared: asked ahead, and kept for when it is wanted | nothing | error | cancelled: the client left
    before it was answered"""
    drop_reason: str = ""
    probability: float | None = None
    """That the user keeps what is offered; None if there was nothing to judge."""
    answered_by: str = ""
    """The request for which the text was written; another one if it comes from the cache."""
    gate_threshold: float | None = None
    is_exempt: bool = False
    failed: tuple[str, ...] = ()
    """Stages and steps that a bug ended, and without which the request was answered."""
    num_prefetched: int = 0
    """Completions that were prepared for what comes after this one."""
    latency_ms: float = 0.0
    spans: tuple[Span, ...] = ()
    events: tuple[TraceEvent, ...] = ()

    def own_ms(self) -> float:
        """Time that the brain itself took: all spans but waiting and generating."""
        return sum(span.ms for span in self.spans if span.name not in WAITS)


WAITS = frozenset({"debounce", "generate", "join"})
"""Spans in which the brain waits for somebody else."""


class Stopwatch:
    """Cuts one request's time into spans."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self.stage = ""
        """The name of the newest span."""
        self.started_ms = now_ms()
        self.spans: list[Span] = []

    def elapsed_ms(self) -> float:
        """Since the request came."""
        return self._now_ms() - self.started_ms

    @contextmanager
    def span(self, name: str) -> Generator[None]:
        """Time a piece of work, also one that raises."""
        start_ms, self.stage = self.elapsed_ms(), name
        try:
            yield
        finally:
            self.spans.append(Span(name=name, start_ms=start_ms, ms=self.elapsed_ms() - start_ms))


class TraceStore:
    """The newest traces, by request id."""

    def __init__(self, max_traces: int, *, now_s: Callable[[], float] = time.time) -> None:
        self._max_traces, self._now_s = max_traces, now_s
        self._traces: OrderedDict[str, RequestTrace] = OrderedDict()

    def start(self, request_id: str, trigger: Trigger, *, user_key: str = "") -> RequestTrace:
        """Open a trace; the oldest one gives way."""
        trace = RequestTrace(
            request_id=request_id, at_s=self._now_s(), trigger=trigger, user_key=user_key
        )
        self._traces[request_id] = trace
        while len(self._traces) > self._max_traces:
            self._traces.popitem(last=False)
        return trace

    def get(self, request_id: str) -> RequestTrace | None:
        """The trace of that id, or of the only one that begins so, if it is still kept."""
        found = self._traces.get(request_id)
        if found is not None or len(request_id) < MIN_ID_CHARS:
            return found
        alike = [trace for key, trace in self._traces.items() if key.startswith(request_id)]
        return alike[0] if len(alike) == 1 else None

    def user_key_of(self, request_id: str) -> str | None:
        """Whose request that is (`user_key_of`); None if it is not known (any more)."""
        trace = self._traces.get(request_id)
        return None if trace is None else trace.user_key

    def document_key_of(self, request_id: str) -> str | None:
        """Which document that request was about; None if it is not known (any more)."""
        trace = self._traces.get(request_id)
        return None if trace is None else trace.document_key

    def newest(self, count: int) -> list[RequestTrace]:
        """The last traces, newest first."""
        return [
            trace for trace, _ in zip(reversed(self._traces.values()), range(count), strict=False)
        ]

    def has_event(self, request_id: str, kind: str) -> bool:
        """Is that known to have become of it?"""
        trace = self._traces.get(request_id)
        return trace is not None and any(event.kind == kind for event in trace.events)

    def add_event(self, request_id: str, kind: str, num_chars: int = 0) -> bool:
        """Note what became of a completion; False if the request is not known (any more)."""
        trace = self._traces.get(request_id)
        if trace is None:
            return False
        if len(trace.events) < MAX_EVENTS:
            after_ms = (self._now_s() - trace.at_s) * 1000
            trace.events += (TraceEvent(kind=kind, after_ms=after_ms, num_chars=num_chars),)
        return True
