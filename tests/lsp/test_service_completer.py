"""Completions from a brain in the same process."""

from __future__ import annotations

import asyncio

from paceline.artifacts.events import Event
from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.complete.wire import WireDocument, WirePosition, WireRequest
from paceline.lsp.service_completer import ServiceCompleter
from tests.fakes import FakeGenerator

REQUEST = WireRequest(
    document=WireDocument(text="def one():\n    ", path="/p/a.py", language="python"),
    position=WirePosition(line=1, character=4),
    trigger="invoked",
    request_id="cmpl-1",
    session_id="s",
)


def test_the_brain_answers_and_hears_what_became_of_it() -> None:
    async def run() -> None:
        service = Service(FakeGenerator(), CompleteConfig(is_prefetching=False))
        completer = ServiceCompleter(service)
        completion = await completer.complete(REQUEST)
        assert [item.text for item in completion.items] == ["return 1"]
        assert completion.items[0].range.start == REQUEST.position
        part = Event(event_id="e", request_id="cmpl-1", kind="partially_accepted", num_chars=3)
        completer.record(part)
        completer.record(part)
        completer.record(Event(event_id="f", request_id="cmpl-1", kind="retained"))
        trace = service.traces.get("cmpl-1")
        assert trace is not None
        assert [event.kind for event in trace.events] == ["partially_accepted"]
        await completer.flush()

    asyncio.run(run())
