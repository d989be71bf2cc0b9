"""How each kind of editor asks for a completion between two texts."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, NamedTuple, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.typists.link import Link

PATH = "shapes.py"
CODEIUM = "/exa.language_server_pb.LanguageServerService/GetCompletions"


class Keystroke(NamedTuple):
    """What stands around the cursor after a key."""

    before: str
    after: str
    number: int
    """Grows with each key of a typist."""


class Editor(Protocol):
    """One editor of one typist."""

    async def ask(self, key: Keystroke) -> tuple[int, bytes]:
        """(status, reply); cancelling it lets the server stop."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class HttpEditor:
    """An editor that sends whole documents."""

    def __init__(self, dialect: str, port: int, name: str) -> None:
        self._path, self._build = BODIES[dialect]
        self._link, self._name = Link(port), name

    async def ask(self, key: Keystroke) -> tuple[int, bytes]:
        """As Editor."""
        return await self._link.post(self._path, self._build(key, self._name))

    def close(self) -> None:
        """As Editor."""
        self._link.close()


def _infill(key: Keystroke, name: str) -> dict[str, Any]:
    return {
        "input_prefix": key.before,
        "input_suffix": key.after,
        "n_predict": 24,
        "filename": PATH,
        "session_id": name,
        "document_id": PATH,
    }


def _native(key: Keystroke, name: str) -> dict[str, Any]:
    row = key.before.count("\n")
    return {
        "document": {"text": key.before + key.after, "path": PATH},
        "position": {"line": row, "character": len(key.before.rpartition("\n")[2])},
        "session_id": name,
        "max_tokens": 24,
    }


def _tabby(key: Keystroke, name: str) -> dict[str, Any]:
    segments = {"prefix": key.before, "suffix": key.after, "filepath": PATH}
    return {"language": "python", "segments": segments, "user": name}


def _codeium(key: Keystroke, name: str) -> dict[str, Any]:
    return {
        "metadata": {"ide_name": "vim", "request_id": key.number, "session_id": name},
        "document": {
            "text": key.before + key.after,
            "editor_language": "python",
            "language": 33,
            "cursor_offset": len(key.before.encode()),
        },
        "other_documents": [],
    }


def _openai(key: Keystroke, name: str) -> dict[str, Any]:
    return {
        "prompt": key.before,
        "suffix": key.after,
        "max_tokens": 16,
        "temperature": 0,
        "stream": key.number % 2 == 0,
        "user": name,
    }


BODIES: dict[str, tuple[str, Any]] = {
    "llama.cpp": ("/infill", _infill),
    "native": ("/v1/complete", _native),
    "Tabby": ("/v1/completions", _tabby),
    "Codeium": (CODEIUM, _codeium),
    "OpenAI": ("/v1/completions", _openai),
}


class SocketEditor:
    """An editor that sends what changed, over a WebSocket."""

    def __init__(self, port: int, name: str) -> None:
        self._port, self._name = port, name
        self._socket: ClientConnection | None = None
        self._text, self._version = "", 0

    async def ask(self, key: Keystroke) -> tuple[int, bytes]:
        """As Editor; the status is that which HTTP would have."""
        socket = await self._opened(key)
        row, column = key.before.count("\n"), len(key.before.rpartition("\n")[2])
        self._version += 1
        position = {"line": row, "character": column}
        document = {"document_id": PATH, "version": self._version}
        await _send(socket, type="open", path=PATH, text=key.before + key.after, **document)
        await _send(socket, type="complete", id=key.number, position=position, **document)
        try:
            return await _answer_of(socket, key.number)
        except asyncio.CancelledError:
            await _send(socket, type="cancel", id=key.number)
            raise

    async def _opened(self, key: Keystroke) -> ClientConnection:
        if self._socket is None:
            self._socket = await open_session(self._port, self._name)
        return self._socket

    def close(self) -> None:
        """As Editor."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None


async def open_session(port: int, name: str) -> ClientConnection:
    """A WebSocket that has said hello."""
    url = f"ws://127.0.0.1:{port}/v1/session"
    socket = await connect(url, proxy=None, ping_interval=None, open_timeout=60)
    await _send(socket, type="hello", client="many_typists", session_id=name)
    assert msgspec.json.decode(await socket.recv())["type"] == "ready"
    return socket


async def _send(socket: ClientConnection, **message: object) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def _answer_of(socket: ClientConnection, number: int) -> tuple[int, bytes]:
    while True:
        data = await socket.recv()
        message = msgspec.json.decode(data)
        if message.get("id") == number:
            is_error = message["type"] == "error"
            busy = ("overloaded", "quota")
            status = (429 if message["error"]["code"] in busy else 500) if is_error else 200
            return status, data if isinstance(data, bytes) else data.encode()


_names = itertools.count()
DIALECTS = (*BODIES, "WebSocket")


def open_editor(dialect: str, port: int) -> Editor:
    """An editor of its own session."""
    name = f"typist {next(_names)}"
    return SocketEditor(port, name) if dialect == "WebSocket" else HttpEditor(dialect, port, name)
