"""What became of the last completions in a document: accepted, rejected, and where."""

from __future__ import annotations

from collections import deque

import msgspec

BEFORE_CHARS = 48
"""Characters before the cursor by which a place is recognised after lines above have moved."""
MAX_OUTCOMES = 16
"""Of each kind; older ones say little about what the user wants now."""
MAX_REJECTIONS = 64
"""In one document; the oldest gives way."""
MAX_TEXT_CHARS = 2_000
"""A rejected text is remembered up to here."""


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """The last outcomes, as shares; what intent.py and gate.py may know."""

    num_single_line: int = 0
    accepted_single_line: float = 0.0
    """Share of the last shown single-line completions that were taken, whole or in part."""
    num_multi_line: int = 0
    accepted_multi_line: float = 0.0
    num_rejected_in_a_row: int = 0
    """Shown completions since the last accepted one."""


class History:
    """Of one document in one editor; bounded."""

    def __init__(self) -> None:
        self._single_line: deque[bool] = deque(maxlen=MAX_OUTCOMES)
        self._multi_line: deque[bool] = deque(maxlen=MAX_OUTCOMES)
        self._num_rejected_in_a_row = 0
        self._rejections: deque[tuple[str, str]] = deque(maxlen=MAX_REJECTIONS)

    def record(self, *, is_multi_line: bool, is_accepted: bool) -> None:
        """A shown completion met its end."""
        (self._multi_line if is_multi_line else self._single_line).append(is_accepted)
        self._num_rejected_in_a_row = 0 if is_accepted else self._num_rejected_in_a_row + 1

    def reject(self, before: str, text: str) -> None:
        """The user rejected `text`, or deleted it after accepting, where `before` (the last characters of the
        prefix) stands before the cursor."""
        if not text:
            return
        rejection = (before[-BEFORE_CHARS:], text[:MAX_TEXT_CHARS])
        if rejection in self._rejections:
            self._rejections.remove(rejection)
        self._rejections.append(rejection)

    def rejected_at(self, before: str) -> tuple[str, ...]:
        """Texts that were rejected at that very place, newest first; also what of one is left after typing a
        part of it."""
        here = before[-BEFORE_CHARS:]
        found: dict[str, None] = {}
        for place, text in reversed(self._rejections):
            rest = _rest(place, text, here)
            if rest:
                found[rest] = None
        return tuple(found)

    @property
    def recent(self) -> Recent:
        """The last outcomes."""
        return Recent(
            num_single_line=len(self._single_line),
            accepted_single_line=_share(self._single_line),
            num_multi_line=len(self._multi_line),
            accepted_multi_line=_share(self._multi_line),
            num_rejected_in_a_row=self._num_rejected_in_a_row,
        )


def _rest(place: str, text: str, here: str) -> str:
    """What is left of `text`, rejected at `place`, if `here` is `place` and perhaps a beginning of it.

    Less than BEFORE_CHARS before a cursor is all that the document has there.
    """
    story = place + text
    if len(here) < BEFORE_CHARS:
        is_here = len(here) >= len(place) and story.startswith(here)
        return story[len(here) :] if is_here else ""
    start = story.find(here)
    return story[start + len(here) :] if start >= 0 else ""


def _share(outcomes: deque[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 0.0
