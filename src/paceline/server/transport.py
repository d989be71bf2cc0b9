"""Limits on a connection itself, around uvicorn's protocols: slow or endless headers and bodies, clients that do
not read, too many connections.

Uvicorn has a timeout only for idle connections. The guards here are subclasses of whichever of its protocols is
in use (h11 or httptools; WebSockets), told by `cycle` (the running request) what the connection is doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from paceline.server.config import TransportLimits
from paceline.server.errors import error_response
from paceline.server.middleware import MAX_DRAIN_BYTES

REFUSED_LINGER_S = 1.0
"""A client that is one too many gets so long to send its request and read the 503."""
MAX_REFUSED = 200
"""So many may linger at once; beyond that they are cut off without a word."""
BUSY_RETRY_S = "1"

SLOW_HEADERS = "The request's headers did not arrive in time; send them at once."
SLOW_BODY = "The request's body did not arrive in time; send it faster, or less of it."
LONG_HEADERS = "The request's headers are too long; send fewer or shorter ones."
NO_HTTP = "This is not valid HTTP; send an HTTP/1.1 request."
TOO_MANY = "Too many connections are open; close some, or try again later."


class Phase(Enum):
    """What a connection waits for."""

    HEADERS = auto()
    BODY = auto()
    ANSWER = auto()
    """The app; no limit here."""
    IDLE = auto()
    """The next request; uvicorn's own timeout."""
    GONE = auto()
    """Closed, or handed over to a WebSocket."""


def raw_reply(status: int, message: str, code: str) -> bytes:
    """A whole HTTP/1.1 response in the common form, for when there is no request to answer."""
    headers = {"connection": "close"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = BUSY_RETRY_S
    reply = error_response(status, message, code=code, headers=headers)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in reply.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(reply.body)])


class Timer:
    """One deadline at a time."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` in `seconds`, instead of what was to be called."""
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(seconds, callback)

    def stop(self) -> None:
        """Call nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


if TYPE_CHECKING:

    class _Uvicorn(asyncio.Protocol):
        """What uvicorn's protocols have beside asyncio's methods."""

        transport: asyncio.Transport
        connections: set[object]
        cycle: Any
        flow: Any

        def on_response_complete(self) -> None: ...
        def keepalive_timeout(self) -> None: ...

else:
    _Uvicorn = asyncio.Protocol


def guarded_http(
    limits: TransportLimits, base: type[asyncio.Protocol] = AutoHTTPProtocol
) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with `limits`."""
    return type("GuardedHttp", (HttpGuard, base), {"limits": limits})


def guarded_websockets(
    limits: TransportLimits, base: Any = AutoWebSocketsProtocol
) -> type[asyncio.Protocol] | None:
    """Return uvicorn's WebSocket protocol with the write timeout; None if no library for it is installed."""
    return base and type("GuardedWebSocket", (WebSocketGuard, base), {"limits": limits})


class HttpGuard(_Uvicorn):
    """One connection; `_follow` is called whenever what it does may have changed."""

    limits: TransportLimits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer, self._write_timer = Timer(), Timer()
        self._num_header_bytes = 0
        self._is_refused = self._is_answered = False
        self._phase: tuple[Phase, object] = (Phase.IDLE, None)
        num_refused = len(self.connections) - self.limits.max_connections
        if num_refused > MAX_REFUSED:
            self.transport.abort()
        elif num_refused > 0:
            self._is_refused = True
            self._timer.start(REFUSED_LINGER_S, self.transport.abort)
        else:
            self._follow(Phase.HEADERS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._turn_away()
            return
        if self.transport.is_closing():
            return
        if self._phase[0] in (Phase.IDLE, Phase.HEADERS):
            self._follow(Phase.HEADERS)
            self._num_header_bytes += len(data)
        super().data_received(data)
        self._follow(self._current())
        if self._phase[0] is Phase.HEADERS:
            self._limit_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        phase = self._current()
        self._follow(Phase.IDLE if phase is Phase.HEADERS else phase)
        if self.transport.get_write_buffer_size():
            self._write_timer.start(self.limits.write_timeout_s, self._on_unread)

    def send_400_response(self, msg: str) -> None:
        self._end(raw_reply(400, NO_HTTP, "bad_http"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer.start(self.limits.write_timeout_s, self._on_unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_timer.stop()

    def _current(self) -> Phase:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return Phase.GONE
        if self.cycle is None or self.cycle.response_complete:
            return Phase.HEADERS
        return Phase.BODY if self.cycle.more_body else Phase.ANSWER

    def _follow(self, phase: Phase) -> None:
        """Give a new phase its own deadline; within a phase, time runs on whatever arrives."""
        if self._phase == (phase, self.cycle):
            return
        self._phase = (phase, self.cycle)
        self._timer.stop()
        if phase is Phase.HEADERS:
            self._num_header_bytes = 0
            self._timer.start(self.limits.header_timeout_s, self._on_slow_headers)
        elif phase is Phase.BODY:
            self._timer.start(self.limits.body_timeout_s, self._on_slow_body)
        elif phase is Phase.GONE and self.transport.get_protocol() is not self:
            self._write_timer.stop()

    def _is_draining(self) -> bool:
        """Is this the rest of a body whose request was answered already?"""
        return self.cycle is not None and self.cycle.more_body

    def _limit_headers(self) -> None:
        if self._is_draining():
            if self._num_header_bytes > MAX_DRAIN_BYTES:
                self._end(b"")
        elif self._num_header_bytes > self.limits.max_header_bytes:
            self._end(raw_reply(431, LONG_HEADERS, "headers_too_long"))

    def _on_slow_headers(self) -> None:
        """Say so, unless the client has sent nothing or cannot take it for the answer to a request."""
        is_in_headers = self._num_header_bytes and not self._is_draining()
        self._end(raw_reply(408, SLOW_HEADERS, "slow_headers") if is_in_headers else b"")

    def _on_slow_body(self) -> None:
        if self.flow.read_paused:  # then it is we who do not read
            self._timer.start(self.limits.body_timeout_s, self._on_slow_body)
            return
        is_begun = self.cycle.response_started
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._end(b"" if is_begun else raw_reply(408, SLOW_BODY, "slow_body"))

    def _on_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _turn_away(self) -> None:
        """Answer 503 once; what else comes is thrown away, so that the client reads it."""
        if self._is_answered:
            return
        self._is_answered = True
        self.transport.write(raw_reply(503, TOO_MANY, "too_many_connections"))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _end(self, last_words: bytes) -> None:
        if self.transport.is_closing():
            return
        self._stop()
        if last_words:
            self.transport.write(last_words)
        self.transport.close()
        self._write_timer.start(self.limits.write_timeout_s, self._on_unread)

    def _stop(self) -> None:
        self._timer.stop()
        self._write_timer.stop()


class WebSocketGuard(_Uvicorn):
    """One socket, from its handshake on."""

    limits: TransportLimits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write_timer = Timer()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._write_timer.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer.start(self.limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_timer.stop()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._write_timer.start(self.limits.write_timeout_s, self.transport.abort)
