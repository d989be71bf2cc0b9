"""Ids to text while they arrive: whole code points only, and stop strings cut exactly.

Both are held to one property: however the stream is cut into pieces, the text that comes out is the
same, and it comes out as early as it is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"


class Detokeniser:
    """Turns ids into text bit by bit: `"".join(all add) + flush == decode(all ids)`.

    A byte-level token may end inside a code point, and decoding then ends in U+FFFD. That last
    character is held back until the next ids settle it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        """Ids since the last place where text and ids ended together."""
        self._num_emitted = 0
        """Characters of the window's text that are out already."""

    def add(self, token_id: int) -> str:
        """Return the text that `token_id` makes certain."""
        self._window.append(token_id)
        text = self._decode(self._window)
        if text.endswith(REPLACEMENT):
            fresh = text[self._num_emitted : -1]
            self._num_emitted += len(fresh)
            return fresh
        return self._take(text)

    def flush(self) -> str:
        """Return what is held back; for the end of the stream."""
        return self._take(self._decode(self._window)) if self._window else ""

    def _take(self, text: str) -> str:
        fresh = text[self._num_emitted :]
        self._window.clear()
        self._num_emitted = 0
        return fresh


class StopCutter:
    """Cuts a stream of text before the first stop string that becomes complete in it.

    Of several that become complete at the same character the longest counts. Text is held back only
    as far as it may be the beginning of a stop string.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.is_stopped = False

    def add(self, text: str) -> str:
        """Return what may be shown now. After a stop nothing more is."""
        if self.is_stopped:
            return ""
        self._held += text
        found = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := self._held.find(stop)) >= 0
        ]
        if found:
            self.is_stopped = True
            return self._emit(min(found)[1])
        return self._emit(len(self._held) - self._num_pending())

    def flush(self) -> str:
        """Return what is held back; for the end of the stream."""
        return "" if self.is_stopped else self._emit(len(self._held))

    def _emit(self, count: int) -> str:
        shown, self._held = self._held[:count], self._held[count:]
        return shown

    def _num_pending(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for count in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-count:]) for stop in self._stops):
                return count
        return 0
