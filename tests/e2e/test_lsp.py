"""pygls' own client talks to `paceline lsp` as a process, which asks the whole app over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
)
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.e2e.app_thread import running_app
from tests.e2e.server_process import find_free_port
from tests.scripted import create_scripted

pytestmark = pytest.mark.e2e

COMMAND = ("-m", "paceline.cli.main", "lsp")
WAIT_S = 30.0
AUTOMATIC = types.InlineCompletionTriggerKind.Automatic
INVOKED = types.InlineCompletionTriggerKind.Invoked
URI = "file:///project/area.py"
TEXT = "def area(width, height):\n    return"
INLINE = types.ClientCapabilities(
    text_document=types.TextDocumentClientCapabilities(
        inline_completion=types.InlineCompletionClientCapabilities()
    )
)

SHUTDOWN: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "shutdown"}
BEGIN: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"capabilities": {}, "processId": None, "rootUri": None},
}


class Client:
    """An editor: what the server sent it is kept."""

    def __init__(self) -> None:
        self.rpc = LanguageClient("tests", "1")
        self.shown: list[str] = []
        self.statuses: list[Any] = []
        self.is_over = False

        @self.rpc.feature(types.WINDOW_SHOW_MESSAGE)
        def show(params: types.ShowMessageParams) -> None:
            self.shown.append(params.message)

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

    async def ask_raw(
        self,
        line: int,
        character: int,
        *,
        request_id: int | None = None,
        trigger: types.InlineCompletionTriggerKind = AUTOMATIC,
    ) -> Any:
        """Inline completion; what is answered, be it null."""
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(trigger),
            text_document=types.TextDocumentIdentifier(URI),
            position=types.Position(line, character),
        )
        return await self.rpc.protocol.send_request_async(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, params, request_id
        )

    async def ask(self, line: int, character: int) -> list[types.InlineCompletionItem]:
        """Inline completion as the user would get it by asking."""
        result = await self.ask_raw(line, character, trigger=INVOKED)
        assert isinstance(result, types.InlineCompletionList)
        return list(result.items)

    async def accept(self, item: types.InlineCompletionItem) -> None:
        """Do what an editor does after the user took it."""
        assert item.command is not None
        await self.rpc.workspace_execute_command_async(
            types.ExecuteCommandParams(item.command.command, item.command.arguments)
        )

    def edit(self, line: int, character: int, text: str) -> None:
        """Put `text` there."""
        at = types.Position(line, character)
        change = types.TextDocumentContentChangePartial(range=types.Range(at, at), text=text)
        document = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
        self.rpc.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def end(self) -> None:
        """Shut the server down, and leave. Once is enough."""
        if not self.is_over:
            self.is_over = True
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


class Counter:
    """Counts the tokens of a generator's streams, and the streams that are open; the first one never ends.

    One token is asked for when a server starts; that is not counted.
    """

    def __init__(self, generator: Any, *, num_first_tokens: int) -> None:
        self.num_tokens = self.num_open = self.num_streams = 0
        self._num_first_tokens = num_first_tokens
        self._stream = generator.stream
        generator.stream = self.stream

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncIterator[TextChunk]:
        is_counted = params.max_tokens > 1
        self.num_open += is_counted
        self.num_streams += is_counted
        is_first = is_counted and self.num_streams == 1
        try:
            async with aclosing(self._stream(parts, params, model_id=model_id)) as chunks:
                async for chunk in chunks:
                    self.num_tokens += chunk.num_tokens * is_counted
                    yield chunk
                    if is_first and self.num_tokens == self._num_first_tokens:
                        await asyncio.Event().wait()
        finally:
            self.num_open -= is_counted


Connect = Callable[..., AbstractAsyncContextManager[Client]]
TRANSPORTS = pytest.mark.parametrize("connect", [stdio_client, tcp_client])


def frames(*messages: dict[str, Any]) -> bytes:
    """These messages as they go over the wire."""
    bodies = [json.dumps(message).encode() for message in messages]
    return b"".join(f"Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, WAIT_S))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens in the app's thread."""
    while not is_so():  # noqa: ASYNC110  (its thread cannot set an asyncio.Event)
        await asyncio.sleep(0.01)


@TRANSPORTS
def test_a_completion_is_shown_accepted_and_counted(connect: Connect) -> None:
    scripted = create_scripted()

    async def work(url: str) -> None:
        async with connect("--server", url) as client:
            capabilities = await client.begin(INLINE)
            assert capabilities.inline_completion_provider is not None
            assert capabilities.completion_provider is None
            first, *_ = await client.ask(1, 10)
            assert first.insert_text == " width * height"
            assert first.range == types.Range(types.Position(1, 10), types.Position(1, 10))
            await client.accept(first)

    with running_app(scripted.app) as url:
        run(work(url))
    assert [event.kind for event in scripted.store.events] == ["accepted"]
    assert scripted.store.events[0].client == "tests 1"


def test_a_client_without_inline_completion_gets_a_list() -> None:
    async def work(url: str) -> None:
        async with stdio_client("--server", url) as client:
            await client.begin(types.ClientCapabilities())
            result = await client.rpc.text_document_completion_async(
                types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(1, 10))
            )
            assert isinstance(result, types.CompletionList)
            (item,) = result.items
            assert isinstance(item.text_edit, types.TextEdit)
            assert item.text_edit.new_text == "return width * height"
            assert item.text_edit.range.start == types.Position(1, 4)

    with running_app(create_scripted().app) as url:
        run(work(url))


