"""pygls' own client talks to `paceline lsp` as a process, which asks the whole app over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from tests.e2e.app_thread import running_app
from tests.scripted import create_scripted

pytestmark = pytest.mark.e2e

COMMAND = ("-m", "paceline.cli.main", "lsp")
WAIT_S = 30.0
URI = "file:///project/area.py"
TEXT = "def area(width, height):\n    return"
CAPABILITIES = types.ClientCapabilities(
    text_document=types.TextDocumentClientCapabilities(
        inline_completion=types.InlineCompletionClientCapabilities()
    )
)


class Client:
    """An editor: what the server sent it is kept."""

    def __init__(self) -> None:
        self.rpc = LanguageClient("tests", "1")
        self.shown: list[str] = []
        self.statuses: list[Any] = []
        self.is_told = asyncio.Event()

        @self.rpc.feature(types.WINDOW_SHOW_MESSAGE)
        def show(params: types.ShowMessageParams) -> None:
            self.shown.append(params.message)
            self.is_told.set()

        @self.rpc.feature(types.WINDOW_LOG_MESSAGE)
        def log(params: types.LogMessageParams) -> None:
            pass

        @self.rpc.feature("didChangeStatus")
        def change_status(params: Any) -> None:
            self.statuses.append(params.kind)

    async def begin(self, capabilities: types.ClientCapabilities, text: str = TEXT) -> Any:
        """Initialize, and open a document; return the server's capabilities."""
        result = await self.rpc.initialize_async(
            types.InitializeParams(
                capabilities=capabilities,
                root_uri="file:///project",
                client_info=types.ClientInfo("tests", "1"),
            )
        )
        self.rpc.initialized(types.InitializedParams())
        item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
        self.rpc.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))
        return result.capabilities

    async def ask(self, line: int, character: int) -> list[types.InlineCompletionItem]:
        """Inline completion as the user would get it by asking."""
        result = await self.rpc.text_document_inline_completion_async(
            types.InlineCompletionParams(
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                text_document=types.TextDocumentIdentifier(URI),
                position=types.Position(line, character),
            )
        )
        assert isinstance(result, types.InlineCompletionList)
        return list(result.items)

    async def end(self) -> None:
        """Shut the server down, and leave."""
        await self.rpc.shutdown_async(None)
        self.rpc.exit(None)


@asynccontextmanager
async def stdio_client(*args: str) -> AsyncIterator[Client]:
    """A client with a server process of its own."""
    client = Client()
    await client.rpc.start_io(sys.executable, *COMMAND, *args)
    yield client
    await client.end()
    await client.rpc.stop()
    process = client.rpc._server
    assert process is not None and process.returncode == 0


@asynccontextmanager
async def tcp_client(*args: str) -> AsyncIterator[Client]:
    """A client of a server that listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *COMMAND, "--tcp", "0", *args, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        port = int(line.rpartition(":")[2])
        client = Client()
        await client.rpc.start_tcp("127.0.0.1", port)
        yield client
        await client.end()
        await client.rpc.stop()
        assert client.rpc.protocol.writer is not None
        client.rpc.protocol.writer.close()  # type: ignore[union-attr]
        assert process.returncode is None, "it goes on listening for the next client"
    finally:
        process.terminate()
        assert await process.wait() == 0


TRANSPORTS = pytest.mark.parametrize("connect", [stdio_client, tcp_client])


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, WAIT_S))


@TRANSPORTS
def test_a_completion_is_shown_accepted_and_counted(connect: Callable[..., Any]) -> None:
    scripted = create_scripted()

    async def work(url: str) -> None:
        async with connect("--server", url) as client:
            capabilities = await client.begin(CAPABILITIES)
            assert capabilities.inline_completion_provider is not None
            assert capabilities.completion_provider is None
            first, *_ = await client.ask(1, 10)
            assert first.insert_text == " width * height"
            assert first.range == types.Range(types.Position(1, 10), types.Position(1, 10))
            assert first.command is not None
            await client.rpc.workspace_execute_command_async(
                types.ExecuteCommandParams(first.command.command, first.command.arguments)
            )

    with running_app(scripted.app) as url:
        run(work(url))
    assert [event.kind for event in scripted.store.events] == ["accepted"]
    assert scripted.store.events[0].client == "tests 1"
