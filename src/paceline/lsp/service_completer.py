"""Completions from a brain in this process, around whatever generator it was given."""

from __future__ import annotations

from collections import OrderedDict

from paceline.artifacts.events import Event
from paceline.complete.service import Service
from paceline.complete.wire import WireCompletion, WireRequest
from paceline.complete.wire_convert import to_request, to_wire

MAX_TOLD_EVENTS = 1_000
"""Ids that are remembered; an editor tells of what it shows now."""


class ServiceCompleter:
    """A Completer. The service is the caller's; what became of completions is told to it and kept nowhere."""

    is_local = True

    def __init__(self, service: Service) -> None:
        self._service = service
        self._told: OrderedDict[str, None] = OrderedDict()

    async def complete(self, request: WireRequest) -> WireCompletion:
        """As Completer.complete."""
        asked = to_request(request, is_local=True)
        completion = await self._service.complete(asked)
        return to_wire(completion, asked.cursor, request.encoding)

    def record(self, event: Event) -> None:
        """As Completer.record. One id is one event, however often it is told."""
        if event.kind == "retained" or event.event_id in self._told:
            return
        self._told[event.event_id] = None
        if len(self._told) > MAX_TOLD_EVENTS:
            self._told.popitem(last=False)
        self._service.record(event.request_id, event.kind, num_chars=event.num_chars)

    async def flush(self) -> None:
        """Nothing is on its way."""
