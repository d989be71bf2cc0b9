"""Stop strings, cut exactly out of a stream of text.

However the stream is cut into pieces, the text that comes out is the same, and it comes out as early as
it is certain.
"""

from __future__ import annotations

from collections.abc import Sequence


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
