"""Brackets, strings and comments of a text, line by line. Only whole lines are read, so what was read stays.

A candidate grows at its end. Where a token such as three quotes or `//` may be cut by that end, nothing
can be said; within a whole line nothing is cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from paceline.syntax.languages import Language
from paceline.syntax.lexemes import (
    REGEX_MAY_FOLLOW,
    closing_of_raw,
    code_pattern,
    comment_pattern,
    string_pattern,
)

OPENER_OF = {")": "(", "]": "[", "}": "{"}
REGEX_CONTEXT_CHARS = 40
"""Before a `/`, to tell a regular expression from a division."""
MAX_LEFT_OPEN = 200
"""A closing bracket closes nothing across more unclosed brackets than this: nobody nests so deeply, and without a bound a
text of brackets alone would cost its length squared."""


class Open(NamedTuple):
    """Something that the text opened and has not closed."""

    kind: Literal["bracket", "string", "comment"]
    mark: str
    """A bracket as it opens; of a string or comment what closes it."""
    indent: int
    """Of the line on which its statement begins."""


class LineReader:
    """What is open after the lines read so far."""

    def __init__(self, language: Language, opened: Iterable[Open] = ()) -> None:
        self.language = language
        self.opened = list(opened)
        self._unmatched: list[int] = []
        self._indent = 0

    @property
    def is_in_text(self) -> bool:
        """Is the next character part of a string or comment?"""
        return bool(self.opened) and self.opened[-1].kind != "bracket"

    def read(self, text: str, begin: int, end: int, indent: int) -> list[int]:
        """Read one whole line, `text[begin:end]` with its line break.

        Returns:
            The offsets of the closing brackets that close nothing which was opened in the lines read.
        """
        self._unmatched, self._indent = [], indent
        at = begin
        while at < end:
            if not self.is_in_text:
                at = self._read_code(text, begin, at, end)
            elif self.opened[-1].kind == "comment":
                at = self._read_comment(text, at, end)
            else:
                at = self._read_string(text, at, end)
        return self._unmatched

    def _read_comment(self, text: str, at: int, end: int) -> int:
        """Read as far as the comment goes; return where to read on."""
        top = self.opened[-1]
        if top.mark == "\n":
            self.opened.pop()
            return end
        for match in comment_pattern(self.language).finditer(text, at, end):
            if match.lastgroup == "begin":
                self.opened.append(top)
                continue
            self.opened.pop()
            if not self.is_in_text:
                return match.end()
        return end

    def _read_string(self, text: str, at: int, end: int) -> int:
        """Read as far as the string goes; return where to read on."""
        mark = self.opened[-1].mark
        for match in string_pattern(self.language, mark).finditer(text, at, end):
            if match.lastgroup == "hole":
                self._open("bracket", "${")
                return match.end()
            if match.lastgroup is not None:
                self.opened.pop()
                return match.end()
        return end

    def _read_code(self, text: str, begin: int, at: int, end: int) -> int:
        """Read up to a string or comment that may go over lines; return where to read on."""
        search = code_pattern(self.language).search
        while match := search(text, at, end):
            group, at = match.lastgroup, match.end()
            if group == "open":
                self._open("bracket", match.group())
            elif group == "close":
                if not self._close(match.group()):
                    self._unmatched.append(match.start())
                elif self.is_in_text:
                    return at
            elif group == "regex":
                before = text[max(begin, match.start() - REGEX_CONTEXT_CHARS) : match.start()]
                at = at if REGEX_MAY_FOLLOW.search(before) else match.start() + 1
            elif group in ("quote", "raw", "block"):
                mark = closing_of_raw(self.language, match) if group == "raw" else match.group()
                self._open("comment" if group == "block" else "string", mark)
                return at
        return end

    def _open(self, kind: Literal["bracket", "string", "comment"], mark: str) -> None:
        self.opened.append(Open(kind, mark, self._indent))

    def _close(self, closer: str) -> bool:
        """Close the nearest bracket of that kind, with what was left open in it; False if there is none."""
        for index in innermost(len(self.opened)):
            if self.opened[index].kind != "bracket":
                return False
            if self.opened[index].mark[-1] == OPENER_OF[closer]:
                self._indent = min(self._indent, self.opened[index].indent)
                del self.opened[index:]
                return True
        return False


def innermost(num_open: int) -> range:
    """Indexes of the brackets that a closing one may close, of `num_open`: the innermost first."""
    return range(num_open - 1, max(num_open - 1 - MAX_LEFT_OPEN, -1), -1)
