"""Events on their way to a server: sent in batches, sent again while it is down, never more than fit.

A batch that is sent again has the same event ids, so the server counts each event once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

from paceline.artifacts.events import MAX_BATCH_EVENTS, Event
from paceline.core.errors import (
    OverloadedError,
    PacelineError,
    StorageError,
    UnauthorizedError,
    UpstreamError,
)

MAX_QUEUED = 5_000
"""A day of steady accepting; then the oldest are lost."""
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
FLUSH_S = 2.0
"""An editor that closes does not wait longer for its servers."""
PASSING = (UpstreamError, OverloadedError, StorageError, UnauthorizedError)
"""Failures after which the same batch may be taken. After others it never will."""


class EventQueue:
    """
    Args:
        send: hands events to the server; raises PacelineError.
        report: is told why events were lost.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Event]], Awaitable[None]],
        *,
        report: Callable[[str], None] = lambda message: None,
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        self._send, self._report = send, report
        self._first_delay_s = first_delay_s
        self._waiting: OrderedDict[str, Event] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def __len__(self) -> int:
        """Events that no server has taken yet."""
        return len(self._waiting)

    def put(self, event: Event) -> None:
        """Send `event` soon. One whose id is waiting already is the same event."""
        self._waiting.setdefault(event.event_id, event)
        if len(self._waiting) > MAX_QUEUED:
            self._waiting.popitem(last=False)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Try at once, and wait until all is sent, but no longer than that."""
        self._hurry.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=timeout_s)
        self._hurry.clear()

    async def close(self, timeout_s: float = FLUSH_S) -> None:
        """Flush, and give up on the rest."""
        await self.flush(timeout_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        delay_s = self._first_delay_s
        while self._waiting:
            batch = list(islice(self._waiting.values(), MAX_BATCH_EVENTS))
            try:
                await self._send(batch)
            except PASSING:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), delay_s)
                    self._hurry.clear()
                delay_s = min(delay_s * 2, MAX_DELAY_S)
                continue
            except PacelineError as error:
                self._report(f"{len(batch)} events are lost: {error}")
            delay_s = self._first_delay_s
            for event in batch:
                self._waiting.pop(event.event_id, None)
