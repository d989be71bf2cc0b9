"""What the operator decides about the HTTP server: limits, names, origins, who must show a token."""

from __future__ import annotations

from pathlib import Path

import msgspec

from paceline.core.errors import ConfigError


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

    def __post_init__(self) -> None:
        if self.max_body_bytes < 1:
            raise ConfigError("max_body_bytes must be at least 1.")
        if "*" in self.allowed_origins:
            raise ConfigError("allowed_origins must name each origin; `*` would let any page ask.")
