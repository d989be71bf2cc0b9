"""Stand-ins for what an editor's connection needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from paceline.artifacts.events import Event
from paceline.complete.wire import WireCompletion, WireItem, WirePosition, WireRange, WireRequest
from paceline.core.errors import PacelineError
from paceline.lsp.status import StatusNote


def completion_of(
    texts: Sequence[str],
    *,
    request_id: str = "cmpl-1",
    position: WirePosition | None = None,
    num_replaced_chars: int = 0,
) -> WireCompletion:
    """A reply with these texts at `position`; what is replaced is ASCII."""
    start = position or WirePosition(line=0, character=0)
    end = WirePosition(line=start.line, character=start.character + num_replaced_chars)
    return WireCompletion(
        request_id=request_id,
        items=[
            WireItem(
                text=text,
                range=WireRange(start=start, end=end),
                num_replaced_chars=num_replaced_chars,
            )
            for text in texts
        ],
        drop_reason=None if texts else "blank",
        mode="single_line",
        source="network",
        model="fake",
        probability=0.5,
        finish_reason="stop",
        num_tokens=1,
        prompt_tokens=1,
        cached_tokens=0,
        latency_ms=1.0,
        ttft_ms=1.0,
        reasons=["tests"],
        flags=[],
        attributions=[],
    )


class FakeCompleter:
    """A Completer that answers every request with the same texts, or fails."""

    def __init__(self, *texts: str, is_local: bool = True) -> None:
        self.is_local = is_local
        self.texts = texts
        self.error: PacelineError | None = None
        self.is_held = False
        """While true, requests wait until they are cancelled or released."""
        self.num_replaced_chars = 0
        self.requests: list[WireRequest] = []
        self.events: list[Event] = []
        self.num_cancelled = self.num_flushes = 0
        self._released = asyncio.Event()

    async def complete(self, request: WireRequest) -> WireCompletion:
        """As scripted."""
        self.requests.append(request)
        if self.is_held:
            try:
                await self._released.wait()
            except asyncio.CancelledError:
                self.num_cancelled += 1
                raise
        if self.error is not None:
            raise self.error
        return completion_of(
            self.texts,
            request_id=request.request_id,
            position=request.position,
            num_replaced_chars=self.num_replaced_chars,
        )

    def release(self) -> None:
        """Let requests that wait go on."""
        self.is_held = False
        self._released.set()

    def record(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    async def flush(self) -> None:
        """Count it."""
        self.num_flushes += 1


class FakeDisplay:
    """Keeps what the user would see."""

    def __init__(self) -> None:
        self.statuses: list[StatusNote] = []
        self.shown: list[str] = []
        self.logged: list[str] = []

    def status(self, note: StatusNote) -> None:
        """Keep it."""
        self.statuses.append(note)

    def show(self, message: str) -> None:
        """Keep it."""
        self.shown.append(message)

    def log(self, message: str) -> None:
        """Keep it."""
        self.logged.append(message)
