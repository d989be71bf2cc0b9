"""`WebSocket /v1/session`: what an editor's connection does when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from paceline.artifacts.events import Event, EventOrigin
from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.app import create_app
from paceline.server.auth.tokens import Quotas
from paceline.server.config import ServerConfig, TransportLimits
from paceline.server.dialects import websocket_conversation, websocket_documents
from paceline.server.dialects.websocket_answers import MAX_RUNNING
from paceline.server.dialects.websocket_conversation import MAX_BAD_MESSAGES, MAX_REPORTS
from tests.fakes import FakeGenerator
from tests.server.auth.people import authority_of
from tests.server.talk import Line, line_to

OPEN: dict[str, Any] = {"document_id": "d", "text": "total = ", "version": 1, "path": "a.py"}
COMPLETE: dict[str, Any] = {
    "id": 1,
    "document_id": "d",
    "version": 1,
    "position": {"line": 0, "character": 8},
}
WRITTEN = ("max(1, 2)", "\n")
AT_ONCE = CompleteConfig(is_prefetching=False, is_debounced=False, is_cached=False)


class Gated(FakeGenerator):
    """Every answer writes one token and then waits until `gate` is set; counts what runs."""

    def __init__(self) -> None:
        super().__init__(WRITTEN)
        self.gate = asyncio.Event()
        self.moved = asyncio.Event()
        self.num_open = self.num_tokens = 0

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """As FakeGenerator's."""
        self._count(1)
        try:
            async for chunk in super().stream(parts, params, model_id=model_id):
                self.num_tokens += chunk.num_tokens
                yield chunk
                await self.gate.wait()
        finally:
            self._count(-1)

    def _count(self, num_more: int) -> None:
        self.num_open += num_more
        self.moved.set()
        self.moved.clear()

    async def until_open(self, num_open: int) -> None:
        """Wait until so many answers run."""
        while self.num_open != num_open:
            await self.moved.wait()


def app_of(generator: FakeGenerator, **parts: Any) -> FastAPI:
    return create_app(generator, Service(generator, AT_ONCE), **parts)


def run(test: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))  # type: ignore[arg-type]


def insert(text: str, line: int, character: int) -> dict[str, Any]:
    place = {"line": line, "character": character}
    return {"range": {"start": place, "end": place}, "text": text}


def test_an_editor_types_and_gets_completions() -> None:
    async def test() -> None:
        generator = FakeGenerator(WRITTEN)
        async with line_to(app_of(generator)) as line:
            line.send(type="open", **OPEN)
            line.send(type="change", document_id="d", version=2, edits=[insert("x", 0, 8)])
            at_end = {"version": 2, "position": {"line": 0, "character": 9}}
            line.send(type="complete", **COMPLETE | at_end)
            reply = await line.receive()
            assert (reply["type"], reply["id"]) == ("completion", 1)
            assert generator.calls[0].parts.prefix == "total = x"
            sample = (await answer(line, id=2))["error"]
            assert sample["code"] == "resync"

    run(test())


async def answer(line: Line, **complete: Any) -> Any:
    line.send(type="complete", **COMPLETE | complete)
    return await line.receive()


def test_context_is_what_the_connection_has_open_and_changed() -> None:
    async def test() -> None:
        generator = FakeGenerator(WRITTEN)
        async with line_to(app_of(generator)) as line:
            other = OPEN | {"document_id": "o", "path": "o.py", "text": "import os\nrows = []\n"}
            line.send(type="open", **OPEN)
            line.send(type="open", **other)
            edits = [insert("ws", 1, 2), insert("re", 1, 0)]
            line.send(type="change", document_id="o", version=2, edits=edits)
            await answer(line)
            (found,) = generator.calls[-1].parts.snippets
            assert (found.origin, found.path, found.text) == (
                "recent_edit",
                "o.py",
                "rerowsws = []",
            )

    run(test())


