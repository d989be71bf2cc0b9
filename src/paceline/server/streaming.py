"""Server-sent events, and work that ends when its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from enum import Enum, auto
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from paceline.server.errors import ClientGoneError, stopping_response

T = TypeVar("T")

FAREWELL_S = 0.5
"""A client that does not read gets this long to see that the server stops."""


async def run_while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancel it when the client disconnects. The body must be read.

    Raises:
        ClientGoneError: the client left first; `work` has ended by then.
    """
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Sent(Enum):
    """How much of a response has been sent, in this order."""

    NOTHING = auto()
    START = auto()
    ALL = auto()


class SseResponse(Response):
    """Send each string of `events` as one server-sent event, then `end`; stop when the client leaves.

    If the server stops first, an event with the error comes before `end`. `close` runs at the end in
    every case, even if the client left before the first event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[str, None],
        close: Callable[[], Awaitable[None]] | None = None,
        *,
        end: str | None = None,
    ) -> None:
        self.events, self.close, self.end = events, close, end
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._sent = _Sent.NOTHING

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the events or the connection end."""
        try:
            await run_while_connected(receive, self._send_all(send))
        except ClientGoneError:
            pass
        except asyncio.CancelledError:
            if self._sent is _Sent.NOTHING:
                raise
            if self._sent is _Sent.START:
                await self._send_farewell(send)
        finally:
            await self.events.aclose()
            if self.close is not None:
                await self.close()

    async def _send_all(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        self._sent = _Sent.START
        async for event in self.events:
            await _send_event(send, event)
        await self._send_end(send)

    async def _send_farewell(self, send: Send) -> None:
        """The last words of a stream that the server's end cuts off."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await _send_event(send, bytes(stopping_response().body).decode())
                await self._send_end(send)
        except TimeoutError:
            pass

    async def _send_end(self, send: Send) -> None:
        if self.end is not None:
            await _send_event(send, self.end)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._sent = _Sent.ALL


async def _send_event(send: Send, event: str) -> None:
    body = f"data: {event}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
