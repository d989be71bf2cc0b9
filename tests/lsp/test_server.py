"""Messages in, messages out: what LSP says, and what JSON-RPC says of the rest."""

from __future__ import annotations

import json

import pytest

from paceline.core.errors import UpstreamError
from paceline.lsp.items import ACCEPT_COMMAND, COPILOT_ACCEPT_COMMAND
from tests.lsp.connection import HERE, INLINE, URI, Connection, inline_params, run, settle

CANCELLED = -32800


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


def test_settings_of_initialize_count_for_a_client_that_never_sends_initialized() -> None:
    async def work() -> None:
        client = Connection()
        given = {"capabilities": INLINE, "processId": None, "rootUri": "file:///project"}
        await client.ask("initialize", given | {"initializationOptions": {"disabledGlobs": ["*"]}})
        client.open(URI, "ab")
        assert (await client.complete())["result"] == {"items": []}
        assert client.completer.requests == []

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


def test_a_status_comes_after_the_answer_to_initialize() -> None:
    async def work() -> None:
        client = Connection()
        await client.begin(initializationOptions={"enabled": False, "bogus": 1})
        assert client.sent[0]["id"] == 1
        assert [each["kind"] for each in client.told("didChangeStatus")] == ["Inactive"]
        assert len(client.told("window/showMessage")) == 1
        assert (await client.complete())["result"] == {"items": []}

    run(work)