def test_the_newest_request_of_a_document_wins() -> None:
    async def test() -> None:
        generator = Gated()
        async with line_to(app_of(generator)) as line:
            line.send(type="open", **OPEN)
            for number in (1, 2, 3):
                line.send(type="complete", **COMPLETE | {"id": number})
            first = await line.receive()
            assert (first["id"], first["error"]["code"]) == (1, "superseded")
            await generator.until_open(2)
            generator.gate.set()
            replies = [await line.receive(), await line.receive()]
            assert {reply["id"] for reply in replies} == {2, 3}
            assert next(reply for reply in replies if reply["id"] == 3)["items"]
            assert generator.num_open == 0

    run(test())


def test_documents_do_not_wait_for_each_other() -> None:
    async def test() -> None:
        generator = Gated()
        async with line_to(app_of(generator)) as line:
            for name in ("a", "b"):
                line.send(type="open", **OPEN | {"document_id": name, "text": f"{name} = "})
                place = {"line": 0, "character": 4}
                line.send(
                    type="complete",
                    **COMPLETE | {"id": name, "document_id": name, "position": place},
                )
            await generator.until_open(2)
            generator.gate.set()
            assert {(await line.receive())["id"] for _ in "ab"} == {"a", "b"}

    run(test())


def test_cancel_stops_the_work_and_is_answered() -> None:
    async def test() -> None:
        generator = Gated()
        async with line_to(app_of(generator)) as line:
            line.send(type="open", **OPEN)
            line.send(type="complete", **COMPLETE)
            line.send(type="cancel", id=1)
            line.send(type="cancel", id="nobody's")
            reply = await line.receive()
            assert (reply["id"], reply["error"]["code"]) == (1, "cancelled")
            assert (generator.num_open, generator.num_tokens <= 1) == (0, True)

    run(test())


def test_leaving_stops_everything_within_a_step() -> None:
    async def test() -> None:
        generator = Gated()
        async with line_to(app_of(generator)) as line:
            for name in "abc":
                line.send(type="open", **OPEN | {"document_id": name})
                line.send(type="complete", **COMPLETE | {"id": name, "document_id": name})
            await generator.until_open(3)
        assert generator.num_open == 0
        assert generator.num_tokens == 3  # one each, before it left

    run(test())


def test_a_reader_who_takes_nothing_is_read_from_no_more() -> None:
    async def test() -> None:
        async with line_to(app_of(FakeGenerator())) as line:
            line.is_reading.clear()
            for number in range(100):
                line.send(type="events", events=[], id=number)
            for _ in range(200):
                await asyncio.sleep(0)
            assert line.num_unread >= 98 - MAX_REPORTS
            line.is_reading.set()
            for number in range(100):
                assert (await line.receive())["id"] == number

    run(test())


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("{", None),
        ("", None),
        ("[]", None),
        ('{"type":"no such"}', "type"),
        ('{"type":"open","document_id":"d","text":3,"version":0}', "text"),
        ('{"type":"close","document_id":"d","more":1}', "more"),
        ('{"type":"complete","id":7,"version":0}', "position"),
        ('{"type":"hello"}', None),
        ("[" * 100_000, None),
    ],
)
def test_a_message_that_is_none_is_answered_and_the_connection_stays(
    raw: str, field: str | None
) -> None:
    async def test() -> None:
        async with line_to(app_of(FakeGenerator())) as line:
            line.send_raw(raw)
            reply = await line.receive()
            assert reply["type"] == "error"
            assert reply["error"].get("param") == field
            assert reply.get("id") == (7 if field == "position" else None)
            line.send(type="events", events=[])
            assert (await line.receive())["type"] == "recorded"

    run(test())


def test_too_many_of_them_close_it() -> None:
    async def test() -> None:
        async with line_to(app_of(FakeGenerator())) as line:
            for _ in range(MAX_BAD_MESSAGES):
                line.send_raw("{")
            for _ in range(MAX_BAD_MESSAGES):
                assert (await line.receive())["type"] == "error"
            assert await line.receive() == 1008

    run(test())


