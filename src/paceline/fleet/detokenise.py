"""Ids to text while they arrive: whole code points only.

However the stream is cut into pieces, the text that comes out is the same, and it comes out as early as
it is certain.
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
