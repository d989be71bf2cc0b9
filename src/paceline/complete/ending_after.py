"""The brackets that are open at a cursor, and whether the document closes them after it.

A window after the cursor is read, no more: what is open beyond it counts as closed.
"""

from __future__ import annotations

import re

import msgspec

from paceline.complete.ending_text import MAX_LEFT_OPEN, OPENER_OF, LineReader, innermost
from paceline.core.types import Cursor
from paceline.syntax.frames import Frames, width_of
from paceline.syntax.languages import Language

MAX_AFTER_CHARS = 6_000
MAX_AFTER_LINES = 150
"""Further below the cursor no closing bracket is looked for: what is open there counts as closed."""
_LABEL = re.compile(r"(?:case\b|default\b|public\b|private\b|protected\b|#|@|\w+:(?!:))")


class OpenBefore(msgspec.Struct, frozen=True, kw_only=True):
    """A bracket that is open at the cursor."""

    mark: str
    indent: int
    """Of the line on which its statement begins."""
    is_closed: bool
    """Does the document have its other half, after the cursor?"""
    is_target: bool
    """Is it the brace of the block that the completion fills?"""
    header: str


def brackets_before(
    frames: Frames, target: int, cursor: Cursor, language: Language
) -> tuple[OpenBefore, ...]:
    """The brackets that are open in the frame `target`, its own brace first."""
    at = [index for index, frame in enumerate(frames) if frame.opener[-1:] in ("(", "[", "{")]
    num_outer = sum(index < target for index in at)
    if not language.is_code or num_outer == len(at):
        return ()
    marks = [frames[index].opener[-1] for index in at]
    indents = [indent_of_frame(frames, index) for index in at]
    missing = _missing(_Search(marks, indents, language), num_outer, cursor)
    return tuple(
        OpenBefore(
            mark=marks[number],
            indent=indents[number],
            is_closed=number not in missing,
            is_target=at[number] == target,
            header=frames[at[number]].header,
        )
        for number in range(num_outer, len(at))
    )


def _missing(search: _Search, num_outer: int, cursor: Cursor) -> set[int]:
    """Which of the open brackets the document does not close after the cursor; the first few do not matter.

    Brackets are counted; indentation tells whose closing brace is missing: a line that is not
    indented below a bracket's own line and does not close it comes after it.
    """
    text, at = cursor.document.text, cursor.offset
    limit = min(at + MAX_AFTER_CHARS, len(text))
    for number in range(MAX_AFTER_LINES):
        end = text.find("\n", at, limit) + 1 or limit
        search.read(text, at, end, is_first=number == 0)
        at = end
        if len(search.open) <= num_outer or at >= limit:
            break
    return search.missing.union(search.open) if at >= len(text) else search.missing


class _Search:
    """Looks for the other halves of brackets, line by line."""

    def __init__(self, marks: list[str], indents: list[int], language: Language) -> None:
        self.marks, self.indents, self.reader = marks, indents, LineReader(language)
        self.open = list(range(len(marks)))
        """Not yet closed, outermost first."""
        self.missing: set[int] = set()

    def read(self, text: str, begin: int, end: int, *, is_first: bool) -> None:
        """Read one line."""
        line = text[begin:end]
        content = line.strip()
        indent = width_of(line[: len(line) - len(line.lstrip(" \t"))])
        if content and not is_first and not self.reader.opened:
            self._begin_line(content, indent)
        for offset in self.reader.read(text, begin, end, indent):
            self._close(text[offset])

    def _begin_line(self, content: str, indent: int) -> None:
        marks = self.reader.language.line_comments
        if content.startswith(marks or ("\0",)) or _LABEL.match(content):
            return
        is_closer = content[0] in OPENER_OF
        while self.open and self._is_left(content[0], indent, is_closer=is_closer):
            self.missing.add(self.open.pop())

    def _is_left(self, first: str, indent: int, *, is_closer: bool) -> bool:
        """Does a line of that indentation come after the innermost bracket?"""
        own = self.indents[self.open[-1]]
        if not is_closer:
            return indent <= own
        others = (
            self.indents[index]
            for index in self.open[-1 - MAX_LEFT_OPEN : -1]
            if self.marks[index] == OPENER_OF[first]
        )
        return indent < own and indent in others

    def _close(self, closer: str) -> None:
        for place in innermost(len(self.open)):
            if self.marks[self.open[place]] == OPENER_OF[closer]:
                self.missing.update(self.open[place + 1 :])
                del self.open[place:]
                return


def indent_of_frame(frames: Frames, at: int) -> int:
    """Of the line on which the statement begins that opened a frame: a header may go over lines."""
    frame, parent = frames[at], frames[at - 1]
    if parent.is_block and parent.body_indent >= 0:
        return min(frame.indent, parent.body_indent)
    return frame.indent