def test_a_message_that_is_too_big_closes_it() -> None:
    async def test() -> None:
        config = ServerConfig(limits=TransportLimits(max_message_bytes=1_000))
        async with line_to(app_of(FakeGenerator(), config=config)) as line:
            line.send(type="open", **OPEN | {"text": "x" * 1_000})
            assert await line.receive() == 1009

    run(test())


def test_who_says_no_hello_is_heard_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_conversation, "HELLO_S", 0.01)

    async def test() -> None:
        line = Line()
        line.start(app_of(FakeGenerator()))
        line.send(type="open", **OPEN)
        assert (await line.receive())["error"]["message"].startswith("Say hello first")
        assert await line.receive() == 1008
        await line.leave()

    run(test())


async def resyncs(line: Line, *messages: dict[str, Any]) -> None:
    """Each of `messages` makes the document unknown, once; opening it again heals it."""
    for message in messages:
        line.send(type="open", **OPEN)
        line.send(**message)
        assert await line.receive() == {"type": "resync", "document_id": "d"}
        line.send(type="change", document_id="d", version=3, edits=[])  # told once
        reply = await answer(line)
        assert reply["error"]["code"] == "resync"
        line.send(type="open", **OPEN)
        assert (await answer(line))["type"] == "completion"


def test_one_message_cannot_keep_the_server_busy() -> None:
    """Tens of thousands of edits, each of which looks through what the ones before have made."""

    async def test() -> None:
        async with line_to(app_of(FakeGenerator(WRITTEN))) as line:
            edits = [insert("xxxxxxxxx\n", 0, 0)] * 50_000
            change = {"type": "change", "document_id": "d", "version": 2, "edits": edits}
            await resyncs(line, change)

    run(test())


def test_lost_documents_are_asked_for_again() -> None:
    async def test() -> None:
        change = {"type": "change", "document_id": "d", "version": 2}
        backwards = {
            "range": {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 1}},
            "text": "",
        }
        async with line_to(app_of(FakeGenerator(WRITTEN))) as line:
            await resyncs(
                line,
                change | {"version": 3, "edits": []},
                change | {"version": 1, "edits": []},
                change | {"edits": [insert("x", 1, 0)]},
                change | {"edits": [insert("x", 0, 0), backwards]},
            )
            line.send(**change | {"document_id": "never opened", "edits": []})
            assert (await line.receive())["type"] == "resync"
            line.send(type="complete", **COMPLETE | {"document_id": "nor this"})
            assert [(await line.receive())["type"] for _ in "12"] == ["error", "resync"]

    run(test())


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("MAX_DOCUMENTS", 1),
        ("MAX_DOCUMENT_CHARS", 20),
        ("MAX_SESSION_CHARS", 20),
        ("MAX_SHARED_CHARS", 20),
    ],
)
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(websocket_documents, limit, value)
    budget = websocket_documents.Budget
    monkeypatch.setattr(budget.__init__, "__defaults__", (websocket_documents.MAX_SHARED_CHARS,))

    async def test() -> None:
        async with line_to(app_of(FakeGenerator(WRITTEN))) as line:
            line.send(type="open", **OPEN)
            line.send(type="open", **OPEN | {"document_id": "e", "text": "x" * 30})
            reply = await line.receive()
            assert (reply["error"]["code"], reply["document_id"]) == ("document_limit", "e")
            line.send(type="change", document_id="e", version=2, edits=[insert("x", 0, 0)])
            assert (await answer(line))["type"] == "completion"  # nothing said of e, d is as it was
            if limit != "MAX_DOCUMENTS":
                edit = insert("y" * 30, 0, 0)
                line.send(type="change", document_id="d", version=2, edits=[edit])
                reply = await line.receive()
                assert (reply["error"]["code"], reply["document_id"]) == ("document_limit", "d")
            line.send(type="close", document_id="d")
            line.send(type="open", **OPEN | {"document_id": "f"})
            assert (await answer(line, id=2, document_id="f"))["type"] == "completion"

    run(test())


