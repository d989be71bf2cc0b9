"""The doors of the server, in the order in which a request meets them: `install_doors`.

Host       a web page may point its own name at 127.0.0.1 (DNS rebinding); its requests still carry that name
Origin     a web page may post to 127.0.0.1 blindly; browsers say from which origin
CORS       pages of the origins that the operator named may read the answers; nobody else's
token      auth/middleware.py
size       middleware.BodyLimit

What proxies say (X-Forwarded-*) opens no door.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.server.auth.authority import Authority
from paceline.server.auth.middleware import TokenCheck, host_name
from paceline.server.config import ServerConfig
from paceline.server.errors import error_response
from paceline.server.middleware import BodyLimit, Farewell, RequestLog, is_loopback, refuse

USUAL_PORTS = {"http": 80, "https": 443}
PREFLIGHT_S = 600
"""Browsers may remember for so long what they may ask."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""For replies that do not say otherwise; the pages have their own policy. No Strict-Transport-Security: on
localhost it would bind every other server of the machine; a proxy with a name of its own may add it."""


def install_doors(app: FastAPI, config: ServerConfig, authority: Authority | None) -> None:
    """Put every check before the routes of `app`. `serve` finds here what it has to know, too.

    Args:
        authority: knows the tokens; None where there are none, so that only loopback is served.
    """
    app.state.server_config, app.state.authority = config, authority
    app.state.is_token_required = config.is_token_required
    # The last one added sees the request first.
    app.add_middleware(BodyLimit, max_bytes=config.max_body_bytes)
    max_sockets = config.limits.max_sockets_per_token
    app.add_middleware(TokenCheck, authority=authority, max_sockets=max_sockets)
    if config.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
            max_age=PREFLIGHT_S,
        )
    app.add_middleware(OriginCheck, allowed_origins=config.allowed_origins)
    app.add_middleware(HostCheck, allowed_hosts=config.allowed_hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Farewell)
    app.add_middleware(RequestLog)


class HostCheck:
    """Refuse requests under a name that is not ours.

    Ours are loopback, the names of `allowed_hosts`, and the address that the connection was made to: a page
    whose name was rebound still sends the name, never the address.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: tuple[str, ...]) -> None:
        self.app = app
        self._allowed = frozenset(map(_bare, allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 to foreign names."""
        if scope["type"] in ("http", "websocket") and not self._is_ours(scope):
            message = (
                "The Host header must be localhost, 127.0.0.1 or a name given with --allow-host."
            )
            refusal = error_response(400, message, code="foreign_host")
            await refuse(refusal, scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1:
            return False
        host = host_name(hosts[0])
        return is_loopback(host) or _bare(host) in self._allowed or _is_own_address(host, scope)


class OriginCheck:
    """Refuse what pages of other origins send: they could not read the answer, but would make us work."""

    def __init__(self, app: ASGIApp, *, allowed_origins: tuple[str, ...]) -> None:
        self.app = app
        self._allowed = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to foreign origins; programs other than browsers send none."""
        if scope["type"] in ("http", "websocket") and not self._is_welcome(scope):
            message = (
                "Pages of this origin may not call; the operator can name it with --cors-origin."
            )
            refusal = error_response(403, message, code="foreign_origin")
            await refuse(refusal, scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_welcome(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        if not origins:
            return True
        if len(origins) > 1:
            return False
        return origins[0] in self._allowed or is_same_place(origins[0], headers.get("host", ""))


class SecurityHeaders:
    """Add SECURITY_HEADERS to each reply that does not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; complete the headers on the way back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, complete)


def is_same_place(origin: str, host: str) -> bool:
    """Do an Origin and a Host header name the same host and port?

    The scheme is the page's: behind a proxy that ends TLS we see http where the page says https.
    """
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = USUAL_PORTS[page.scheme]
        ports = (page.port or usual, here.port or usual)
    except (ValueError, KeyError):
        return False
    return bool(page.hostname) and page.hostname == here.hostname and ports[0] == ports[1]


def _bare(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


def _is_own_address(host: str, scope: Scope) -> bool:
    """Is `host` the address at this end of the connection, literally?"""
    own = str((scope.get("server") or ("",))[0])
    try:
        mine, theirs = ipaddress.ip_address(own), ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(mine, "ipv4_mapped", None) or mine) == theirs
