"""Real time plus time that was only said to pass: waits that nobody sat through, work that was remembered."""

from __future__ import annotations

import time
from collections.abc import Callable


class ReplayClock:
    """The clock of a replayed service. Its differences are latencies as the user would have felt them."""

    def __init__(self, real_ms: Callable[[], float] | None = None) -> None:
        """
        Args:
            real_ms: what time really passes by; None is this machine's clock.
        """
        self._real_ms = real_ms or _machine_ms
        self._skipped_ms = 0.0

    def now_ms(self) -> float:
        """Milliseconds since an arbitrary start."""
        return self._real_ms() + self._skipped_ms

    def skip(self, ms: float) -> None:
        """Say that `ms` passed; negative takes back what passed and should not count."""
        self._skipped_ms += ms

    async def sleep(self, seconds: float) -> None:
        """Pass the time without waiting."""
        self.skip(seconds * 1000)


def _machine_ms() -> float:
    return time.perf_counter() * 1000
