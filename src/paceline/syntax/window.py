"""Which part of a long text is parsed: lines around the cursor that begin outside of any block."""

from __future__ import annotations

import msgspec

MAX_WHOLE_CHARS = 200_000
"""Longer texts are parsed in part: parsing from nothing costs about 0.13 ms for 1,000 characters."""
WINDOW_CHARS = 60_000
"""Characters wanted before and after the cursor in a part."""
MARGIN_CHARS = 20_000
"""A part is kept while the cursor stays this far from its ends, so that it can be parsed incrementally."""
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


def choose_window(text: str, around: int, old: Window | None, old_text: str) -> Window | None:
    """Return the part of `text` to parse; None if that has too long a line.

    Args:
        old: the part of an earlier state of the text, kept if the cursor is well inside; `old_text` is what it held.
    """
    around = min(max(around, 0), len(text))
    if len(text) <= MAX_WHOLE_CHARS:
        window = Window(0, len(text), len(text))
    else:
        window = _moved(text, around, old, old_text) or _fresh(text, around)
    return None if _has_long_line(text, window.begin, window.end) else window


def _moved(text: str, around: int, old: Window | None, old_text: str) -> Window | None:
    """`old` in the new text, if it begins with the same line and has the cursor inside."""
    if old is None or old.text_length <= MAX_WHOLE_CHARS:
        return None
    begin, end = old.begin, min(old.end + len(text) - old.text_length, len(text))
    has_start = begin == 0 or around - begin >= MARGIN_CHARS
    has_end = end == len(text) or end - around >= MARGIN_CHARS
    if not (has_start and has_end and end - begin <= MAX_WHOLE_CHARS):
        return None
    line_end = old_text.find("\n") + 1
    if begin > 0 and not text.startswith("\n" + old_text[:line_end], begin - 1):
        return None
    return Window(begin, end, len(text))


def _fresh(text: str, around: int) -> Window:
    begin = max(around - WINDOW_CHARS, 0)
    if begin > 0:
        begin = _line_without_indent(text, begin, around)
    end = min(around + WINDOW_CHARS, len(text))
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
