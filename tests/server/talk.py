"""Talking to `WebSocket /v1/session` in tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

END = "the end"


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
