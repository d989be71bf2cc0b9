"""The lines around a cursor, without copying the document. A line here has no line break."""

from __future__ import annotations

from paceline.core.types import Cursor


def line_before(cursor: Cursor) -> str:
    """The part of the cursor's line before it."""
    text = cursor.document.text
    return text[text.rfind("\n", 0, cursor.offset) + 1 : cursor.offset]


def line_after(cursor: Cursor) -> str:
    """The part of the cursor's line after it, without trailing white space."""
    text = cursor.document.text
    end = text.find("\n", cursor.offset)
    return text[cursor.offset : end if end >= 0 else len(text)].rstrip()


def following_line(cursor: Cursor) -> str:
    """The first line below the cursor's that is not blank, without trailing white space; else empty."""
    text = cursor.document.text
    start = text.find("\n", cursor.offset) + 1
    while start > 0:
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)].rstrip()
        if line:
            return line
        start = end + 1
    return ""


def is_at_line_end(cursor: Cursor) -> bool:
    """Is there code before the cursor on its line, and none after it?"""
    return bool(line_before(cursor).strip()) and not line_after(cursor)


def indentation(line: str) -> int:
    """Width of the leading white space; a tab counts as 8."""
    body = line.lstrip(" \t")
    return len(line[: len(line) - len(body)].expandtabs(8))
