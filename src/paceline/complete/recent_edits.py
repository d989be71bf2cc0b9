"""What the user changed lately, in whole lines: keys that follow each other on the same lines are one edit."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec

MAX_EDITS = 32
"""The brain looks at the newest few; what is older does not repeat itself."""
MAX_EDIT_CHARS = 4_000
"""A larger change is a paste, a format or a branch switch: not what somebody is doing by hand."""
MAX_PAUSE_MS = 30_000.0
"""Keys that are further apart are two edits, even on one line."""


class LineChange(NamedTuple):
    """What one edit did, in whole lines, without line ends that both sides have."""

    first_line: int
    before: tuple[str, ...]
    after: tuple[str, ...]


class Edit(NamedTuple):
    """One change of one document."""

    document_id: str
    line: int
    before: str
    after: str
    at_ms: float


class _Running(msgspec.Struct):
    """The newest edit, which may go on."""

    document_id: str
    line: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    at_ms: float


class RecentEdits:
    """The newest edits of all documents of one editor."""

    def __init__(self) -> None:
        self._edits: deque[_Running] = deque(maxlen=MAX_EDITS)
        self._is_running = False
        """May the newest edit go on?"""

    def add(self, document_id: str, change: LineChange, at_ms: float) -> None:
        """Remember `change`, together with the newest edit where it goes on with that."""
        joined = self._joined(document_id, change, at_ms)
        if joined is not None and _num_chars(joined.before, joined.after) <= MAX_EDIT_CHARS:
            self._edits[-1] = joined
        elif _num_chars(change.before, change.after) <= MAX_EDIT_CHARS:
            self._edits.append(
                _Running(document_id, change.first_line, change.before, change.after, at_ms)
            )
            self._is_running = True
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """Something changed that is not remembered: the newest edit is over, as its lines may be others now."""
        self._is_running = False

    def forget(self, document_id: str) -> None:
        """Nothing of this document is kept."""
        kept = [edit for edit in self._edits if edit.document_id != document_id]
        self._edits.clear()
        self._edits.extend(kept)
        self.interrupt()

    def newest_first(self) -> list[Edit]:
        """Every edit that changed something."""
        return [
            Edit(edit.document_id, edit.line, "".join(edit.before), "".join(edit.after), edit.at_ms)
            for edit in reversed(self._edits)
            if edit.before != edit.after
        ]

    def _joined(self, document_id: str, change: LineChange, at_ms: float) -> _Running | None:
        """The newest edit with `change` in it; None if that is another one."""
        if not (self._is_running and self._edits):
            return None
        running = self._edits[-1]
        if running.document_id != document_id or at_ms - running.at_ms > MAX_PAUSE_MS:
            return None
        return _join(running, change, at_ms)


def _join(running: _Running, change: LineChange, at_ms: float) -> _Running | None:
    """Both as one edit; None if they do not touch the same lines.

    Lines that only the newer one touched were the same before the older one.
    """
    start, end = running.line, running.line + len(running.after)
    new_start, new_end = change.first_line, change.first_line + len(change.before)
    if new_start >= max(end, start + 1) or new_end <= start:
        return None
    above = change.before[: max(start - new_start, 0)]
    below = change.before[len(change.before) - max(new_end - end, 0) :] if new_end > end else ()
    kept_above = running.after[: max(new_start - start, 0)]
    kept_below = running.after[len(running.after) - (end - new_end) :] if end > new_end else ()
    return _Running(
        running.document_id,
        min(start, new_start),
        (*above, *running.before, *below),
        (*kept_above, *change.after, *kept_below),
        at_ms,
    )


def _num_chars(*sides: tuple[str, ...]) -> int:
    return sum(len(line) for side in sides for line in side)
