"""Code points to bytes and back, for one text. ASCII costs nothing; other text is counted in steps."""

from __future__ import annotations

from bisect import bisect_right

STEP_CHARS = 2048
"""A map remembers every so many code points; a look-up encodes or decodes at most one step."""


class OffsetMap:
    """Between offsets (code points) and byte offsets (UTF-8) of one text.

    A lone surrogate cannot be encoded; it becomes one `?` in the bytes, so that both ways still agree.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")
        self._is_ascii = len(self.data) == len(text)
        self._steps: list[int] | None = None

    def byte_offset(self, offset: int) -> int:
        """The byte offset of `offset`; outside the text: its nearest end."""
        offset = min(max(offset, 0), len(self.text))
        if self._is_ascii:
            return offset
        step = offset // STEP_CHARS
        begin = step * STEP_CHARS
        return self._known_steps()[step] + _num_bytes(self.text[begin:offset])

    def offset(self, byte_offset: int) -> int:
        """The offset of `byte_offset`; inside a character: the one after it."""
        byte_offset = min(max(byte_offset, 0), len(self.data))
        if self._is_ascii:
            return byte_offset
        steps = self._known_steps()
        step = bisect_right(steps, byte_offset) - 1
        part = self.data[steps[step] : byte_offset]
        return step * STEP_CHARS + sum((byte & 0xC0) != 0x80 for byte in part)

    def _known_steps(self) -> list[int]:
        if self._steps is None:
            steps, total = [0], 0
            for begin in range(0, len(self.text) - STEP_CHARS + 1, STEP_CHARS):
                total += _num_bytes(self.text[begin : begin + STEP_CHARS])
                steps.append(total)
            self._steps = steps
        return self._steps


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
