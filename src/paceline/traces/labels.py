"""What the user wanted at a moment, by what the real edit did next: the truth of mode detectors.

The cursor's line is the text before the cursor on it and the truth up to its first line break. Its
block is

- the body that it opens, if it ends with a colon: the deeper lines below;
- else the block that it stands in: the lines below that are indented as much or more. At the top level
  a blank line ends it too: what follows is another declaration.

A line that goes on with another clause (`else`, `except`, `case`, ...) at the cursor's own level ends
the block: nobody asked for it. Only lines that the edit itself inserts count.
"""

from __future__ import annotations

import re

import msgspec

from paceline.traces.moments import Moment

TAB_CHARS = 4
"""Width of a tab when indentations are compared."""
CLAUSE = re.compile(
    r"[\s})]*(?:(?:else|finally|default)\s*(?:[:{]|if\b)|(?:elif|except|case|catch)\b(?!\s*[=.,)]))"
)


class ModeLabel(msgspec.Struct, frozen=True, kw_only=True):
    """How far the user went on."""

    wants_more: bool
    """The truth has at least one more line that is not blank in the cursor's block."""
    num_more_lines: int
    """How many."""
    end_of_line: int
    """Characters of the truth on the cursor's line."""
    end_of_block: int
    """Characters of the truth to the end of the block's last line that is not blank."""


def label_of(moment: Moment) -> ModeLabel:
    """The label of a moment; of one without a truth: nothing is wanted."""
    text, offset = moment.cursor.document.text, moment.cursor.offset
    before = text[text.rfind("\n", 0, offset) + 1 : offset]
    first, *rest = moment.truth.split("\n")
    line = before + first
    level = _width(line)
    is_opener = line.rstrip().endswith(":")
    at = end = len(first)
    num_lines = 0
    for below in rest:
        at += 1 + len(below)
        if not below.strip():
            if level == 0 and line.strip() and not is_opener:
                break
            continue
        if _ends_block(below, level, is_opener=is_opener):
            break
        num_lines, end = num_lines + 1, at
    return ModeLabel(
        wants_more=num_lines > 0,
        num_more_lines=num_lines,
        end_of_line=len(first),
        end_of_block=end,
    )


def _ends_block(line: str, level: int, *, is_opener: bool) -> bool:
    width = _width(line)
    if width < level or (is_opener and width == level):
        return True
    return width == level and CLAUSE.match(line) is not None


def _width(line: str) -> int:
    """Columns of its indentation; of a blank line: its own."""
    space = line[: len(line) - len(line.lstrip(" \t"))]
    return len(space.expandtabs(TAB_CHARS))
