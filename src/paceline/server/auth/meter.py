"""Quotas of a token while the server runs: requests a minute, requests at once, tokens a month.

Called from the event loop only. Usage is kept in memory and written by `Authority`, so a crash forgets the
last seconds of it; the limits themselves are never forgotten.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from paceline.core.errors import QuotaError
from paceline.server.auth.tokens import Quotas

BUSY_RETRY_MS = 250
"""When to ask again, if only the running requests are too many."""


def month_of(wall_s: float) -> str:
    """The calendar month in UTC, as `2026-11`."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m")


def ms_to_next_month(wall_s: float) -> int:
    """Until that month is over, rounded up."""
    now = datetime.fromtimestamp(wall_s, UTC)
    year, month = now.year + now.month // 12, now.month % 12 + 1
    return math.ceil((datetime(year, month, 1, tzinfo=UTC).timestamp() - wall_s) * 1000)


class Ledger:
    """Tokens used this month by token id: what the file said, and what is not yet in it."""

    def __init__(self, wall_s: Callable[[], float]) -> None:
        self._wall_s = wall_s
        self._month, self._known = "", dict[str, int]()
        self._pending: Counter[tuple[str, str]] = Counter()

    def used(self, token_id: str) -> int:
        """This month's usage, written or not."""
        month = month_of(self._wall_s())
        known = self._known.get(token_id, 0) if month == self._month else 0
        return known + self._pending[token_id, month]

    def add(self, token_id: str, num_tokens: int) -> None:
        """Count `num_tokens` for the month that it is now."""
        if num_tokens > 0:
            self._pending[token_id, month_of(self._wall_s())] += num_tokens

    def pending(self) -> dict[tuple[str, str], int]:
        """What is to be written, by (token id, month); it stays until `settle`."""
        return {key: num_tokens for key, num_tokens in self._pending.items() if num_tokens}

    def settle(self, written: Mapping[tuple[str, str], int]) -> None:
        """`written` is in the file now, so it is pending no more; `learn` follows."""
        self._pending.subtract(written)
        for key in [key for key, num_tokens in self._pending.items() if not num_tokens]:
            del self._pending[key]

    def learn(self, month: str, usage: Mapping[str, int]) -> None:
        """Take over what the file says of `month`, other processes' usage included."""
        self._month, self._known = month, dict(usage)


ROUNDING = 1e-6
"""Of one request. Sums of times are not exact."""


class TokenMeter:
    """The quotas of one token; a `Meter`. They may change while requests run."""

    def __init__(
        self,
        token_id: str,
        quotas: Quotas,
        ledger: Ledger,
        *,
        check: Callable[[str], object] = lambda token_id: None,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`check` raises when the token is not valid any more: a WebSocket may outlive its token."""
        self.token_id, self.quotas = token_id, quotas
        self.num_running = 0
        self._check, self._ledger, self._wall_s, self._monotonic_s = (
            check,
            ledger,
            wall_s,
            monotonic_s,
        )
        self._allowance = float(quotas.requests_per_minute or 0)
        self._at_s = monotonic_s()

    def begin(self) -> None:
        """Count one more running request; a refused one counts nowhere.

        Raises:
            QuotaError: a quota is used up.
            UnauthorizedError: the token has been revoked, or has expired, since it was shown.
        """
        self._check(self.token_id)
        quotas = self.quotas
        if quotas.max_concurrent is not None and self.num_running >= quotas.max_concurrent:
            raise QuotaError(
                f"This token may run {quotas.max_concurrent} requests at once; wait for one to end.",
                retry_after_ms=BUSY_RETRY_MS,
            )
        limit = quotas.tokens_per_month
        if limit is not None and self._ledger.used(self.token_id) >= limit:
            raise QuotaError(
                f"This token's {limit} tokens of the month are used up; ask for a larger quota, or "
                "wait for the next month (UTC).",
                retry_after_ms=ms_to_next_month(self._wall_s()),
            )
        if quotas.requests_per_minute is not None:
            self._take_one_of(quotas.requests_per_minute)
        self.num_running += 1

    def end(self, num_tokens: int) -> None:
        """That request is over and used so many tokens."""
        assert self.num_running > 0, f"{self.token_id} ended more requests than it began"
        self.num_running -= 1
        self._ledger.add(self.token_id, num_tokens)

    def _take_one_of(self, per_minute: int) -> None:
        """A bucket that holds one minute's requests and refills evenly."""
        now_s = self._monotonic_s()
        refilled = (now_s - self._at_s) * per_minute / 60
        self._allowance = min(per_minute, self._allowance + refilled)
        self._at_s = now_s
        # Rounding, else a clock's last digit breaks what Retry-After promised.
        if self._allowance < 1 - ROUNDING:
            wait_s = (1 - self._allowance) * 60 / per_minute
            raise QuotaError(
                f"This token may ask {per_minute} times a minute; ask less often.",
                retry_after_ms=math.ceil(wait_s * 1000),
            )
        self._allowance = max(0.0, self._allowance - 1)
