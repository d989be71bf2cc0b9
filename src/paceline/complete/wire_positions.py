"""Lines and columns, as editors count them, to offsets and back.

A line ends with a line feed, a carriage return, or both together (LSP 3.17, "Text Documents"); nothing else
ends one. A column counts what the `encoding` says: bytes, UTF-16 units or code points. Nothing here takes longer
than to look once at the text up to the place and at the line it is in.
"""

from __future__ import annotations

import re

from paceline.complete.wire import Encoding, WirePosition, WireRange
from paceline.core.errors import FieldError

FIRST_STEP_CHARS = 4_096
"""How many characters are measured at once; halved until the column is found."""

MIN_BLOCK_CHARS = 256
"""So much text is looked at line by line."""

_BREAK = re.compile(r"\r\n|\n|\r")


def offset_at(
    text: str, position: WirePosition, encoding: Encoding, field: str = "position"
) -> int:
    """The offset of `position`. A column beyond the line's end is its end; one inside a character is before it.

    Args:
        field: how the request names the position, for the error.

    Raises:
        FieldError: there is no such line, or a number is negative.
    """
    if position.line < 0 or position.character < 0:
        name = "line" if position.line < 0 else "character"
        raise FieldError(f"{field}.{name}", "must be 0 or more")
    start = _line_start(text, position.line)
    if start is None:
        raise FieldError(
            f"{field}.line", "is beyond the last line; send the text that the position is in"
        )
    found = _BREAK.search(text, start)
    end = found.start() if found else len(text)
    return _advance(text, start, end, position.character, encoding)


def offsets_of(
    text: str, range_: WireRange, encoding: Encoding, field: str = "range"
) -> tuple[int, int]:
    """The offsets of a range's start and end.

    Raises:
        FieldError: as `offset_at`, or the range ends before it starts.
    """
    start = offset_at(text, range_.start, encoding, f"{field}.start")
    end = offset_at(text, range_.end, encoding, f"{field}.end")
    if end < start:
        raise FieldError(f"{field}.end", "must not be before the start")
    return start, end


def position_at(text: str, offset: int, encoding: Encoding) -> WirePosition:
    """Where `offset` is. Between the two characters of a line end, it is before both."""
    if text.startswith("\r\n", offset - 1) and offset > 0:
        offset -= 1
    line = text.count("\n", 0, offset)
    start = text.rfind("\n", 0, offset) + 1
    if "\r" in text:
        line += text.count("\r", 0, offset) - text.count("\r\n", 0, offset)
        start = max(start, text.rfind("\r", 0, offset) + 1)
    return WirePosition(line=line, character=width_of(text[start:offset], encoding))


def range_at(text: str, offset: int, num_chars: int, encoding: Encoding) -> WireRange:
    """The range of the `num_chars` characters after `offset`, which are on one line."""
    start = position_at(text, offset, encoding)
    width = width_of(text[offset : offset + num_chars], encoding)
    end = WirePosition(line=start.line, character=start.character + width)
    return WireRange(start=start, end=end)


def width_of(text: str, encoding: Encoding) -> int:
    """How many columns `text`, which has no line end, takes; half a surrogate pair is one of UTF-16's."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _line_start(text: str, line: int) -> int | None:
    """Where that line begins; None if there are fewer. Larger and larger blocks are counted as a whole, and in the one
    that has it, smaller and smaller ones."""
    at, step, is_found = 0, MIN_BLOCK_CHARS, line == 0
    while step >= MIN_BLOCK_CHARS and at < len(text):
        end = at + step
        if text.startswith("\r\n", end - 1):
            end += 1
        num_breaks = _num_breaks(text, at, end)
        if num_breaks < line:
            at, line = end, line - num_breaks
        else:
            is_found = True
        step = step // 2 if is_found else step * 2
    if line == 0:
        return at
    for number, found in enumerate(_BREAK.finditer(text, at), start=1):
        if number == line:
            return found.end()
    return None


def _num_breaks(text: str, start: int, end: int) -> int:
    """Line ends in a part of a text that begins and ends between them."""
    num = text.count("\n", start, end)
    if text.find("\r", start, end) >= 0:
        num += text.count("\r", start, end) - text.count("\r\n", start, end)
    return num


def _advance(text: str, start: int, end: int, num_columns: int, encoding: Encoding) -> int:
    """The last offset up to `end` that is not more than `num_columns` after `start`."""
    if encoding == "utf-32":
        return start + min(num_columns, end - start)
    at, step = start, FIRST_STEP_CHARS
    while step and at < end and num_columns > 0:
        until = min(at + step, end)
        width = width_of(text[at:until], encoding)
        if width <= num_columns:
            at, num_columns = until, num_columns - width
        else:
            step //= 2
    return at
