"""A client of one connection, as far as messages go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from paceline.lsp.server import PacelineServer
from tests.lsp.fakes import FakeCompleter

URI = "file:///project/a.py"
INLINE = {"textDocument": {"inlineCompletion": {}}}
HERE = {"line": 0, "character": 2}


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
