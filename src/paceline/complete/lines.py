"""The lines around a cursor, without copying the document. A line here has no line break."""

from __future__ import annotations

from paceline.core.types import Cursor

MAX_LINE_CHARS = 2_000
"""More of one line on either side of the cursor is not looked at: such a line is data, not code."""


def line_before(cursor: Cursor) -> str:
    """The part of the cursor's line before it, the last MAX_LINE_CHARS of it."""
    text = cursor.document.text
    start = max(cursor.offset - MAX_LINE_CHARS, 0)
    return text[text.rfind("\n", start, cursor.offset) + 1 or start : cursor.offset]


def line_after(cursor: Cursor) -> str:
    """The part of the cursor's line after it, the first MAX_LINE_CHARS, without trailing white space."""
    text = cursor.document.text
    limit = min(cursor.offset + MAX_LINE_CHARS, len(text))
    end = text.find("\n", cursor.offset, limit)
    return text[cursor.offset : end if end >= 0 else limit].rstrip()


def following_line(cursor: Cursor) -> str:
    """The first line below the cursor's that is not blank, without trailing white space; else empty."""
    return next(iter(following_lines(cursor, 1)), "")


def following_lines(cursor: Cursor, max_lines: int) -> tuple[str, ...]:
    """The first `max_lines` lines below the cursor's that are not blank, without trailing white space.

    No further than 64 lines below, and no more than MAX_LINE_CHARS of each.
    """
    text = cursor.document.text
    start = text.find("\n", cursor.offset) + 1
    found: list[str] = []
    for _ in range(64):
        if start <= 0 or len(found) == max_lines:
            break
        end = text.find("\n", start)
        line = text[start : min(end if end >= 0 else len(text), start + MAX_LINE_CHARS)].rstrip()
        if line:
            found.append(line)
        start = end + 1
    return tuple(found)


def is_at_line_end(cursor: Cursor) -> bool:
    """Is there code before the cursor on its line, and none after it?"""
    return bool(line_before(cursor).strip()) and not line_after(cursor)


def indentation(line: str) -> int:
    """Width of the leading white space; a tab counts as 8."""
    body = line.lstrip(" \t")
    return len(line[: len(line) - len(body)].expandtabs(8))
