"""What Neovim once sent to `paceline lsp` is answered by the language server of today, message by message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lsp.connection import Connection, run, settle
from tests.wire.reads import find

MESSAGES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "neovim" / "lsp.json").read_text(encoding="utf-8")
)["messages"]
SHOWN = "idth * height"

READS = {
    "initialize": (  # runtime/lua/vim/lsp/client.lua: Client:initialize, _changetracking.lua
        "capabilities.positionEncoding",
        "capabilities.textDocumentSync.openClose",
        "capabilities.textDocumentSync.change",
        "capabilities.inlineCompletionProvider",
        "capabilities.executeCommandProvider.commands",
    ),
    "textDocument/inlineCompletion": (  # runtime/lua/vim/lsp/inline_completion.lua: handler, select, accept
        "items[].insertText",
        "items[].range.start.line",
        "items[].range.start.character",
        "items[].range.end.line",
        "items[].range.end.character",
        "items[].command.command",
        "items[].command.arguments",
    ),
}
"""What Neovim reads of each result."""


def sent_by(side: str) -> list[dict[str, Any]]:
    return [each["message"] for each in MESSAGES if each["from"] == side]


async def replay(connection: Connection) -> dict[int, Any]:
    """Send all that the editor sent, up to the end; return the results by the number of the request."""
    for recorded in sent_by("client"):
        if recorded.get("method") == "exit":
            break
        message = dict(recorded)
        if "method" not in message:  # the answer to a request of the server's, whose id is of today
            asked = [each for each in connection.sent if each.get("method") and "id" in each]
            message["id"] = asked[-1]["id"]
        if message.get("method") == "workspace/executeCommand":
            arguments = [connection.completer.requests[-1].request_id, 0]
            message["params"] = message["params"] | {"arguments": arguments}
        connection.server.rpc.receive(message)
        await settle()
    return {each["id"]: each["result"] for each in connection.sent if "result" in each}


def test_every_request_of_neovim_is_answered_as_it_reads_it() -> None:
    async def work() -> None:
        connection = Connection(SHOWN)
        results = await replay(connection)
        recorded = {each["id"]: each.get("result") for each in sent_by("server")}
        asked = [each for each in sent_by("client") if "id" in each and "method" in each]
        answered = [each for each in asked if each["id"] in recorded]
        assert {each["method"] for each in answered} >= set(READS)
        for request in answered:
            now, before = results[request["id"]], recorded[request["id"]]
            for path in READS.get(request["method"], ()):
                assert find(before, path), path
                assert [type(value) for value in find(now, path)] == [
                    type(value) for value in find(before, path)
                ], path

    run(work)


def test_the_server_has_the_text_that_the_editor_has_and_hears_of_the_accept() -> None:
    async def work() -> None:
        connection = Connection(SHOWN)
        await replay(connection)
        request = connection.completer.requests[0]
        assert request.document.text == "def area(width, height):\n    return w\n"
        assert (request.position.line, request.position.character) == (1, 12)
        assert "accepted" in [event.kind for event in connection.completer.events]

    run(work)
