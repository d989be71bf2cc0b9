"""What the operator decides about the HTTP server: limits, names, origins, who must show a token."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from paceline.core.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9._-]+")


class TransportLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one connection may take of the server's time and memory before a route sees a request."""

    max_connections: int = 2_000
    """HTTP and WebSockets together; one more is told 503. An editor holds one or two."""
    max_sockets_per_token: int = 200
    """WebSockets that one token may hold open; one more is told 429, so that nobody takes all connections."""
    header_timeout_s: float = 10.0
    """From a request's first byte (or the connection) to the end of its headers; then 408."""
    body_timeout_s: float = 30.0
    """From there to the end of its body; then 408. 20 MB need 5 Mbit/s."""
    write_timeout_s: float = 30.0
    """A client that does not read what waits for it is cut off."""
    max_header_bytes: int = 64 * 1024
    """More is 431. Browsers send 1 to 8 kB."""
    max_message_bytes: int = 8_000_000
    """Of one WebSocket message; a longer one closes the socket (1009)."""
    ping_interval_s: float = 20.0
    """A WebSocket is asked this often whether its client is still there,"""
    ping_timeout_s: float = 20.0
    """and closed (1011) if that says nothing for so long."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0.")


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits and doors of the HTTP server."""

    max_body_bytes: int = 20_000_000
    """A larger body is refused; no editor needs to send it, and it would only be cut."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides those of loopback, under which clients may call this server (the Host header)."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins (`https://editor.example`) whose pages may call this server; `*` is refused."""
    is_token_required: bool = False
    """Must every request but /health show a token? Always so where the address is not loopback."""
    state_folder: Path | None = None
    """Where tokens, the audit log and events are kept; None keeps events in memory only."""
    limits: TransportLimits = TransportLimits()

    def __post_init__(self) -> None:
        if self.max_body_bytes < 1:
            raise ConfigError("max_body_bytes must be at least 1.")
        for host in self.allowed_hosts:
            if not (_HOST.fullmatch(host) or _is_address(host)):
                raise ConfigError(
                    f"{host!r} is no host name; give a name or an address, without scheme and port."
                )
        if "*" in self.allowed_origins:
            raise ConfigError("allowed_origins must name each origin; `*` would let any page ask.")
        for origin in self.allowed_origins:
            if not _is_origin(origin):
                raise ConfigError(
                    f"{origin!r} is no web origin; write it as the browser does: "
                    "https://editor.example, with the port if it is not the usual one."
                )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    is_bare = text == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc
    is_short = port is None or port != usual
    return bool(is_bare and parts.hostname and text == text.lower() and is_short)
