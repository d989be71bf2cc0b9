"""Talking to `WebSocket /v1/session` in tests: through a thread (`ask_session`), or on the test's own loop (`Line`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

END = "the end"
PATIENCE_S = 60
"""A test that waits for so long has failed."""


def receive(socket: WebSocketTestSession) -> Any:
    """The next message of the server."""
    return json.loads(socket.receive_text())


def ask_session(client: TestClient, method: str, path: str, messages: Sequence[Any]) -> Any:
    """Send `messages` on a new connection; return all that comes back, completions last."""
    waited_for = {each["id"] for each in messages if each["type"] == "complete"} | {END}
    replies: list[Any] = []
    with client.websocket_connect(f"ws://127.0.0.1:8012{path}") as socket:
        for message in (*messages, {"type": "events", "events": [], "id": END}):
            socket.send_text(json.dumps(message))
        while waited_for:
            replies.append(receive(socket))
            waited_for.discard(replies[-1].get("id"))
    return sorted(replies, key=lambda reply: (reply["type"], str(reply.get("id"))))


class Line:
    """One WebSocket, spoken as ASGI: nothing is buffered, and every step is on this loop."""

    def __init__(self) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.is_reading = asyncio.Event()
        """Cleared: the client takes nothing, and the app waits with what it sends."""
        self.is_reading.set()

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.send_raw(json.dumps(message))

    def send_raw(self, text: str) -> None:
        """Send whatever text."""
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def receive(self) -> Any:
        """The next message of the server, or the code that it closed with."""
        message = await asyncio.wait_for(self._from_app.get(), PATIENCE_S)
        return json.loads(message["text"]) if "text" in message else message["code"]

    async def leave(self) -> None:
        """Hang up, and wait until the app has noticed."""
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})
        assert self.task is not None
        await asyncio.wait_for(self.task, PATIENCE_S)

    @property
    def num_unread(self) -> int:
        """Messages from the client that the app has not taken."""
        return self._to_app.qsize()

    async def _from(self, message: Any) -> None:
        await self.is_reading.wait()
        if message["type"] != "websocket.accept":
            self._from_app.put_nowait(message)

    def start(self, app: FastAPI, token: str = "") -> None:
        """Connect."""
        headers = [(b"host", b"localhost")]
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        scope: dict[str, Any] = {
            "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.4"},
            "path": "/v1/session", "raw_path": b"/v1/session", "query_string": b"", "root_path": "",
            "scheme": "ws", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8012),
            "headers": headers, "subprotocols": [], "state": {},
        }  # fmt: skip
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app(scope, self._to_app.get, self._from))


@asynccontextmanager
async def line_to(app: FastAPI, token: str = "", **hello: Any) -> AsyncGenerator[Line, None]:
    """A connection that has said hello, and hangs up at the end."""
    line = Line()
    line.start(app, token)
    line.send(type="hello", **hello)
    assert (await line.receive())["type"] == "ready"
    try:
        yield line
    finally:
        await line.leave()