def test_what_is_closed_gives_its_room_back() -> None:
    budget = websocket_documents.Budget()
    documents = websocket_documents.OpenDocuments(budget)
    for name in ("a", "b", "a"):
        documents.open(
            websocket_documents.OpenDocument(name, path="", language="", version=1, text="xy")
        )
    assert budget.num_chars == 4
    documents.close("a")
    assert budget.num_chars == 2
    documents.close_all()
    assert budget.num_chars == 0


def test_too_many_requests_at_once_and_names_in_use() -> None:
    async def test() -> None:
        generator = Gated()
        async with line_to(app_of(generator)) as line:
            for number in range(MAX_RUNNING + 1):
                line.send(type="open", **OPEN | {"document_id": f"d{number}"})
                line.send(type="complete", **COMPLETE | {"id": number, "document_id": f"d{number}"})
            reply = await line.receive()
            assert (reply["id"], reply["error"]["code"]) == (MAX_RUNNING, "overloaded")
            assert reply["error"]["retry_after_s"] == 1
            reply = await answer(line, id=0, document_id="d1")
            assert (reply["id"], reply["error"]["param"]) == (0, "id")

    run(test())


def test_tokens_are_for_one_user_with_scopes_and_quotas(tmp_path: Path) -> None:
    async def test() -> None:
        generator = FakeGenerator(WRITTEN)
        with authority_of(tmp_path) as authority:
            quotas = Quotas(requests_per_minute=1)
            token, _ = authority.store.create("ada", scopes=frozenset(("complete",)), quotas=quotas)
            app = app_of(generator, authority=authority)
            root = str(tmp_path)
            async with line_to(app, token, session_id="s", workspace_root=root) as line:
                line.send(type="open", **OPEN)
                assert (await answer(line))["type"] == "completion"
                (call,) = generator.calls
                assert call.params.session is not None
                assert call.params.session.session_id == "ada\0s"
                assert call.parts.project == ""  # a folder of this machine is not for guests
                assert (await answer(line, id=2))["error"]["code"] == "quota"
                line.send(type="events", events=[], id=3)
                assert (await line.receive())["error"]["code"] == "forbidden"
            line = Line()
            line.start(app, f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}")
            assert await line.receive() == 1008

    run(test())


def test_events_are_kept() -> None:
    async def test() -> None:
        event = {"event_id": "e", "request_id": "r", "kind": "shown"}
        async with line_to(app_of(FakeGenerator())) as line:
            for num_new in (1, 0):
                line.send(type="events", events=[event], id="x")
                assert await line.receive() == {"type": "recorded", "num_new": num_new, "id": "x"}
            line.send(type="events", events=[event | {"kind": "seen"}], id=4)
            reply = await line.receive()
            assert (reply["id"], reply["error"]["param"]) == (4, "events.0.kind")

    run(test())


class SlowStore:
    """A disk that writes when `gate` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.kept: list[Event] = []

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """As EventStore's."""
        await self.gate.wait()
        self.kept += events
        return events


def test_no_keystroke_waits_for_the_disk_and_hanging_up_loses_nothing() -> None:
    async def test() -> None:
        store = SlowStore()
        event = {"event_id": "e", "request_id": "r", "kind": "shown"}
        async with line_to(app_of(FakeGenerator(WRITTEN), store=store)) as line:
            line.send(type="events", events=[event], id="slow")
            line.send(type="open", **OPEN)
            assert (await answer(line))["type"] == "completion"
            store.gate.set()
            assert await line.receive() == {"type": "recorded", "num_new": 1, "id": "slow"}
            store.gate.clear()
            line.send(type="events", events=[event | {"event_id": "f"}])
            asyncio.get_running_loop().call_later(0.01, store.gate.set)
        assert [each.event_id for each in store.kept] == ["e", "f"]

    run(test())


def test_a_bug_costs_one_answer() -> None:
    class Broken(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            raise ZeroDivisionError
            yield

    async def test() -> None:
        async with line_to(app_of(Broken())) as line:
            line.send(type="open", **OPEN)
            for number in (1, 2):
                reply = await answer(line, id=number)
                assert (reply["id"], reply["error"]["code"]) == (number, "internal")
                assert "ZeroDivision" not in json.dumps(reply)

    run(test())
