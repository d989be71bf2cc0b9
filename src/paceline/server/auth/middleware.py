"""Ask who calls, before any route: 401 without a valid token, 403 without the scope, 429 over a quota.

Plain ASGI, for HTTP and WebSockets. Where no token is demanded (loopback), everybody is the same anonymous
caller, unless a valid token is shown. A token of our form that is wrong is refused there too: whoever shows
one means it. Placeholders of other forms, which many clients insist on sending, count as none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.core.errors import ForbiddenError, PacelineError, QuotaError, UnauthorizedError
from paceline.server.auth import rules
from paceline.server.auth.authority import Authority
from paceline.server.auth.credentials import is_of_our_form, shown_token
from paceline.server.caller import ANONYMOUS, Caller, Meter
from paceline.server.errors import response_for
from paceline.server.middleware import is_loopback, refuse

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Never believed. But a request that has one comes from elsewhere, though its connection is from here."""

NO_TOKEN = (
    "Show a token: the header Authorization: Bearer TOKEN; `paceline token create` makes one."
)
SOCKET_RETRY_MS = 1000
REALM = 'realm="Paceline"'


class _Refusing:
    """The meter of a caller that is not known yet."""

    def begin(self) -> NoReturn:
        raise UnauthorizedError(NO_TOKEN)

    def end(self, num_tokens: int) -> None:
        """Nothing began."""


UNKNOWN = Caller(scopes=frozenset(), meter=_Refusing())
"""Until a route has read the token in its body."""


class TokenCheck:
    """Sets `scope["state"]["caller"]`, and counts requests against the caller's quotas."""

    def __init__(self, app: ASGIApp, *, authority: Authority | None, max_sockets: int) -> None:
        self.app, self._authority, self._max_sockets = app, authority, max_sockets
        self._num_sockets: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer the refusal."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        meters: list[Meter] = []
        try:
            caller = self._caller_of(scope, meters)
            state["caller"] = caller
            if caller is not UNKNOWN:
                self.begin(caller, scope, meters)
        except PacelineError as error:
            await self._refuse(error, scope, receive, send)
            return
        is_socket = scope["type"] == "websocket" and caller.token_id != ""
        self._num_sockets[caller.token_id] += is_socket
        try:
            await self.app(scope, receive, send)
        finally:
            self._num_sockets[caller.token_id] -= is_socket
            for meter in meters:
                meter.end(used_tokens(state))

    def _caller_of(self, scope: Scope, meters: list[Meter]) -> Caller:
        token = shown_token(Headers(scope=scope))
        if token is None and scope["path"].startswith(rules.TOKEN_IN_BODY):
            scope["state"]["identify"] = _Identify(self, scope, meters)
            return UNKNOWN
        return self.caller_for(token, scope)

    def caller_for(self, token: str | None, scope: Scope) -> Caller:
        """Who shows `token` on this connection, and may use its path. Raises as `identify`."""
        needed = rules.scope_of(scope["path"])
        is_required = needed is not None and self._must_show(scope)
        if token is None or not (is_required or is_of_our_form(token)):
            if is_required:
                raise UnauthorizedError(NO_TOKEN)
            return ANONYMOUS
        if needed is None:
            return ANONYMOUS
        if self._authority is None:
            raise UnauthorizedError("This server has no tokens; `paceline token create` makes one.")
        caller = self._authority.authenticate(token)
        if needed not in caller.scopes:
            raise ForbiddenError(
                f"The token's scopes are {', '.join(sorted(caller.scopes))}; this needs {needed}."
            )
        if needed == "admin":
            self._note("admin_request", caller.token_id, scope)
        return caller

    def begin(self, caller: Caller, scope: Scope, meters: list[Meter]) -> None:
        """Count a request, if it is one that counts; `meters` are told when it is over. Raises QuotaError."""
        if scope["type"] == "websocket":
            if caller.token_id and self._num_sockets[caller.token_id] >= self._max_sockets:
                raise QuotaError(
                    f"This token may hold {self._max_sockets} WebSockets open; close some.",
                    retry_after_ms=SOCKET_RETRY_MS,
                )
        elif rules.is_metered(scope["method"], scope["path"]):
            caller.meter.begin()
            meters.append(caller.meter)

    def _must_show(self, scope: Scope) -> bool:
        """Is a token demanded here? Always, unless the request stays on this machine."""
        headers = Headers(scope=scope)
        return (
            scope["app"].state.is_token_required
            or not is_loopback(str((scope.get("server") or ("",))[0]))
            or not is_loopback(host_name(headers.get("host", "")))
            or any(name in headers for name in PROXY_HEADERS)
        )

    async def _refuse(
        self, error: PacelineError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if isinstance(error, (UnauthorizedError, ForbiddenError)):
            kind = "unauthorized" if isinstance(error, UnauthorizedError) else "forbidden"
            self._note(kind, str(error), scope)
        response = response_for(error)
        if isinstance(error, UnauthorizedError):
            is_page = rules.is_page(scope.get("method", ""), scope["path"])
            response.headers["WWW-Authenticate"] = f"{'Basic' if is_page else 'Bearer'} {REALM}"
        await refuse(response, scope, receive, send)

    def _note(self, action: str, kind: str, scope: Scope) -> None:
        """For the audit log: from where, and which part of the server; no query, nothing that was sent."""
        if self._authority is None:
            return
        client = (scope.get("client") or ("",))[0]
        place = next(
            (folder for folder, _ in rules.SCOPES if rules.is_under(scope["path"], folder)), ""
        )
        self._authority.audit.note(action, kind, client=str(client), place=place or "other")

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's own life: usage is flushed as long as it lasts, and once more at its end."""
        authority = self._authority
        if authority is None:
            await self.app(scope, receive, send)
            return

        async def flush_last(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await authority.flush()
            await send(message)

        flushing = asyncio.create_task(authority.flush_forever())
        try:
            await self.app(scope, receive, flush_last)
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing


class _Identify:
    """What `caller.identify` calls, for one request. Once it knows the caller, it stays."""

    def __init__(self, check: TokenCheck, scope: Scope, meters: list[Meter]) -> None:
        self._check, self._scope, self._meters = check, scope, meters

    def __call__(self, token: str) -> Caller:
        """Who shows `token`; raises as `caller.identify`."""
        known = self._scope["state"]["caller"]
        if known is not UNKNOWN:
            return known
        caller = self._check.caller_for(token.strip() or None, self._scope)
        self._check.begin(caller, self._scope, self._meters)
        self._scope["state"]["caller"] = caller
        return caller


def used_tokens(state: Mapping[str, Any]) -> int:
    """What `note_usage` said of a request, prompt and answer together."""
    return int(state.get("num_prompt_tokens") or 0) + int(state.get("num_tokens") or 0)


def host_name(host: str) -> str:
    """The name in a Host header, without port; empty if there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
