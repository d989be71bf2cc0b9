"""Closing brackets and quotes that are there already, or that nothing opened.

What is open at the cursor is known from the text before it (syntax/scan.py); the candidate and what follows
are read on from there. A closer is a duplicate if, with it, something that follows has nothing left to close.
"""

from __future__ import annotations

import re

import msgspec

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, rest_of_line
from paceline.core.types import Candidate, Drop
from paceline.syntax.languages import Language
from paceline.syntax.lexemes import (
    REGEX_MAY_FOLLOW,
    closing_of_raw,
    code_pattern,
    comment_pattern,
    string_pattern,
)

_OPENS = {")": "(", "]": "[", "}": "{"}
BLOCK_COMMENT, LINE_COMMENT = "*", "\n"
MAX_READ_CHARS = 8_000
"""Of a longer candidate, and of what follows, only so much is read."""


class Closer(msgspec.Struct, frozen=True):
    """A bracket or quote that closes what was open before."""

    offset: int
    text: str


class Reading(msgspec.Struct, frozen=True):
    """What a piece of code opens and closes."""

    open: tuple[str, ...]
    """Open at its end, outermost first: brackets, quotes, comment marks."""
    closers: tuple[Closer, ...]
    """Of what was open before, innermost first."""
    wrong: tuple[int, ...]
    """Offsets of closing brackets without an opening one."""
    num_unfinished: int
    """Strings that a line end cut."""
    num_kept: int
    """How many of the things that were open before still are; what is open beyond them is new."""


def open_at_cursor(scene: Scene) -> tuple[str, ...]:
    """What is open at the cursor, outermost first; blocks by indentation are not counted."""
    openers: list[str] = []
    for frame in scene.scanner.state.frames:
        if frame.opener and frame.opener != ":":
            openers.append("{" if frame.opener == "${" else frame.opener)
    return tuple(openers)


def is_directive(scene: Scene) -> bool:
    """Does the cursor stand in a line for the preprocessor? What is open there is not known."""
    if not scene.language.has_directives:
        return False
    text, start = scene.cursor.document.text, scene.cursor.offset - len(scene.line_before)
    above = text[max(start - 3, 0) : start].rstrip("\r\n")
    return scene.line_before.lstrip().startswith("#") or above.endswith("\\")


def read(text: str, language: Language, opened: tuple[str, ...] = ()) -> Reading:
    """Read `text`, which stands where `opened` is open."""
    reader = _Reader(text[:MAX_READ_CHARS], language, opened)
    reader.run()
    return Reading(
        tuple(reader.open),
        tuple(reader.closers),
        tuple(reader.wrong),
        reader.num_unfinished,
        reader.num_original,
    )


def following_text(candidate: Candidate, scene: Scene) -> str:
    """What stands below the candidate once it is accepted: the rest of its line and the next lines."""
    return "\n".join((rest_of_line(candidate, scene), *scene.following_lines))


def num_duplicates(candidate: Candidate, scene: Scene) -> tuple[int, list[Closer]]:
    """How many of the candidate's closers are there already, and all that close what was open before it.

    The duplicates are the last ones of the list.
    """
    language, opened = scene.language, open_at_cursor(scene)
    reading = read(candidate.text, language, opened)
    net = list(reading.closers)
    if not net or reading.wrong:
        return 0, net
    following = following_text(candidate, scene)
    if net[0].text in (BLOCK_COMMENT, LINE_COMMENT):
        return 0, net
    is_quote = net[0].text not in ")]}"
    quote_end = _quote_end(following, language, opened[-1]) if is_quote else None
    if quote_end is not None:
        count = 1 + len(read(following[quote_end:], language, reading.open).wrong)
    else:
        without = read(following, language, opened)
        count = len(read(following, language, reading.open).wrong) - len(without.wrong)
    return max(min(count, len(net)), 0), net


def cut_duplicate_closers(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut closing brackets and quotes that the text after the cursor has: `a))` before `)` is `a)`."""
    if not _has_closer(candidate.text):
        return candidate
    count, net = num_duplicates(candidate, scene)
    if not count:
        return candidate
    return cut(candidate, net[len(net) - count].offset, if_empty="repeats_suffix")


def cut_unopened_closers(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before a closing bracket that neither the statement nor the candidate opened.

    Only in languages whose strings and patterns are known well enough to be sure.
    """
    if not scene.language.has_grammar or not _has_closer(candidate.text) or is_directive(scene):
        return candidate
    wrong = read(candidate.text, scene.language, open_at_cursor(scene)).wrong
    return cut(candidate, wrong[0] if wrong else None, if_empty="unopened_bracket")


def _has_closer(text: str) -> bool:
    return any(char in text for char in ")]}\"'`")


class _Reader:
    """Reads once from left to right."""

    def __init__(self, text: str, language: Language, opened: tuple[str, ...]) -> None:
        self.text, self.language = text, language
        self.open = list(opened)
        self.num_original = len(opened)
        """How many of the things that were open before still are."""
        self.closers: list[Closer] = []
        self.wrong: list[int] = []
        self.num_unfinished = 0

    def run(self) -> None:
        """Read all."""
        at = 0
        while at < len(self.text):
            is_code = not self.open or self.open[-1] in "([{"
            at = self._read_code(at) if is_code else self._read_quoted(at, self.open[-1])

    def _close(self, offset: int) -> None:
        closed = self.open.pop()
        if len(self.open) < self.num_original:
            self.num_original = len(self.open)
            is_bracket = closed in "([{"
            self.closers.append(Closer(offset, self.text[offset] if is_bracket else closed))

    def _read_code(self, at: int) -> int:
        """Read up to where something begins that is no code; return where to read on."""
        search = code_pattern(self.language).search
        while match := search(self.text, at):
            kind, found, at = match.lastgroup, match.group(), match.end()
            if kind == "regex" and not REGEX_MAY_FOLLOW.search(self.text[: match.start()][-40:]):
                at = match.start() + 1
            elif kind == "open":
                self.open.append(found)
            elif kind == "close" and self.open and self.open[-1] == _OPENS[found]:
                self._close(match.start())
            elif kind == "close":
                self.wrong.append(match.start())
            elif kind in ("quote", "raw", "block"):
                self.open.append(_opener(match, kind, self.language))
                return at
        return len(self.text)

    def _read_quoted(self, at: int, top: str) -> int:
        """Read to the end of a string or comment."""
        if top == LINE_COMMENT:
            end = self.text.find("\n", at)
            if end < 0:
                return len(self.text)
            self._close(end)
            return end
        is_comment = top == BLOCK_COMMENT
        pattern = (
            comment_pattern(self.language) if is_comment else string_pattern(self.language, top)
        )
        for match in pattern.finditer(self.text, at):
            if match.lastgroup in ("end", "newline"):
                self.num_unfinished += match.lastgroup == "newline"
                self._close(match.start())
                return match.end()
        return len(self.text)


def _opener(match: re.Match[str], kind: str, language: Language) -> str:
    if kind == "block":
        return BLOCK_COMMENT
    return match.group() if kind == "quote" else closing_of_raw(language, match)


def _quote_end(following: str, language: Language, quote: str) -> int | None:
    """Where the rest of the line closes `quote`, if it does so before any word."""
    end = following.find(quote)
    before = following[:end]
    return (
        end + len(quote)
        if end >= 0 and not any(c.isalnum() or c.isspace() for c in before)
        else None
    )
