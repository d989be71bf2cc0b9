"""Tokens and clocks for tests of access."""

from __future__ import annotations

from pathlib import Path

from paceline.server.auth.audit import AuditLog
from paceline.server.auth.authority import Authority
from paceline.server.auth.tokens import TokenStore

NOVEMBER_S = 1_795_564_800.0
"""2026-11-25, midnight UTC."""
DAY_S = 86_400.0


class Clocks:
    """The time of day and the monotonic time; they move only when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall_s(self) -> float:
        return NOVEMBER_S + self.seconds

    def monotonic_s(self) -> float:
        return self.seconds


def authority_of(folder: Path, clocks: Clocks | None = None) -> Authority:
    """The tokens of a folder, as a server that starts now has them."""
    clocks = clocks or Clocks()
    return Authority(
        TokenStore(folder, wall_s=clocks.wall_s),
        AuditLog(folder, wall_s=clocks.wall_s),
        wall_s=clocks.wall_s,
        monotonic_s=clocks.monotonic_s,
    )


def bearer(token: str) -> dict[str, str]:
    """The header of most clients."""
    return {"Authorization": f"Bearer {token}"}
