"""Where every dialect's own event calls end: written down durably, then told to the brain."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from paceline.artifacts.events import Event, EventOrigin, check_events
from paceline.complete.service import Service
from paceline.complete.trace import user_key_of
from paceline.server.caller import Caller
from paceline.server.inferred import InferredOutcomes


class EventStore(Protocol):
    """Anything that keeps events."""

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """Keep those that are new, and return them in their order. When it returns, they survive a crash.

        Two users' events are never the same one, nor are a client's and an inferred one.

        Raises:
            StorageError: the disk is full or the folder cannot be written; nothing of the batch is kept.
            OverloadedError: more waits to be written than should.
        """
        ...


class Events:
    """Takes events from any dialect, and outcomes that `service` infers."""

    def __init__(self, store: EventStore, service: Service) -> None:
        self._store, self._service = store, service
        self.inferred = InferredOutcomes(store)
        service.on_inferred = self.inferred.note

    async def record(self, events: Sequence[Event], caller: Caller) -> int:
        """Keep `events` and tell the brain of those that are new; return how many were.

        Every event is kept under its caller's name. The brain hears only of requests that it knows and that
        are the caller's own; others are not refused, since nobody is to learn whose requests there are.

        Raises:
            FieldError: an event breaks the rules; the message names the field.
            StorageError, OverloadedError: as EventStore.append.
        """
        check_events(events)
        new = await self._store.append(events, user_id=caller.user_id)
        user_key = user_key_of(caller.user_id)
        for event in new:
            is_own = self._service.traces.user_key_of(event.request_id) == user_key
            if event.kind != "retained" and is_own:
                self._service.record(event.request_id, event.kind, num_chars=event.num_chars)
        return len(new)

    async def close(self) -> None:
        """Wait until what was inferred is written. The store is the caller's."""
        await self.inferred.close()


class EventsInMemory:
    """Keeps nothing but which events there were, for a server that was given no folder."""

    def __init__(self, max_ids: int = 10_000) -> None:
        self._ids: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._max_ids = max_ids

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """Count each event once; lost when the process ends."""
        new: list[Event] = []
        for event in events:
            key = (user_id, origin, event.event_id)
            if key not in self._ids:
                new.append(event)
            self._ids[key] = None
        while len(self._ids) > self._max_ids:
            self._ids.popitem(last=False)
        return new
