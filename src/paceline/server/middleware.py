"""What every request passes before a route sees it: the log line, the server's end, the size limit. Who may
come in at all is decided in doors.py and auth/.

Plain ASGI, so that streams and disconnects pass through untouched.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.server.caller import Caller
from paceline.server.errors import CLIENT_GONE_STATUS, error_response, stopping_response

log = logging.getLogger("paceline.server")

MAX_BODY_BYTES = 20_000_000
"""A larger body is refused; no editor needs to send it, and it would only be cut."""
POLICY_VIOLATION = 1008
"""Of RFC 6455, section 7.4.1."""
MAX_HELD_BYTES = 1_000_000_000
"""Of all bodies that are in memory at the same time: 50 of the longest, thousands of usual ones; more are told 503."""
MAX_STRANGERS_BYTES = 200_000_000
"""Of these, bodies of clients whose token is in the body: nobody knows yet who they are."""
BUSY_RETRY_S = "1"
MAX_LOGGED_CHARS = 200
"""Of a path: a client may send 64 kB of it."""
MAX_DRAIN_BYTES = 100_000_000
MAX_DRAIN_S = 5.0
"""A client that writes its whole body before it reads gets this much patience to see the 413."""


TOO_MUCH = "The server holds as many request bodies as it may; send this one again in a second."

GONE = "The client left before its body was whole."


def is_loopback(host: str) -> bool:
    """Does `host`, a name or an address, mean this machine and nothing else?"""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer instead of the app: a WebSocket is closed (1008) before it is accepted.

    Where the server can say more than 403 to a WebSocket, its client gets the whole response.
    """
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
    await response(scope, receive, send)


class RequestLog:
    """One line per request: method, path, status, milliseconds, tokens. Never a body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log it when it is over."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = CLIENT_GONE_STATUS
        started = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope.setdefault("state", {})
        try:
            await self.app(scope, receive, note_status)
        except Exception:
            status = 500
            raise
        finally:
            tokens = scope["state"].get("num_tokens")
            log.info(
                "%s %s %d %.0f ms%s",
                scope["method"],
                scope["path"][:MAX_LOGGED_CHARS].encode("unicode_escape").decode(),
                status,
                (time.perf_counter() - started) * 1000,
                "" if tokens is None else f" {tokens} tokens",
            )


class Farewell:
    """Answer 503 to a request that is cancelled: uvicorn does that for one reason, that the server ends.

    A reply that has begun ends where it is, if its response does not know better (SseResponse does).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its task is not cancelled, but ends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_started = False

        async def note_start(message: Message) -> None:
            nonlocal is_started
            await send(message)
            is_started = True

        try:
            await self.app(scope, receive, note_start)
        except asyncio.CancelledError:
            if not is_started:
                await stopping_response()(scope, receive, send)


class BodyLimit:
    """Answer 413 to bodies over `max_bytes`, without keeping them in memory, and 503 where all together are too much.

    What is cut off in its body ends here, too: it is nobody's fault but the network's.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.message = f"The body is larger than {max_bytes // 1_000_000} MB; send less text."
        self._num_held: Counter[bool] = Counter()
        """Bytes in memory, of strangers or not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Trust a stated length, count an unstated one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "0")
        if not stated.isdecimal() or int(stated) > self.max_bytes:
            await self._refuse(receive, send)
            return
        caller: Caller = scope["state"]["caller"]
        is_stranger = not caller.scopes
        num_bytes, is_whole = 0, False

        async def count() -> Message:
            nonlocal num_bytes, is_whole
            message = await receive()
            if message["type"] == "http.disconnect" and not is_whole:
                raise HTTPException(CLIENT_GONE_STATUS, GONE)
            is_whole = not message.get("more_body", False)
            num_more = len(message.get("body", b""))
            num_bytes += num_more
            self._num_held[is_stranger] += num_more
            if num_bytes > self.max_bytes:
                raise HTTPException(413, self.message)
            if self._num_held[is_stranger] > (
                MAX_STRANGERS_BYTES if is_stranger else MAX_HELD_BYTES
            ):
                raise HTTPException(503, TOO_MUCH, headers={"Retry-After": BUSY_RETRY_S})
            return message

        try:
            await self.app(scope, count, send)
        finally:
            self._num_held[is_stranger] -= num_bytes

    async def _refuse(self, receive: Receive, send: Send) -> None:
        """Send the refusal at once, then throw away what the client is still writing."""
        reply = error_response(413, self.message, code="body_too_large")
        headers = [*reply.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        num_bytes = 0
        try:
            async with asyncio.timeout(MAX_DRAIN_S):
                while num_bytes < MAX_DRAIN_BYTES:
                    message = await receive()
                    num_bytes += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