def test_edits_and_columns_in_bytes_and_in_utf16_units() -> None:
    async def work(url: str, encoding: types.PositionEncodingKind, width: int) -> None:
        general = types.GeneralClientCapabilities(position_encodings=[encoding])
        capabilities = types.ClientCapabilities(text_document=INLINE.text_document, general=general)
        async with stdio_client("--server", url) as client:
            result = await client.begin(capabilities, text="x = 1\r\ndef area(width, height): # 𝄞é")
            assert result.position_encoding == encoding
            column = 28 + width
            client.edit(1, column, "\r\n    return")
            items = await client.ask(2, 10)
            assert [item.insert_text for item in items] == [" width * height"]

    with running_app(create_scripted().app) as url:
        for encoding, width in (("utf-8", 6), ("utf-16", 3)):
            run(work(url, types.PositionEncodingKind(encoding), width))


def test_cancelling_stops_the_model_where_it_is() -> None:
    scripted = create_scripted()
    counter = Counter(scripted.generator, num_first_tokens=2)

    async def work(url: str) -> None:
        async with stdio_client("--server", url) as client:
            await client.begin(INLINE, text="def area(")
            request = asyncio.ensure_future(client.ask_raw(0, 9, request_id=41))
            await until(lambda: counter.num_tokens == 2)
            client.rpc.cancel_request(types.CancelParams(id=41))
            with pytest.raises(JsonRpcRequestCancelled):
                await request
            await until(lambda: counter.num_open == 0)
            assert (counter.num_tokens, counter.num_streams) == (2, 1)

    with running_app(scripted.app) as url:
        run(work(url))


def test_a_newer_request_takes_the_place_of_an_older_one() -> None:
    scripted = create_scripted()
    counter = Counter(scripted.generator, num_first_tokens=1)

    async def work(url: str) -> None:
        async with stdio_client("--server", url) as client:
            await client.begin(INLINE)
            older = asyncio.ensure_future(client.ask_raw(1, 10, request_id=41))
            await until(lambda: counter.num_tokens == 1)
            newer = await client.ask(1, 10)
            assert [item.insert_text for item in newer] == [" width * height"]
            assert await older is None
            await until(lambda: counter.num_open == 0)

    with running_app(scripted.app) as url:
        run(work(url))


def test_without_a_server_the_user_is_told_once_and_with_one_it_works() -> None:
    scripted, port = create_scripted(), find_free_port()

    async def work(meanwhile: Callable[[], AbstractContextManager[str]]) -> None:
        async with stdio_client("--server", f"http://127.0.0.1:{port}") as client:
            await client.begin(INLINE)
            for _ in range(3):
                assert await client.ask(1, 10) == []
            assert len(client.shown) == 1
            assert "start one with `paceline serve`" in client.shown[0]
            with meanwhile():
                (first, *_) = await client.ask(1, 10)
                await client.accept(first)
                await client.end()
            assert client.statuses == ["Error", "Normal"]

    run(work(lambda: running_app(scripted.app, port=port)))
    assert [event.kind for event in scripted.store.events] == ["accepted"]


def test_tokens_are_sent(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret\n")
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            heard.extend(v.decode() for k, v in scope["headers"] if k == b"authorization")
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b'{"error": {"message": "No."}}'})

    async def work(url: str) -> None:
        async with stdio_client("--server", url, "--token-file", str(token_file)) as client:
            await client.begin(INLINE)
            assert await client.ask(1, 10) == []
            assert client.shown == ["Paceline: No."]

    with running_app(app) as url:
        run(work(url))
    assert heard == ["Bearer secret"]


def test_a_brain_of_its_own_before_another_server() -> None:
    scripted = create_scripted()

    async def work(url: str) -> None:
        arguments = ("--upstream", f"{url}/v1", "--kind", "openai", "--fim", "suffix")
        async with stdio_client(*arguments) as client:
            await client.begin(INLINE)
            first, *_ = await client.ask(1, 10)
            assert first.insert_text == " width * height"
            await client.accept(first)

    with running_app(scripted.app) as url:
        run(work(url))


@pytest.mark.parametrize(
    ("sent", "code"), [(b"", 1), (frames(BEGIN, SHUTDOWN), 0), (b"hello\n", 1)]
)
def test_stdin_that_ends_ends_the_process(sent: bytes, code: int) -> None:
    done = subprocess.run(
        [sys.executable, *COMMAND], input=sent, capture_output=True, timeout=WAIT_S, check=False
    )
    assert (done.returncode, done.stderr) == (code, b"")
    assert done.stdout.count(b"Content-Length") == sent.count(b'"id"')


def test_a_signal_ends_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(frames(BEGIN))
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"Content-Length")
        process.terminate()
        assert process.wait(WAIT_S) == 1


def test_neither_torch_nor_a_web_server_is_imported() -> None:
    """What keeps the start short: 0.6 s on an idle machine."""
    code = (
        "import sys\nfrom paceline.cli.main import app\ntry:\n    app(['lsp'])\nfinally:\n"
        "    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"", capture_output=True, timeout=WAIT_S, check=False
    )
    modules = set(done.stderr.decode().split())
    assert "paceline.lsp.server" in modules
    assert not modules & {"torch", "fastapi", "uvicorn", "numpy", "tokenizers"}


def test_only_one_way_to_connect_and_only_addresses() -> None:
    for arguments in (["--stdio", "--tcp", "0"], ["--server", "ftp://x"]):
        done = subprocess.run(
            [sys.executable, *COMMAND, *arguments], input=b"", capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.count(b"\n") == 1


def test_nothing_but_frames_reaches_stdout() -> None:
    code = (
        "import os, subprocess, sys\nfrom paceline.lsp.transport import PipeWriter, take_stdio\n"
        "_, own = take_stdio()\nprint('stray')\nos.write(1, b'stray')\n"
        "subprocess.run(['echo', 'stray'])\nPipeWriter(own).write(b'frame')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=WAIT_S, check=True
    )
    assert (done.stdout, done.stderr.count(b"stray")) == (b"frame", 3)
