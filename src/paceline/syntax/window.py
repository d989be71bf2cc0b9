"""Which part of a text is parsed: lines around the cursor that begin outside of any block.

Of a long text always a part; of another only where the whole is so broken that its tree says nothing (tree.py): then a
narrow part costs less, and says more.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

MAX_WHOLE_CHARS = 200_000
"""Longer texts are parsed in part: parsing from nothing costs about 0.13 ms for 1,000 characters."""
WINDOW_CHARS = 60_000
"""Characters wanted before and after the cursor in a part."""
MARGIN_CHARS = 20_000
"""A part is kept while the cursor stays this far from its ends, so that it can be parsed incrementally."""
NARROW_CHARS = 10_000
"""The same in a text that is broken as a whole."""
NARROW_MARGIN_CHARS = 2_000
MAX_NARROW_PARSES = 32
"""After so many it is tried whether the whole has become better."""
MAX_LINE_CHARS = 20_000
"""A text with a longer line in the part to be parsed is data or minified: no tree is made."""
BORDER_CHARS = 10_000
"""How far a line without indentation is looked for, to begin a part there."""


class Window(msgspec.Struct, frozen=True):
    """A part of a text, in code points."""

    begin: int
    end: int
    text_length: int
    """Of the text it is a part of."""
    num_narrow_parses: int = 0
    """How often this part was parsed because the whole is broken; 0: it is not."""

    def resized(self, change: int) -> Window:
        """The same part after `change` characters came in it."""
        return structs.replace(self, end=self.end + change, text_length=self.text_length + change)


def choose_window(text: str, around: int, old: Window | None, old_text: str) -> Window | None:
    """Return the part of `text` to parse; None if that has too long a line.

    Args:
        old: the part of an earlier state of the text, kept if the cursor is well inside; `old_text` is what it held.
    """
    around = min(max(around, 0), len(text))
    window = _moved(text, around, old, old_text)
    if window is None and len(text) <= MAX_WHOLE_CHARS:
        window = Window(0, len(text), len(text))
    window = window or _fresh(text, around, WINDOW_CHARS)
    return None if _has_long_line(text, window.begin, window.end) else window


def narrow_window(text: str, around: int) -> Window | None:
    """A narrow part around the cursor, for a text that is broken as a whole; None if it has too long a line."""
    around = min(max(around, 0), len(text))
    window = structs.replace(_fresh(text, around, NARROW_CHARS), num_narrow_parses=1)
    return None if _has_long_line(text, window.begin, window.end) else window


def _moved(text: str, around: int, old: Window | None, old_text: str) -> Window | None:
    """`old` in the new text, if it begins with the same line and has the cursor inside."""
    if old is None or not (old.text_length > MAX_WHOLE_CHARS or old.num_narrow_parses):
        return None
    if old.num_narrow_parses >= MAX_NARROW_PARSES:
        return None
    margin = NARROW_MARGIN_CHARS if old.num_narrow_parses else MARGIN_CHARS
    begin, end = old.begin, min(old.end + len(text) - old.text_length, len(text))
    has_start = begin == 0 or around - begin >= margin
    has_end = end == len(text) or end - around >= margin
    if not (has_start and has_end and end - begin <= MAX_WHOLE_CHARS):
        return None
    line_end = old_text.find("\n") + 1
    if begin > 0 and not text.startswith("\n" + old_text[:line_end], begin - 1):
        return None
    return Window(begin, end, len(text), old.num_narrow_parses + bool(old.num_narrow_parses))


def _fresh(text: str, around: int, num_chars: int) -> Window:
    begin = max(around - num_chars, 0)
    if begin > 0:
        begin = _line_without_indent(text, begin, around)
    end = min(around + num_chars, len(text))
    line_end = text.find("\n", end, end + MAX_LINE_CHARS)
    return Window(begin, end if line_end < 0 else line_end + 1, len(text))


def _line_without_indent(text: str, begin: int, around: int) -> int:
    """The first line from `begin` on that is not indented and no closing bracket; else just the next line."""
    first = None
    line = begin
    while line < min(begin + BORDER_CHARS, around):
        line = text.find("\n", line, around) + 1
        if line == 0:
            break
        first = line if first is None else first
        if not text[line : line + 1].strip(")]}"):
            continue
        if not text[line].isspace():
            return line
    return first if first is not None else begin


def _has_long_line(text: str, begin: int, end: int) -> bool:
    """Whether a line of the part is longer than MAX_LINE_CHARS; looks at few characters of normal text."""
    while end - begin > MAX_LINE_CHARS:
        line = text.rfind("\n", begin, begin + MAX_LINE_CHARS + 1)
        if line < 0:
            return True
        begin = line + 1
    return False
