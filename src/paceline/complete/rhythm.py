"""How fast this user types, from the times of the keystrokes of a document. No text is kept."""

from __future__ import annotations

import math
from collections import deque

import msgspec

PAUSE_MS = 1_000.0
"""A longer gap is thinking, not typing. Transcription typists average 239 ms (Dhakal et al. 2018, CHI)."""
MAX_GAPS = 32
"""Gaps that make up the rhythm: a line or two of code, so that it follows the user's day."""
MIN_GAPS = 4
"""Fewer say nothing yet."""
MAX_KEYSTROKE_CHARS = 32
"""One change that inserts or deletes more is a paste, an accepted completion or a cut. A line break
with the editor's own indentation is shorter."""
HIGH_SHARE = 0.8


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The rhythm at one moment."""

    median_gap_ms: float | None = None
    """Between the latest keystrokes, without pauses; None until there are a few."""
    high_gap_ms: float | None = None
    """The 80th percentile of the same."""
    last_gap_ms: float | None = None
    """Since the keystroke before; None at the first."""
    num_recent: int = 0
    """Keystrokes without a pause between them up to now, this one included."""
    is_deleting: bool = False
    """Did the last change only take text away?"""


class Rhythm:
    """Of one document in one editor."""

    def __init__(self) -> None:
        self._gaps_ms: deque[float] = deque(maxlen=MAX_GAPS)
        self._last_ms: float | None = None
        self._num_recent = 0

    def press(self, at_ms: float, *, num_inserted: int, num_deleted: int) -> Pace:
        """Record a change at `at_ms`, on a clock that only moves forward, and return the pace now.

        A call without any change (a cursor moved, the user asked by hand) is no keystroke: it is told how
        long ago the last one was, and leaves the rhythm as it is. A clock that jumps back, or gives no
        finite time, starts a new gap.
        """
        gap_ms = self._gap_ms(at_ms)
        is_paused = gap_ms is None or gap_ms > PAUSE_MS
        if not (num_inserted or num_deleted) and self._last_ms is not None:
            return self._pace(gap_ms, num_recent=0 if is_paused else self._num_recent)
        if not is_paused and max(num_inserted, num_deleted) <= MAX_KEYSTROKE_CHARS:
            self._gaps_ms.append(gap_ms or 0.0)
        self._num_recent = 1 if is_paused else self._num_recent + 1
        self._last_ms = at_ms if math.isfinite(at_ms) else None
        is_deleting = num_deleted > 0 and num_inserted == 0
        return self._pace(gap_ms, num_recent=self._num_recent, is_deleting=is_deleting)

    def _pace(self, gap_ms: float | None, *, num_recent: int, is_deleting: bool = False) -> Pace:
        gaps = sorted(self._gaps_ms) if len(self._gaps_ms) >= MIN_GAPS else []
        return Pace(
            median_gap_ms=_quantile(gaps, 0.5),
            high_gap_ms=_quantile(gaps, HIGH_SHARE),
            last_gap_ms=gap_ms,
            num_recent=num_recent,
            is_deleting=is_deleting,
        )

    def _gap_ms(self, at_ms: float) -> float | None:
        gap_ms = math.nan if self._last_ms is None else at_ms - self._last_ms
        return gap_ms if 0 <= gap_ms < math.inf else None


def _quantile(ordered: list[float], share: float) -> float | None:
    """By linear interpolation; None of nothing."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
