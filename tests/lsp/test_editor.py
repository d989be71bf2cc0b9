"""What is asked for a completion, what is told of it, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from lsprotocol import types

from paceline.core.errors import ConfigError, UpstreamError
from paceline.core.types import MAX_DOCUMENT_BYTES
from paceline.lsp.asking import MAX_OPEN_CHARS, MAX_OPEN_DOCUMENTS
from paceline.lsp.documents import Place
from paceline.lsp.editor import Editor
from paceline.lsp.items import ItemId
from paceline.lsp.status import SHOW_AGAIN_MS, StatusNote
from tests.fakes import FakeClock
from tests.lsp.fakes import FakeCompleter, FakeDisplay

URI = "file:///project/src/a.py"


class Scene:
    """An editor with one document in /project, a scripted completer and a clock."""

    def __init__(self, *texts: str, text: str = "ab", is_local: bool = True) -> None:
        self.completer = FakeCompleter(*(texts or ("cd",)), is_local=is_local)
        self.display, self.clock = FakeDisplay(), FakeClock(now_ms=1000)
        self.editor = Editor(
            self.completer, self.display, client="tests 1", now_ms=self.clock.now_ms
        )
        self.editor.set_folders(["/project"])
        self.open(URI, text)

    def open(self, uri: str, text: str, language: str = "python") -> None:
        self.editor.open(types.TextDocumentItem(uri, language, 1, text))

    def type(self, text: str, line: int, column: int, *, uri: str = URI) -> None:
        at = types.Position(line, column)
        change = types.TextDocumentContentChangePartial(range=types.Range(at, at), text=text)
        self.editor.change(uri, 2, [change])

    @property
    def asked(self) -> Any:
        return self.completer.requests[-1]


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_request_says_what_the_editor_has() -> None:
    async def work() -> None:
        scene = Scene(text="x = 1\ny = ")
        scene.open("file:///project/b.py", "b")
        scene.open("untitled:Untitled-1", "note")
        scene.type("2", 1, 4)
        scene.clock.advance(ms=250)
        scene.editor.configure({"model": "big", "maxLatencyMs": 300, "multiLineThreshold": 0.5})
        await scene.editor.complete(URI, Place(1, 99))
        asked = scene.asked
        assert asked.document.text == "x = 1\ny = 2"
        assert (asked.document.path, asked.document.language) == ("/project/src/a.py", "python")
        assert (asked.position.line, asked.position.character) == (1, 5)
        assert asked.workspace_root == "/project"
        assert [each.path for each in asked.open_documents] == ["", "/project/b.py"]
        (edit,) = asked.recent_edits
        assert (edit.line, edit.before, edit.after) == (1, "y = ", "y = 2")
        assert (asked.model, asked.max_latency_ms, asked.multi_line_threshold) == ("big", 300, 0.5)
        assert asked.pressed_at_ms == 1000
        await scene.editor.complete(URI, Place(0, 0))
        assert scene.asked.pressed_at_ms == 1250, "no key was pressed since"
        assert scene.asked.document_id == asked.document_id
        assert scene.asked.session_id == asked.session_id

    run(work)


def test_a_server_elsewhere_gets_no_absolute_path() -> None:
    async def work() -> None:
        scene = Scene(is_local=False)
        scene.open("file:///home/me/secret-project/c.py", "c")
        scene.type("!", 0, 0)
        await scene.editor.complete(URI, Place(0, 0))
        assert scene.asked.document.path == "src/a.py"
        assert scene.asked.workspace_root == ""
        assert [each.path for each in scene.asked.open_documents] == ["c.py"]
        assert [each.path for each in scene.asked.recent_edits] == ["src/a.py"]
        assert "/" not in scene.asked.document_id

    run(work)


def test_alternatives_are_asked_for_where_the_user_asks() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.editor.complete(URI, Place(0, 0), "invoked")
        assert (scene.asked.num_alternatives, scene.asked.is_insisting) == (3, True)
        await scene.editor.complete(URI, Place(0, 0))
        assert (scene.asked.num_alternatives, scene.asked.is_insisting) == (1, False)

    run(work)


@pytest.mark.parametrize(
    ("uri", "language", "given"),
    [
        (URI, "python", {"enabled": False}),
        (URI, "python", {"disabledLanguages": ["python"]}),
        (URI, "python", {"disabledGlobs": ["*.py"]}),
        (URI, "python", {"disabledGlobs": ["src/**"]}),
        ("file:///project/.env", "plaintext", {}),
    ],
)
def test_nothing_is_asked_where_nothing_may_be_sent(
    uri: str, language: str, given: dict[str, Any]
) -> None:
    async def work() -> None:
        scene = Scene()
        scene.editor.configure(given)
        scene.open(uri, "TOKEN=1", language)
        answer = await scene.editor.complete(uri, Place(0, 0))
        assert answer is not None and answer.completion is None
        assert scene.completer.requests == []

    run(work)


def test_what_may_not_be_sent_is_no_context_either() -> None:
    async def work() -> None:
        scene = Scene()
        for uri in ("file:///project/.env", "file:///project/q.sql", "file:///project/b.py"):
            scene.open(uri, "one\n")
            scene.type("more", 0, 0, uri=uri)
        scene.editor.configure({"disabledGlobs": ["*.sql"]})
        await scene.editor.complete(URI, Place(0, 0))
        assert [each.path for each in scene.asked.open_documents] == ["/project/b.py"]
        assert [each.path for each in scene.asked.recent_edits] == ["/project/b.py"]

    run(work)


def test_context_is_bounded_and_the_last_visited_come_first() -> None:
    async def work() -> None:
        scene = Scene()
        scene.open("file:///project/huge.py", "x" * (MAX_OPEN_CHARS + 1))
        for number in range(MAX_OPEN_DOCUMENTS + 3):
            scene.open(f"file:///project/{number}.py", "x")
        scene.editor.focus("file:///project/0.py")
        await scene.editor.complete(URI, Place(0, 0))
        paths = [each.path for each in scene.asked.open_documents]
        assert len(paths) == MAX_OPEN_DOCUMENTS
        assert paths[:2] == ["/project/0.py", f"/project/{MAX_OPEN_DOCUMENTS + 2}.py"]

    run(work)


@pytest.mark.parametrize("text", [None, "", "a\0b"])
def test_a_document_that_is_unknown_empty_or_binary_gets_nothing(text: str | None) -> None:
    async def work() -> None:
        scene = Scene()
        if text is None:
            scene.editor.close(URI)
        else:
            scene.open(URI, text)
        answer = await scene.editor.complete(URI, Place(5, 5))
        assert answer is not None and answer.completion is None
        scene.type("x", 0, 0, uri="file:///nobody.py")
        scene.editor.focus("file:///nobody.py")
        scene.editor.close("file:///nobody.py")

    run(work)


def test_a_huge_document_is_declined_with_one_message() -> None:
    async def work() -> None:
        scene = Scene(text="x" * (MAX_DOCUMENT_BYTES + 1))
        for _ in range(2):
            scene.type("y", 0, 0)
            answer = await scene.editor.complete(URI, Place(0, 0))
            assert answer is not None and answer.completion is None
        assert len(scene.display.shown) == 1
        assert "larger than 10 MB" in scene.display.shown[0]

    run(work)


def test_halves_of_characters_can_be_sent() -> None:
    async def work() -> None:
        scene = Scene(text="a\ud834b")
        scene.type("\udd1e", 0, 0)
        await scene.editor.complete(URI, Place(0, 3))
        assert scene.asked.document.text == "\ufffda\ufffdb"
        assert scene.asked.position.character == 3
        assert scene.asked.recent_edits[0].after == "\ufffda\ufffdb"

    run(work)


def test_a_newer_request_for_the_document_cancels_the_older() -> None:
    async def work() -> None:
        scene = Scene()
        scene.completer.is_held = True
        older = asyncio.ensure_future(scene.editor.complete(URI, Place(0, 0)))
        await settle()
        newer = asyncio.ensure_future(scene.editor.complete(URI, Place(0, 1)))
        await settle()
        assert scene.completer.num_cancelled == 1
        assert await older is None
        scene.completer.release()
        answer = await newer
        assert answer is not None and answer.completion is not None

    run(work)


def test_closing_the_document_or_cancelling_the_request_ends_the_work() -> None:
    async def work() -> None:
        scene = Scene()
        scene.completer.is_held = True
        request = asyncio.ensure_future(scene.editor.complete(URI, Place(0, 0)))
        await settle()
        scene.editor.close(URI)
        assert await request is None
        scene.open(URI, "ab")
        request = asyncio.ensure_future(scene.editor.complete(URI, Place(0, 0)))
        await settle()
        request.cancel()
        await settle()
        assert scene.completer.num_cancelled == 2

    run(work)


def test_a_failure_is_shown_once_and_its_end_is_told() -> None:
    async def work() -> None:
        scene = Scene()
        scene.completer.error = UpstreamError("No server.")
        for _ in range(3):
            answer = await scene.editor.complete(URI, Place(0, 0))
            assert answer is not None and answer.completion is None
        assert scene.display.shown == ["No server."]
        scene.completer.error = ConfigError("No such model.")
        await scene.editor.complete(URI, Place(0, 0))
        assert scene.display.shown == ["No server.", "No such model."]
        scene.completer.error = None
        await scene.editor.complete(URI, Place(0, 0))
        assert scene.display.statuses == [
            StatusNote(False, "No server.", "Error"),
            StatusNote(False, "No such model.", "Error"),
            StatusNote(False, "", "Normal"),
        ]
        scene.completer.error = UpstreamError("No server.")
        await scene.editor.complete(URI, Place(0, 0))
        assert len(scene.display.shown) == 2, "the status tells of it; a message did a moment ago"
        assert scene.display.statuses[-1].kind == "Error"
        scene.completer.error = None
        await scene.editor.complete(URI, Place(0, 0))
        scene.clock.advance(ms=SHOW_AGAIN_MS)
        scene.completer.error = UpstreamError("No server.")
        await scene.editor.complete(URI, Place(0, 0))
        assert len(scene.display.shown) == 3, "it is another outage"

    run(work)


def test_whoever_switches_off_hears_of_no_failure_and_nothing_runs_on() -> None:
    async def work() -> None:
        scene = Scene()
        scene.completer.is_held = True
        scene.completer.error = UpstreamError("No server.")
        request = asyncio.ensure_future(scene.editor.complete(URI, Place(0, 0)))
        await settle()
        scene.editor.configure({"enabled": False})
        assert await request is None
        assert scene.completer.num_cancelled == 1
        scene.editor.status.fail("No server.", topic="UpstreamError")  # had it been quicker
        assert scene.display.statuses == [StatusNote(False, "", "Inactive")]
        assert scene.display.shown == []

    run(work)


def test_busy_and_idle_are_told_to_those_who_want_them() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.editor.complete(URI, Place(0, 0))
        assert scene.display.statuses == []
        scene.editor.configure({"statusNotifications": True})
        await scene.editor.complete(URI, Place(0, 0))
        assert [note.busy for note in scene.display.statuses] == [True, False]
        scene.editor.configure({"enabled": False})
        assert scene.display.statuses[-1].kind == "Inactive"

    run(work)


def test_wrong_settings_are_one_message_and_told_once() -> None:
    scene = Scene()
    scene.editor.configure({"a": 1, "b": 2, "model": 3})
    scene.editor.configure({"a": 1, "b": 3, "model": 4})
    (message,) = scene.display.shown
    assert all(f"'{key}'" in message for key in "ab") and "model" in message


def test_what_became_of_an_item_is_passed_on_once_for_each_kind() -> None:
    async def work() -> None:
        scene = Scene("𝄞𝄞ab", "b")
        answer = await scene.editor.complete(URI, Place(0, 0), "invoked")
        assert answer is not None and answer.completion is not None
        request_id = answer.completion.request_id
        second, first = ItemId(request_id, 1), ItemId(request_id)
        assert scene.editor.record(second, "shown")
        assert scene.editor.record(first, "partially_accepted", num_utf16=3)
        assert scene.editor.record(first, "partially_accepted", num_utf16=1)
        assert scene.editor.record(first, "partially_accepted", num_utf16=6)
        assert scene.editor.record(first, "accepted")
        told = [
            (each.kind, each.num_chars, each.alternative, each.client)
            for each in scene.completer.events
        ]
        assert told == [
            ("shown", 0, 1, "tests 1"),
            ("partially_accepted", 1, 0, "tests 1"),
            ("accepted", 0, 0, "tests 1"),
            ("accepted", 0, 0, "tests 1"),
        ]
        ids = [each.event_id for each in scene.completer.events]
        assert len(set(ids)) == 3, "accepted twice is one event"

    run(work)


@pytest.mark.parametrize("item", [None, ItemId("cmpl-unknown"), ItemId("", -1)])
def test_items_that_were_not_shown_are_not_counted(item: ItemId | None) -> None:
    scene = Scene()
    assert not scene.editor.record(item, "accepted")
    assert scene.completer.events == []


def test_the_selected_entry_of_the_list_is_the_beginning_of_the_text() -> None:
    async def work() -> None:
        scene = Scene("(x)", text="𝄞 pri)\n")
        scene.completer.num_replaced_chars = 1
        selected = types.SelectedCompletionInfo(
            types.Range(types.Position(0, 3), types.Position(0, 6)), "print"
        )
        answer = await scene.editor.complete(URI, Place(0, 6), selected=selected)
        assert scene.asked.document.text == "𝄞 print)\n"
        assert scene.asked.position.character == 8
        assert answer is not None and answer.completion is not None
        (item,) = answer.completion.items
        assert item.text == "print(x)"
        assert (item.range.start.character, item.range.end.character) == (3, 7)
        assert scene.editor.record(
            ItemId(answer.completion.request_id), "partially_accepted", num_utf16=6
        )
        assert scene.completer.events[-1].num_chars == 1, "`print` was the list's"

    run(work)


@pytest.mark.parametrize(
    ("start", "end", "text"), [(0, 2, "xyz"), (0, 1, "abc"), (0, 2, "ab"), (0, 2, "ab\nc")]
)
def test_an_entry_that_does_not_go_on_with_what_was_typed_is_left_aside(
    start: int, end: int, text: str
) -> None:
    async def work() -> None:
        scene = Scene()
        selected = types.SelectedCompletionInfo(
            types.Range(types.Position(0, start), types.Position(0, end)), text
        )
        await scene.editor.complete(URI, Place(0, 2), selected=selected)
        assert scene.asked.document.text == "ab"

    run(work)
