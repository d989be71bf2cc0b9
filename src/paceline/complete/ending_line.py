"""One line of a growing candidate, and what its beginning is. Where more text may tell, the answer is None."""

from __future__ import annotations

import re

import msgspec

from paceline.complete.ending_bounds import Bounds
from paceline.syntax.frames import TAB_WIDTH, width_of

SPACES_PER_TAB = 4
_WORD = re.compile(r"\w+")


class Line(msgspec.Struct, frozen=True):
    """One line of a candidate, as far as it is there."""

    begin: int
    text: str
    """Without its line break."""
    is_whole: bool
    content: str
    """Without white space before it."""
    indent: int
    """Of the line in the document; the first one's begins before the cursor."""
    is_statement_start: bool
    """Is its first character the first of a line of the document, outside strings and comments?"""


def line_at(text: str, begin: int, bounds: Bounds, *, is_in_text: bool) -> Line:
    """The line of `text` that begins at `begin`, in a string or comment or not."""
    found = text.find("\n", begin)
    line = text[begin : found if found >= 0 else len(text)]
    content = line.lstrip()
    space = line[: len(line) - len(line.lstrip(" \t"))]
    is_first = begin == 0
    if is_first:
        before = bounds.line_before
        space = before + space if bounds.is_line_blank else before[: -len(before.lstrip(" \t"))]
    return Line(
        begin=begin,
        text=line,
        is_whole=found >= 0,
        content=content,
        indent=_width_as_in_document(space, bounds.has_tabs),
        is_statement_start=not is_in_text and (bounds.is_line_blank or not is_first),
    )


def _width_as_in_document(space: str, has_tabs: bool | None) -> int:
    """Width of indentation; where model and document differ in tabs or spaces, a tab is worth four spaces."""
    if has_tabs is None or (space[:1] == "\t") == has_tabs:
        return width_of(space)
    width = width_of(space)
    return width * TAB_WIDTH // SPACES_PER_TAB if has_tabs else width * SPACES_PER_TAB // TAB_WIDTH


def is_comment(line: Line, bounds: Bounds) -> bool | None:
    """Is the line a comment, or one for the preprocessor? None if more text may tell."""
    language = bounds.language
    marks = language.line_comments + (language.block_comment or ())[:1]
    if line.content.startswith(marks or ("\0",)):
        return True
    if language.has_directives and line.content[0] == "#":
        return True
    if not line.is_whole and any(mark.startswith(line.content) for mark in marks):
        return None
    return False


def is_word_of(words: frozenset[str], line: Line) -> bool | None:
    """Does the line begin with one of `words`? None if more text may tell."""
    match = _WORD.match(line.content)
    if match is None:
        return False
    if match.end() == len(line.content) and not line.is_whole:
        return None if any(word.startswith(match[0]) for word in words) else False
    return match[0] in words


def is_label(line: Line, bounds: Bounds) -> bool | None:
    """Is the line one that C and its kin write left of the code, `retry:` or `private:`? None if more may tell."""
    if not bounds.language.has_directives:
        return False
    match = _WORD.match(line.content)
    if match is None or match[0] in ("case", "default"):
        return False
    rest = line.content[match.end() :]
    if len(rest) < 2 and not line.is_whole:
        return None if rest in ("", ":") else False
    return rest.startswith(":") and not rest.startswith("::")
