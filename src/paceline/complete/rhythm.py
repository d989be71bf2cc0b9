"""How fast this user types, from the times of the keystrokes of a document. No text is kept."""

from __future__ import annotations

import msgspec


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

    def press(self, at_ms: float, *, num_inserted: int, num_deleted: int) -> Pace:
        """Record a change at `at_ms`, on a clock that only moves forward, and return the pace now."""
        raise NotImplementedError
