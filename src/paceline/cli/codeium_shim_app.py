"""What `paceline codeium-shim` does with a call: pass it on to the Paceline server, or say why it cannot.

One ASGI app, light to import. It adds the name of its session, because codeium.vim sends none, and the key that the
editor sent before, because CancelRequest comes without. A client that leaves closes the request to the server, which
stops the model.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from paceline.server.dialects.connect_codes import code_of_status

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""

SERVICE_PREFIX = "/exa."
MAX_BODY_BYTES = 64_000_000
"""The server has its own limit and its own sentence; this one only guards the editor's machine."""
CONNECT_S = 3.0
ANSWER_S = 60.0
"""No keystroke waits longer for anything."""
PASSED_ON = ("content-type", "content-encoding", "authorization")
PASSED_BACK = ("content-type", "retry-after", "www-authenticate")


class _Metadata(msgspec.Struct):
    api_key: str | None = None
    api_key_camel: str | None = msgspec.field(default=None, name="apiKey")


class _Head(msgspec.Struct):
    """All that is read of a request's body; a decoder skips the rest."""

    metadata: _Metadata | None = None


class _Detail(msgspec.Struct):
    message: str


class _CommonError(msgspec.Struct):
    """How the server's outer layers say what is wrong."""

    error: _Detail


class _ClientLeftError(Exception):
    """Nobody is left to answer."""


class ShimApp:
    """Passes calls on to `server_url`."""

    def __init__(
        self, server_url: str, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._server_url = server_url.rstrip("/")
        self._monotonic_s = monotonic_s
        self._session_id = str(uuid.uuid4())
        self._key = ""
        self.num_calls = 0
        self.last_call_s = monotonic_s()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=not is_loopback_url(server_url),  # a proxy cannot reach this machine
        )

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()

    def silent_s(self) -> float:
        """Since the last call, or since the start."""
        return self._monotonic_s() - self.last_call_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        assert scope["type"] == "http"
        self.num_calls += 1
        self.last_call_s = self._monotonic_s()
        try:
            status, headers, body = await self._answer(scope, receive)
        except _ClientLeftError:
            return
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if "origin" in headers or not is_loopback_host(headers.get("host", "")):
            return refusal(403, "Web pages may not call this; only an editor on this machine may.")
        if scope["method"] != "POST" or not scope["path"].startswith(SERVICE_PREFIX):
            return refusal(404, "There is nothing here but Codeium's calls, sent with POST.")
        body = await _read_body(receive)
        if body is None:
            return refusal(413, f"The body is larger than {MAX_BODY_BYTES // 1_000_000} MB.")
        method = scope["path"].rpartition("/")[2]
        self._note_key(body)
        if method == "Heartbeat":  # editors pop up a window for each one that fails
            return 200, {"content-type": "application/json"}, b"{}"
        answer = await _while_connected(receive, self._pass_on(scope["path"], headers, body))
        if method == "GetStatus" and answer[0] >= 500:  # codeium.vim shows a status, but no error
            said = msgspec.json.decode(answer[2])["message"]
            return 200, answer[1], json.dumps({"status": {"message": said}}).encode()
        return answer

    def _note_key(self, body: bytes) -> None:
        try:
            metadata = msgspec.json.decode(body, type=_Head).metadata
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # the server says what is wrong with it
        if metadata is not None:
            self._key = metadata.api_key or metadata.api_key_camel or self._key

    async def _pass_on(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        sent = {name: headers[name] for name in PASSED_ON if name in headers}
        sent["x-paceline-session"] = self._session_id
        if self._key.isascii() and self._key.isprintable() and self._key.strip():
            sent.setdefault("authorization", f"Bearer {self._key.strip()}")
        try:
            reply = await self._client.post(self._server_url + path, content=body, headers=sent)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                return self._unavailable()
            return refusal(504, f"The Paceline server took longer than {ANSWER_S:.0f} s.")
        except (httpx.HTTPError, httpx.InvalidURL):
            return self._unavailable()
        return in_connect_form(reply.status_code, dict(reply.headers), reply.content)

    def _unavailable(self) -> Answer:
        return refusal(
            503,
            f"No Paceline server answers at {self._server_url}: start one with `paceline serve`, or name "
            "another in the environment variable PACELINE_SERVER.",
        )


def refusal(status: int, message: str) -> Answer:
    """A failure in Connect's form."""
    body = json.dumps({"code": code_of_status(status), "message": message}).encode()
    return status, {"content-type": "application/json"}, body


def in_connect_form(status: int, headers: dict[str, str], body: bytes) -> Answer:
    """The server's reply; a failure of its outer layers (no token, too large) becomes Connect's."""
    kept = {name: value for name, value in headers.items() if name in PASSED_BACK}
    if status < 400:
        return status, kept, body
    try:
        if "code" in msgspec.json.decode(body, type=dict[str, Any]):
            return status, kept, body
        message = msgspec.json.decode(body, type=_CommonError).error.message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = f"The server answers with status {status}: it may be no Paceline server."
    same, form, text = refusal(status, message)
    return same, {**kept, **form}, text


def is_loopback_host(host: str) -> bool:
    """Does a Host header name this machine?"""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Is that server on this machine?"""
    return is_loopback_host(urlsplit(url).netloc.rpartition("@")[2])


async def _read_body(receive: Receive) -> bytes | None:
    """None: it is too large."""
    pieces: list[bytes] = []
    num_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeftError
        pieces.append(message.get("body", b""))
        num_bytes += len(pieces[-1])
        if num_bytes > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _while_connected(receive: Receive, work: Awaitable[Answer]) -> Answer:
    """What `work` answers; cancelled when the client leaves first.

    Raises:
        _ClientLeftError: it did.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _ClientLeftError
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
