"""Where every dialect's own event calls end: written down durably, then told to the brain."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from paceline.artifacts.events import Event, EventOrigin
from paceline.complete.service import Service
from paceline.server.caller import Caller


class EventStore(Protocol):
    """Anything that keeps events."""

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> int:
        """Keep those that are new; return how many were. When it returns, they survive a crash.

        Raises:
                StorageError: the disk is full or the folder cannot be written; nothing of the batch is acknowledged.
        """
        ...


class Events:
    """Takes events from any dialect."""

    def __init__(self, store: EventStore, service: Service) -> None:
        self._store, self._service = store, service

    async def record(self, events: Sequence[Event], caller: Caller) -> int:
        """Keep `events` and tell the brain; return how many were new. Raises as EventStore.append."""
        num_new = await self._store.append(events, user_id=caller.user_id)
        for event in events:
            if event.kind != "retained":
                self._service.record(event.request_id, event.kind, num_chars=event.num_chars)
        return num_new


class EventsInMemory:
    """Keeps nothing but which events there were, for a server that was given no folder."""

    def __init__(self, max_ids: int = 10_000) -> None:
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._max_ids = max_ids

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> int:
        """Count each event once; lost when the process ends."""
        num_new = 0
        for event in events:
            num_new += (user_id, event.event_id) not in self._ids
            self._ids[user_id, event.event_id] = None
        while len(self._ids) > self._max_ids:
            self._ids.popitem(last=False)
        return num_new
