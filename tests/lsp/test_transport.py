"""Frames in, frames out, and how a connection ends."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from paceline.lsp import transport
from paceline.lsp.server import PacelineServer
from paceline.lsp.transport import PipeWriter, reader_of, serve_connection
from tests.lsp.fakes import FakeCompleter

SHUTDOWN: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "shutdown"}
EXIT: dict[str, Any] = {"jsonrpc": "2.0", "method": "exit"}
BEGIN: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"capabilities": {}, "processId": None, "rootUri": None},
}


class Kept:
    """A writer that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        header, _, body = data.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in header
        self.messages.append(json.loads(body))

    def close(self) -> None:
        pass


def frame(message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def serve(sent: bytes) -> tuple[int, list[dict[str, Any]]]:
    """The exit code after `sent` and the end of the stream, and what was answered."""

    async def work() -> tuple[int, list[dict[str, Any]]]:
        reader, kept = asyncio.StreamReader(), Kept()
        reader.feed_data(sent)
        reader.feed_eof()
        code = await serve_connection(PacelineServer(FakeCompleter()), reader, kept)
        return code, kept.messages

    return asyncio.run(work())


def codes_of(messages: list[dict[str, Any]]) -> list[int]:
    return [each["error"]["code"] for each in messages if "error" in each]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], 1),
        ([BEGIN], 1),
        ([BEGIN, EXIT], 1),
        ([BEGIN, SHUTDOWN], 0),
        ([BEGIN, SHUTDOWN, EXIT], 0),
        ([BEGIN, SHUTDOWN, EXIT, "never read"], 0),
    ],
)
def test_the_exit_code_says_whether_the_client_took_its_leave(
    messages: list[object], code: int
) -> None:
    assert serve(b"".join(map(frame, messages)))[0] == code


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\xff", b"nul", b"[" * 100_000, b"9" * 5000])
def test_what_is_not_json_is_answered_and_the_next_message_is_read(body: bytes) -> None:
    _, messages = serve(frame(body) + frame(BEGIN))
    assert codes_of(messages) == [-32700]
    assert messages[-1]["id"] == 1


def test_headers_may_be_written_in_any_case_and_name_a_type() -> None:
    body = json.dumps(BEGIN).encode()
    head = f"content-length: {len(body)}\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8"
    _, messages = serve(head.encode() + b"\r\n\r\n" + body)
    assert messages[-1]["id"] == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: x\r\n\r\n",
        b"Content-Type: a\r\n\r\n",
        b"Content-Type: a\r\n" * 20,
        b"x" * 200_000,
        b"\n",
    ],
)
def test_what_is_no_frame_ends_the_connection(sent: bytes) -> None:
    code, messages = serve(sent + frame(BEGIN))
    assert (code, messages) == (1, [])


def test_a_client_that_leaves_lets_go_of_its_requests() -> None:
    here = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 0, "character": 1}}
    document = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": "x"}
    capable = {"capabilities": {"textDocument": {"inlineCompletion": {}}}}
    messages: list[dict[str, Any]] = [
        BEGIN | {"params": BEGIN["params"] | capable},
        {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": document}},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "textDocument/inlineCompletion",
            "params": here | {"context": {"triggerKind": 2}},
        },
    ]

    async def work() -> None:
        reader, completer = asyncio.StreamReader(), FakeCompleter("y")
        completer.is_held = True
        reader.feed_data(b"".join(map(frame, messages)))
        serving = asyncio.ensure_future(serve_connection(PacelineServer(completer), reader, Kept()))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(completer.requests) == 1
        reader.feed_eof()
        await serving
        for _ in range(5):
            await asyncio.sleep(0)
        assert completer.num_cancelled == 1

    asyncio.run(work())


def test_half_a_message_is_none() -> None:
    assert serve(frame(BEGIN)[:-3]) == (1, [])


def test_a_message_that_is_too_large_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_MESSAGE_BYTES", 1000)
    _, messages = serve(frame(b"x" * 1001) + frame(BEGIN))
    assert [each.get("method") for each in messages] == ["window/logMessage", None]
    assert messages[-1]["id"] == 1


def test_a_file_can_be_read_like_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"a\nb")

    async def work() -> bytes:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return await reader_of(descriptor).read()
        finally:
            os.close(descriptor)

    assert asyncio.run(work()) == b"a\nb"


def test_writing_to_a_reader_that_left_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    writer = PipeWriter(os.fdopen(write_end, "wb"))
    writer.write(b"x")
    writer.close()
    writer.write(b"y")
