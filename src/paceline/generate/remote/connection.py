"""Posts to the upstream server and hands on the bytes of its answer. Closing an answer closes its connection,
which is how the upstream learns that nobody waits any more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import httpx
import msgspec

from paceline.core.errors import UpstreamError
from paceline.generate.remote.address import Address
from paceline.generate.remote.errors import error_of
from paceline.generate.remote.types import Call

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 120.0
"""Between two pieces of text in an answer, whatever else comes. A cold server loads its model, and reads a long prompt, before the first."""
WRITE_TIMEOUT_S = 30.0
MAX_ERROR_BYTES = 65_536
KEEP_ALIVE_S = 30.0
"""Servers close idle connections after 5 s (uvicorn) or more; a race costs one retry."""

_BROKEN = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


def headers_of(token: str) -> dict[str, str]:
    """What every request carries."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "paceline"}
    return headers | {"Authorization": f"Bearer {token}"} if token else headers


def silent() -> UpstreamError:
    """The server took the request and says nothing more that has a meaning."""
    return UpstreamError(
        f"The upstream server sent nothing for {READ_TIMEOUT_S:.0f} s; check what it does."
    )


def unreachable(error: httpx.HTTPError) -> UpstreamError:
    """The server cannot be asked at all."""
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError(
            "The upstream server did not answer in time; check that it runs and is not overloaded."
        )
    reason = "refused the connection" if _is_refused(error) else "cannot be reached"
    return UpstreamError(f"The upstream server {reason}; check that it runs.")


def _is_refused(error: BaseException | None) -> bool:
    """Does a host answer, but nothing listen there? A name may have several addresses."""
    if error is None:
        return False
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return any(map(_is_refused, group.exceptions))
    return isinstance(error, ConnectionRefusedError) or _is_refused(
        error.__cause__ or error.__context__
    )


class Connection:
    """Connections to one server, kept open between requests. Belongs to one asyncio loop."""

    def __init__(self, address: Address, *, token: str = "", max_connections: int = 16) -> None:
        self._address, self._token, self._max_connections = address, token, max_connections
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close all connections. The next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def open(self, call: Call, *, prompt: str) -> AsyncGenerator[httpx.Response]:
        """Post `call` and yield the answer, whose body is still to come; leaving the block closes it.

        Args:
            prompt: what no error message may repeat.

        Raises:
            UpstreamRefusedError, UpstreamBusyError, UpstreamError: there is no answer.
        """
        response = await self._send(call)
        try:
            if response.status_code != 200:
                body = await _read_some(response)
                raise error_of(response.status_code, response.headers, body, prompt=prompt)
            yield response
        except httpx.TimeoutException as cause:
            raise silent() from cause
        except httpx.HTTPError as cause:
            raise UpstreamError(
                "The upstream server closed the connection before its answer was complete."
            ) from cause
        finally:
            await response.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        """Ask again once if the connection breaks before any answer: an idle one may just have been closed."""
        client = self._client = self._client or self._new_client()
        content = msgspec.json.encode(call.body)
        url = self._address.origin + call.path
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream, */*"}
        for is_last in (False, True):
            request = client.build_request("POST", url, content=content, headers=headers)
            try:
                return await client.send(request, stream=True)
            except _BROKEN as error:
                if is_last:
                    raise unreachable(error) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                broken = error if isinstance(error, httpx.HTTPError) else httpx.HTTPError("")
                raise unreachable(broken) from error
        raise AssertionError("the last attempt returns or raises")

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=headers_of(self._token),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S),
            limits=httpx.Limits(
                max_connections=None,  # lanes.py limits the requests
                max_keepalive_connections=self._max_connections,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            trust_env=not self._address.is_local,
        )


async def _read_some(response: httpx.Response) -> bytes:
    """The body of a failure, as far as it is worth reading."""
    body = bytearray()
    async for raw in response.aiter_bytes():
        body += raw
        if len(body) >= MAX_ERROR_BYTES:
            break
    return bytes(body)
