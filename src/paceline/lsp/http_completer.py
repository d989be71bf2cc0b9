"""Completions from a running server, over HTTP with kept connections.

A request that is cancelled closes its connection at once, by which the server ends the work. While the server
cannot be reached, keys are answered at once with the same error, and now and then one of them tries again.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import httpx
import msgspec

from paceline.artifacts.events import Event, EventBatch
from paceline.complete.wire import WireCompletion, WireRequest
from paceline.core.errors import (
    ConfigError,
    ForbiddenError,
    InputError,
    OverloadedError,
    PacelineError,
    QuotaError,
    UnauthorizedError,
    UpstreamError,
)
from paceline.lsp.event_queue import FIRST_DELAY_S, EventQueue

PAUSE_S = 1.0
"""After a failure, keys are not sent for so long: a refused connection costs nothing, a lost one a time-out."""
TIMEOUT = httpx.Timeout(30.0, connect=3.0, pool=3.0)
LIMITS = httpx.Limits(max_connections=32, keepalive_expiry=60.0)
MAX_MESSAGE_CHARS = 300
MAX_PAUSE_S = 60.0


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error


class HttpCompleter(AbstractAsyncContextManager["HttpCompleter"]):
    """A Completer. Leaving its context sends the last events and closes the connections.

    Args:
        url: `http://host:port` of the server.
        token: sent as `Authorization: Bearer`; empty for servers that need none.
        transport: replaces the network, in tests.
        report: is told of events that were lost.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        report: Callable[[str], None] = lambda message: None,
        now_s: Callable[[], float] = time.monotonic,
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        base = server_url(url)
        self.is_local = is_loopback(base.host)
        self.address = f"{base.scheme}://{base.netloc.decode()}"
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.AsyncClient(
            base_url=base,
            headers=headers,
            timeout=TIMEOUT,
            limits=LIMITS,
            trust_env=not self.is_local,
            transport=transport,
        )
        self._now_s = now_s
        self._failure: PacelineError | None = None
        self._paused_until_s = 0.0
        self._events = EventQueue(self._send_events, report=report, first_delay_s=first_delay_s)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._events.close()
        await self._client.aclose()

    async def complete(self, request: WireRequest) -> WireCompletion:
        """As Completer.complete.

        Raises:
            UpstreamError: no server, or none that speaks this protocol.
            UnauthorizedError, ForbiddenError, QuotaError, InputError: the server refuses.
        """
        is_paused = self._now_s() < self._paused_until_s
        if self._failure is not None and is_paused and request.trigger == "automatic":
            raise self._failure.with_traceback(None)  # else it would hold each of these requests
        try:
            content = await self._post("/v1/complete", msgspec.json.encode(request))
            reply = msgspec.json.decode(content, type=WireCompletion)
        except msgspec.MsgspecError as error:
            raise self._foreign() from error
        except (UpstreamError, OverloadedError) as error:
            wait_s = error.retry_after_s if isinstance(error, OverloadedError) else PAUSE_S
            self._failure = error
            self._paused_until_s = self._now_s() + min(wait_s, MAX_PAUSE_S)
            raise
        self._failure = None
        return reply

    def record(self, event: Event) -> None:
        """As Completer.record."""
        self._events.put(event)

    async def flush(self) -> None:
        """As Completer.flush."""
        await self._events.flush()

    async def _send_events(self, events: Sequence[Event]) -> None:
        await self._post("/v1/events", msgspec.json.encode(EventBatch(events=list(events))))

    async def _post(self, path: str, body: bytes) -> bytes:
        try:
            response = await self._try_twice(path, body)
        except httpx.TimeoutException as error:
            raise UpstreamError(f"The server at {self.address} does not answer.") from error
        except httpx.HTTPError as error:
            raise UpstreamError(
                f"No Paceline server answers at {self.address}; start one with `paceline serve`, or name "
                "its address with --server."
            ) from error
        if response.is_success:
            return response.content
        raise self._refusal(response)

    async def _try_twice(self, path: str, body: bytes) -> httpx.Response:
        """A kept connection may turn out to be closed only when it is used; both requests can be sent again."""
        try:
            return await self._client.post(path, content=body)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await self._client.post(path, content=body)

    def _refusal(self, response: httpx.Response) -> PacelineError:
        try:
            message = msgspec.json.decode(response.content, type=_ErrorBody).error.message
        except (msgspec.MsgspecError, UnicodeDecodeError):
            message = ""
        status = response.status_code
        if not message and status in (404, 405):
            return self._foreign()
        message = message[:MAX_MESSAGE_CHARS] or f"{self.address} answers with status {status}."
        if status == 429:
            seconds = response.headers.get("retry-after", "")
            retry_after_ms = 1000 * min(int(seconds), 3600) if seconds.isdecimal() else 1000
            return QuotaError(message, retry_after_ms=retry_after_ms)
        if status >= 500:
            return UpstreamError(message)
        return {401: UnauthorizedError, 403: ForbiddenError}.get(status, InputError)(message)

    def _foreign(self) -> UpstreamError:
        return UpstreamError(
            f"{self.address} answers, but not as a Paceline server of this version does; name another "
            "address with --server."
        )


def server_url(text: str) -> httpx.URL:
    """The address of a server, without what comes after host and port but for a path.

    Raises:
        ConfigError: it is none, or holds a password.
    """
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ConfigError("--server is not an address such as http://127.0.0.1:8012.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("--server is not an address such as http://127.0.0.1:8012.")
    if url.userinfo:
        raise ConfigError("--server holds a user name; give the token in PACELINE_TOKEN.")
    return url.copy_with(query=None, fragment=None)


def is_loopback(host: str) -> bool:
    """Is `host` this machine's own address?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
