"""Where a completion ends. The same rules stop the model early and cut the candidate.

An end is *certain* once no further text could move it: the service then closes the stream, and the
engine spends nothing on text that would be thrown away.

single_line   the end of the line. At the end of a line that has code, the model may say that the line
              is finished by starting with a line break: then the completion is the next line, because
              that is what the user types next. Two breaks mean that a new block would begin, which
              nobody has asked for: such a candidate is empty.
block_body    before the first line that is indented less than the body.
multi_line    before two blank lines.
"""

from __future__ import annotations

import re

from paceline.complete.lines import indentation, is_at_line_end, line_before
from paceline.complete.modes import Mode
from paceline.core.types import Cursor

_BREAK = re.compile(r"[ \t]*\r?\n")
_LINE = re.compile(r"\r?\n(?P<indent>[ \t]*)(?P<first>[^\s])")
_TWO_BLANK_LINES = re.compile(r"(?<=\S)[ \t]*\r?\n[ \t]*\r?\n[ \t]*\r?\n")
_CLOSERS = frozenset(")]}")


def certain_end(text: str, cursor: Cursor, mode: Mode) -> int | None:
    """Where `text`, the beginning of a candidate, ends for certain; None if it may still go on.

    If an end is returned for `text`, the same one is returned for every `text + more`.
    """
    if mode == "single_line":
        return line_end(text, cursor)
    if mode == "block_body":
        return block_end(text, cursor)
    match = _TWO_BLANK_LINES.search(text)
    return match.start() if match else None


def line_end(text: str, cursor: Cursor) -> int | None:
    """The end of the line, or of the next one if the cursor's line is finished."""
    first = _BREAK.match(text) if is_at_line_end(cursor) else None
    found = re.search(r"\r?\n", text[first.end() :] if first else text)
    return found.start() + (first.end() if first else 0) if found else None


def block_end(text: str, cursor: Cursor) -> int | None:
    """The end of the last line before one that is indented less than the block.

    The block is as deep as the first line that the candidate opens, if that is deeper than the
    cursor's line; else as deep as the cursor's line. A line of the cursor's depth that starts with a
    closing bracket still belongs to it.
    """
    outer = floor = indentation(line_before(cursor))
    is_opened = False
    for match in _LINE.finditer(text):
        indent = indentation(match["indent"])
        if not is_opened and not text[: match.start()].strip():
            floor = max(floor, indent)
        is_opened = True
        is_closer = match["first"] in _CLOSERS and indent >= outer
        if indent < floor and not is_closer:
            return len(text[: match.start()].rstrip())
    return None
