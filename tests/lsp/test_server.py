"""Messages in, messages out: what LSP says, and what JSON-RPC says of the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import UpstreamError
from paceline.lsp.items import ACCEPT_COMMAND, COPILOT_ACCEPT_COMMAND
from paceline.lsp.server import PacelineServer
from tests.lsp.fakes import FakeCompleter

URI = "file:///project/a.py"
INLINE = {"textDocument": {"inlineCompletion": {}}}
HERE = {"line": 0, "character": 2}
INVALID_PARAMS, INVALID_REQUEST, NO_METHOD, PARSE_ERROR = -32602, -32600, -32601, -32700
NOT_INITIALIZED, CANCELLED = -32002, -32800


class Connection:
    """A client, as far as messages go."""

    def __init__(self, *texts: str) -> None:
        self.completer = FakeCompleter(*(texts or ("cd",)))
        self.server = PacelineServer(self.completer)
        self.server.rpc.set_writer(self)
        self.sent: list[dict[str, Any]] = []
        self._num_requests = 0

    def write(self, data: bytes) -> None:
        self.sent.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def close(self) -> None:
        pass

    def post(self, method: str, params: object = None, **fields: object) -> None:
        """Send a message; without an id it is a notification."""
        message = {"jsonrpc": "2.0", "method": method, "params": params, **fields}
        self.server.rpc.receive(json.loads(json.dumps(message)))

    async def ask(self, method: str, params: object = None) -> dict[str, Any]:
        """Send a request; return its answer."""
        self._num_requests += 1
        self.post(method, params, id=self._num_requests)
        await settle()
        (answer,) = [each for each in self.sent if each.get("id") == self._num_requests]
        return answer

    async def begin(self, **fields: object) -> dict[str, Any]:
        """Initialize, and open a document."""
        given = {"capabilities": INLINE, "processId": None, "rootUri": "file:///project"}
        answer = await self.ask("initialize", given | fields)
        self.post("initialized", {})
        await settle()
        self.open(URI, "ab")
        return answer["result"]["capabilities"]

    def open(self, uri: str, text: str) -> None:
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.post("textDocument/didOpen", {"textDocument": document})

    async def complete(self, **fields: object) -> dict[str, Any]:
        return await self.ask("textDocument/inlineCompletion", inline_params() | fields)

    def told(self, method: str) -> list[Any]:
        """Parameters of the notifications of that name."""
        return [each["params"] for each in self.sent if each.get("method") == method]


def inline_params(uri: str = URI) -> dict[str, Any]:
    return {
        "textDocument": {"uri": uri},
        "position": HERE,
        "context": {"triggerKind": 2},
    }


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_inline_completion_by_the_letter_of_lsp_3_18() -> None:
    async def work() -> None:
        client = Connection()
        capabilities = await client.begin()
        assert capabilities["inlineCompletionProvider"] == {}
        assert "completionProvider" not in capabilities
        assert capabilities["textDocumentSync"]["change"] == 2
        assert capabilities["executeCommandProvider"]["commands"] == [ACCEPT_COMMAND]
        answer = await client.complete()
        request_id = client.completer.requests[0].request_id
        (item,) = answer["result"]["items"]
        assert item == {
            "insertText": "cd",
            "filterText": "cd",
            "range": {"start": HERE, "end": HERE},
            "command": {
                "title": "Accept completion",
                "command": ACCEPT_COMMAND,
                "arguments": [request_id, 0],
            },
        }

    run(work)


def test_clients_without_it_get_the_usual_list() -> None:
    async def work() -> None:
        client = Connection()
        capabilities = await client.begin(capabilities={})
        assert "inlineCompletionProvider" not in capabilities
        assert "." in capabilities["completionProvider"]["triggerCharacters"]
        asked = {"textDocument": {"uri": URI}, "position": HERE}
        answer = await client.ask("textDocument/completion", asked)
        (item,) = answer["result"]["items"]
        assert answer["result"]["isIncomplete"] is True
        assert item["textEdit"]["newText"] == "abcd"
        unknown = {"textDocument": {"uri": "file:///x"}, "position": HERE}
        answer = await client.ask("textDocument/completion", unknown)
        assert answer["result"]["items"] == []

    run(work)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-32"], "utf-32"),
        (["utf-7"], "utf-16"),
    ],
)
def test_the_encoding_of_positions_is_agreed_on(offered: list[str] | None, chosen: str) -> None:
    async def work() -> None:
        client = Connection()
        general = {"positionEncodings": offered} if offered else {}
        capabilities = await client.begin(capabilities=INLINE | {"general": general})
        assert capabilities["positionEncoding"] == chosen
        client.open(URI, "𝄞𝄞x")
        await client.complete(position={"line": 0, "character": 8})
        (asked,) = client.completer.requests
        assert asked.encoding == chosen
        width = {"utf-8": 8, "utf-16": 5, "utf-32": 3}[chosen]
        assert asked.position.character == width

    run(work)


def test_edits_between_requests_are_seen_in_their_order() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        edit = {"range": {"start": HERE, "end": HERE}, "text": "c"}
        changed = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [edit]}
        client.post("textDocument/didChange", changed)
        answer = await client.complete(position={"line": 0, "character": 3})
        assert client.completer.requests[0].document.text == "abc"
        assert answer["result"]["items"][0]["range"]["start"]["character"] == 3

    run(work)


def test_a_cancelled_request_is_answered_so_and_its_work_ends() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.completer.is_held = True
        client.post("textDocument/inlineCompletion", inline_params(), id="it")
        await settle()
        client.post("$/cancelRequest", {"id": "it"})
        await settle()
        assert client.completer.num_cancelled == 1
        (answer,) = [each for each in client.sent if each.get("id") == "it"]
        assert answer["error"]["code"] == CANCELLED
        client.post("$/cancelRequest", {"id": "it"})
        client.post("$/cancelRequest", {"id": 77})

    run(work)


def test_an_older_request_for_the_document_is_answered_with_null() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.completer.is_held = True
        client.post("textDocument/inlineCompletion", inline_params(), id="old")
        await settle()
        client.completer.is_held = False
        answer = await client.complete()
        assert answer["result"]["items"]
        (old,) = [each for each in client.sent if each.get("id") == "old"]
        assert old["result"] is None and "error" not in old
        assert client.completer.num_cancelled == 1

    run(work)


@pytest.mark.parametrize("command", [ACCEPT_COMMAND, COPILOT_ACCEPT_COMMAND])
def test_accept_command_and_copilots_notifications(command: str) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        (item,) = (await client.complete())["result"]["items"]
        client.post("textDocument/didShowCompletion", {"item": item})
        partial = {"item": item, "acceptedLength": 1}
        client.post("textDocument/didPartiallyAcceptCompletion", partial)
        arguments = item["command"]["arguments"]
        accept = {"command": command, "arguments": arguments}
        assert (await client.ask("workspace/executeCommand", accept))["result"] is None
        kinds = [(each.kind, each.num_chars) for each in client.completer.events]
        assert kinds == [("shown", 0), ("partially_accepted", 1), ("accepted", 0)]

    run(work)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("textDocument/didShowCompletion", None),
        ("textDocument/didShowCompletion", {"item": {"command": {"arguments": ["x"]}}}),
        ("textDocument/didPartiallyAcceptCompletion", {"item": {}, "acceptedLength": 1}),
        ("textDocument/didPartiallyAcceptCompletion", [1]),
        ("textDocument/didFocus", {"textDocument": 5}),
        ("textDocument/didFocus", {}),
        ("workspace/unknown", {"jsonrpc": 7}),
        ("textDocument/didChange", {"textDocument": {"uri": "file:///x", "version": 1}}),
        ("textDocument/didOpen", None),
    ],
)
def test_notifications_that_make_no_sense_change_nothing(method: str, params: object) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.post(method, params)
        assert client.completer.events == []
        assert (await client.complete())["result"]["items"]
        assert not [each for each in client.sent if "error" in each]

    run(work)


def test_focus_decides_what_was_visited_last() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        for name in "bc":
            client.open(f"file:///project/{name}.py", name)
        client.post("textDocument/didFocus", {"textDocument": {"uri": "file:///project/b.py"}})
        await client.complete()
        assert [each.text for each in client.completer.requests[0].open_documents] == ["b", "c"]

    run(work)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("textDocument/inlineCompletion", None, INVALID_PARAMS),
        ("textDocument/inlineCompletion", {}, INVALID_PARAMS),
        ("textDocument/inlineCompletion", [1, 2], INVALID_PARAMS),
        (
            "textDocument/inlineCompletion",
            inline_params() | {"position": {"line": -1, "character": 0}},
            INVALID_PARAMS,
        ),
        (
            "textDocument/inlineCompletion",
            inline_params() | {"position": {"line": "x", "character": 0}},
            INVALID_PARAMS,
        ),
        ("workspace/executeCommand", {"command": "rm -rf"}, INVALID_PARAMS),
        ("textDocument/hover", {"textDocument": {"uri": URI}, "position": HERE}, NO_METHOD),
        ("no/such", {"x": 1}, NO_METHOD),
        ("no/such", None, NO_METHOD),
        ("initialize", {"capabilities": {}, "processId": 1}, INVALID_REQUEST),
    ],
)
def test_bad_requests_have_their_codes(method: str, params: object, code: int) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        answer = await client.ask(method, params)
        assert answer["error"]["code"] == code
        assert "Traceback" not in json.dumps(answer)
        assert (await client.complete())["result"]["items"], "the connection goes on"

    run(work)


@pytest.mark.parametrize(
    "message",
    [
        1,
        [],
        "x",
        None,
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "x"},
        {"jsonrpc": "2.0", "id": [1], "method": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
    ],
)
def test_what_is_no_message_is_an_invalid_request(message: object) -> None:
    client = Connection()
    client.server.rpc.receive(message)
    (answer,) = client.sent
    assert answer["error"]["code"] == INVALID_REQUEST


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 99, "result": 1},
        {"jsonrpc": "2.0", "id": 99, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": None, "error": 5},
    ],
)
def test_answers_to_what_was_not_asked_are_left_aside(message: object) -> None:
    client = Connection()
    client.server.rpc.receive(message)
    assert not [each for each in client.sent if "id" in each]


def test_before_initialize_and_after_shutdown_requests_are_refused() -> None:
    async def work() -> None:
        client = Connection()
        answer = await client.complete()
        assert answer["error"]["code"] == NOT_INITIALIZED
        client.open(URI, "x")
        await client.begin()
        assert (await client.ask("shutdown"))["result"] is None
        assert client.completer.num_flushes == 1
        assert (await client.complete())["error"]["code"] == INVALID_REQUEST
        assert client.server.rpc.exit_code is None
        client.post("exit")
        assert client.server.rpc.exit_code == 0

    run(work)


def test_exit_without_shutdown_is_a_failure() -> None:
    client = Connection()
    client.post("exit")
    assert client.server.rpc.exit_code == 1


def test_a_failure_is_a_message_and_a_status_but_no_error() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.completer.error = UpstreamError("No server.")
        for _ in range(2):
            assert (await client.complete())["result"] == {"items": []}
        (shown,) = client.told("window/showMessage")
        assert shown["message"] == "Paceline: No server."
        (status,) = client.told("didChangeStatus")
        assert status == {"busy": False, "message": "No server.", "kind": "Error"}

    run(work)


def test_settings_come_with_initialize_by_notification_or_are_asked_for() -> None:
    async def work() -> None:
        client = Connection()
        asks = INLINE | {"workspace": {"configuration": True}}
        await client.begin(capabilities=asks, initializationOptions={"model": "one"})
        await client.complete()
        (pull,) = [each for each in client.sent if each.get("method") == "workspace/configuration"]
        assert pull["params"]["items"] == [{"section": "paceline"}]
        reply = {"jsonrpc": "2.0", "id": pull["id"], "result": [{"model": "two"}]}
        client.server.rpc.receive(reply)
        await settle()
        await client.complete()
        client.post("workspace/didChangeConfiguration", {"settings": {"paceline": {"modle": 1}}})
        client.post("workspace/didChangeConfiguration", {"settings": {"model": "three"}})
        await settle()
        await client.complete()
        assert [each.model for each in client.completer.requests] == ["one", "two", "three"]
        (shown,) = client.told("window/showMessage")
        assert "modle" in shown["message"]

    run(work)


def test_cells_above_in_a_notebook() -> None:
    async def work() -> None:
        client = Connection()
        sync = {"notebookDocument": {"synchronization": {}}}
        capabilities = await client.begin(capabilities=INLINE | sync)
        assert "notebookDocumentSync" in capabilities
        cells = [{"kind": kind, "document": f"cell:{n}"} for n, kind in enumerate((2, 1, 2))]
        texts = [
            {"uri": f"cell:{n}", "languageId": "python", "version": 1, "text": f"c{n}"}
            for n in range(3)
        ]
        notebook = {
            "uri": "file:///project/n.ipynb",
            "notebookType": "jupyter-notebook",
            "version": 1,
            "cells": cells,
        }
        opened = {"notebookDocument": notebook, "cellTextDocuments": texts}
        client.post("notebookDocument/didOpen", opened)
        await client.complete(textDocument={"uri": "cell:2"})
        asked = client.completer.requests[-1]
        assert asked.notebook_cells == ["c0"]
        assert asked.document.path == "/project/n.ipynb"
        assert [each.text for each in asked.open_documents] == ["ab"]
        new = {"uri": "cell:9", "languageId": "python", "version": 1, "text": "c9"}
        change = {
            "cells": {
                "structure": {
                    "array": {
                        "start": 0,
                        "deleteCount": 2,
                        "cells": [{"kind": 2, "document": "cell:9"}],
                    },
                    "didOpen": [new],
                    "didClose": [{"uri": "cell:0"}, {"uri": "cell:1"}],
                },
                "textContent": [
                    {"document": {"uri": "cell:9", "version": 2}, "changes": [{"text": "new"}]}
                ],
            }
        }
        version = {"uri": "file:///project/n.ipynb", "version": 2}
        client.post("notebookDocument/didChange", {"notebookDocument": version, "change": change})
        await client.complete(textDocument={"uri": "cell:2"})
        assert client.completer.requests[-1].notebook_cells == ["new"]
        closed = {
            "notebookDocument": {"uri": "file:///project/n.ipynb"},
            "cellTextDocuments": [{"uri": "cell:2"}, {"uri": "cell:9"}],
        }
        client.post("notebookDocument/didClose", closed)
        assert (await client.complete(textDocument={"uri": "cell:2"}))["result"]["items"] == []

    run(work)


def test_trace_tells_of_each_request_without_its_text() -> None:
    async def work() -> None:
        client = Connection("secret text")
        await client.begin(trace="verbose")
        client.post("$/setTrace", {"value": "verbose"})
        await client.complete()
        (line,) = client.told("$/logTrace")
        assert client.completer.requests[0].request_id in line["message"]
        assert line["verbose"] == "single_line: tests"
        assert "secret" not in json.dumps(line)

    run(work)


def test_neovim_gets_no_range_that_it_would_draw_over_the_line() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin(clientInfo={"name": "Neovim", "version": "0.12"})
        (item,) = (await client.complete())["result"]["items"]
        assert item["range"] is not None
        (item,) = (await client.complete(position={"line": 0, "character": 1}))["result"]["items"]
        assert item.get("range") is None

    run(work)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["uri", "text", "line", "range", "textDocument", "position", "id"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
METHODS = st.sampled_from(
    [
        "initialize",
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/didClose",
        "textDocument/didFocus",
        "textDocument/didShowCompletion",
        "textDocument/inlineCompletion",
        "workspace/executeCommand",
        "workspace/didChangeConfiguration",
        "workspace/didChangeWorkspaceFolders",
        "notebookDocument/didChange",
        "notebookDocument/didOpen",
        "$/cancelRequest",
        "$/setTrace",
        "x",
    ]
)


@settings(max_examples=25)
@given(METHODS, JSON, st.sampled_from([None, 5, "a"]))
def test_whatever_comes_requests_are_answered_and_nothing_breaks(
    method: str, params: object, message_id: object
) -> None:
    async def work() -> None:
        client = Connection()
        await client.begin()
        client.sent.clear()
        client.post(method, params, **({} if message_id is None else {"id": message_id}))
        await settle()
        answers = [each for each in client.sent if each.get("id") == message_id is not None]
        assert len(answers) == (message_id is not None)
        client.open(URI, "ab")
        assert (await client.complete())["result"]["items"]

    run(work)
