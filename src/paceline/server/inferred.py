"""Outcomes that the brain read from later requests go to the store too, and never make a keystroke wait.

Best effort: a queue, one task that empties it, and a count of what was lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from paceline.artifacts.events import MAX_BATCH_EVENTS, Event, EventOrigin, check_events
from paceline.complete.outcome import InferredOutcome
from paceline.core.errors import PacelineError

MAX_WAITING = 10_000
"""Outcomes that wait for a disk that hangs: about an hour of 50 people typing."""

log = logging.getLogger("paceline.server")


class Store(Protocol):
    """What is needed of an EventStore."""

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]: ...


class InferredOutcomes:
    """Writes inferred outcomes in the background, on the loop of whoever notes them."""

    def __init__(self, store: Store, *, max_waiting: int = MAX_WAITING) -> None:
        self._store, self._max_waiting = store, max_waiting
        self._waiting: deque[InferredOutcome] = deque()
        self._task: asyncio.Task[None] | None = None
        self.num_dropped = 0
        """Outcomes that were not written: too many waited, or the store failed."""

    def note(self, outcome: InferredOutcome) -> None:
        """Put an outcome in the queue; for `Service.on_inferred`."""
        if len(self._waiting) >= self._max_waiting:
            self._drop(1, "the queue is full")
            return
        self._waiting.append(outcome)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Wait until the queue is empty."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            owner = self._waiting[0].owner
            events: list[Event] = []
            while self._waiting and self._waiting[0].owner == owner:
                events.append(event_of(self._waiting.popleft()))
                if len(events) == MAX_BATCH_EVENTS:
                    break
            try:
                check_events(events)
                await self._store.append(events, user_id=owner, origin="inferred")
            except PacelineError as error:
                self._drop(len(events), str(error))
            except Exception:
                log.exception("Inferred outcomes cannot be written.")
                self.num_dropped += len(events)

    def _drop(self, count: int, reason: str) -> None:
        if not self.num_dropped:
            log.warning("Inferred outcomes are lost (%s); not logged again.", reason)
        self.num_dropped += count


def event_of(outcome: InferredOutcome) -> Event:
    """The event of an outcome; the same outcome of the same request is the same event."""
    named = f"{outcome.kind}\0{outcome.request_id}".encode("utf-8", "surrogatepass")
    return Event(
        event_id=f"inferred-{hashlib.blake2b(named, digest_size=16).hexdigest()}",
        request_id=outcome.request_id,
        kind=outcome.kind,
        num_chars=outcome.num_chars,
        client="paceline",
    )
