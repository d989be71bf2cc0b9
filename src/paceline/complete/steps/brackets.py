"""Closing brackets and quotes that are there already, or that nothing opened.

What is open at the cursor is known from the text before it (syntax/scan.py); the candidate and what follows
are read on from there. A closer is a duplicate if, with it, something that follows has nothing left to close.
"""

from __future__ import annotations

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
    """A bracket or quote that closes something."""

    offset: int
    text: str
    depth: int
    """How many things are open after it."""
    line: int = 0
    """Zero-based, in what was read."""


class Reading(msgspec.Struct, frozen=True):
    """What a piece of code opens and closes."""

    open: tuple[str, ...]
    """Open at its end, outermost first: brackets, quotes, comment marks."""
    closers: tuple[Closer, ...]
    wrong: tuple[int, ...]
    """Offsets of closing brackets without an opening one."""
    num_unfinished: int
    """Strings that a line end cut."""

    def net_closers(self, depth: int) -> list[Closer]:
        """Of each thing that was open before and is closed for good, innermost first, what closes it.

        On one line that is the last closer of that depth: in `x) + (y)` the last.

        Args:
            depth: how many things were open before.
        """
        found: list[Closer] = []
        for level in range(depth - 1, len(self.open) - 1, -1):
            of_level = [closer for closer in self.closers if closer.depth == level]
            first_line = of_level[0].line if of_level else 0
            found.extend([closer for closer in of_level if closer.line == first_line][-1:])
        return found


def open_at_cursor(scene: Scene) -> tuple[str, ...]:
    """What is open at the cursor, outermost first; blocks by indentation are not counted."""
    openers: list[str] = []
    for frame in scene.scanner.state.frames:
        if frame.opener and frame.opener != ":":
            openers.append("{" if frame.opener == "${" else frame.opener)
    return tuple(openers)


def read(text: str, language: Language, opened: tuple[str, ...] = ()) -> Reading:
    """Read `text`, which stands where `opened` is open."""
    open_, closers, wrong = list(opened), list[Closer](), list[int]()
    text, at, num_unfinished = text[:MAX_READ_CHARS], 0, 0
    while at < len(text):
        top = open_[-1] if open_ else ""
        if top and top not in "([{":
            at, is_closed = _read_quoted(text, at, language, top)
            if at <= len(text):
                open_.pop()
                num_unfinished += not is_closed
                closers.append(_closer(text, max(at - len(top), 0), top, len(open_)))
            continue
        at = _read_code(text, at, language, open_, closers, wrong)
    return Reading(tuple(open_), tuple(closers), tuple(wrong), num_unfinished)


def following_text(candidate: Candidate, scene: Scene) -> str:
    """What stands below the candidate once it is accepted: the rest of its line and the next lines."""
    return "\n".join((rest_of_line(candidate, scene), *scene.following_lines))


def num_duplicates(candidate: Candidate, scene: Scene) -> tuple[int, list[Closer]]:
    """How many of the candidate's closers are there already, and all that close what was open before it.

    The duplicates are the last ones of the list.
    """
    language, opened = scene.language, open_at_cursor(scene)
    reading = read(candidate.text, language, opened)
    net = reading.net_closers(len(opened))
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
    """Cut before a closing bracket that neither the statement nor the candidate opened."""
    if not _has_closer(candidate.text):
        return candidate
    wrong = read(candidate.text, scene.language, open_at_cursor(scene)).wrong
    return cut(candidate, wrong[0] if wrong else None, if_empty="unopened_bracket")


def _closer(text: str, offset: int, closes: str, depth: int) -> Closer:
    return Closer(offset, closes, depth, text.count("\n", 0, offset))


def _has_closer(text: str) -> bool:
    return any(char in text for char in ")]}\"'`")


def _read_code(
    text: str,
    at: int,
    language: Language,
    open_: list[str],
    closers: list[Closer],
    wrong: list[int],
) -> int:
    """Read up to where something begins that is no code; return where to read on."""
    search = code_pattern(language).search
    while match := search(text, at):
        kind, found, at = match.lastgroup, match.group(), match.end()
        if kind == "regex" and not REGEX_MAY_FOLLOW.search(text[: match.start()][-40:]):
            at = match.start() + 1
        elif kind == "open":
            open_.append(found)
        elif kind == "close":
            if open_ and open_[-1] == _OPENS[found]:
                open_.pop()
                closers.append(_closer(text, match.start(), found, len(open_)))
            else:
                wrong.append(match.start())
        elif kind == "quote":
            open_.append(found)
            return at
        elif kind == "raw":
            open_.append(closing_of_raw(language, match))
            return at
        elif kind == "block":
            open_.append(BLOCK_COMMENT)
            return at
    return len(text)


def _read_quoted(text: str, at: int, language: Language, top: str) -> tuple[int, bool]:
    """Where a string or comment ends, one past the end of the text if it does not; and if it does properly."""
    if top == LINE_COMMENT:
        end = text.find("\n", at)
        return (end, True) if end >= 0 else (len(text) + 1, False)
    pattern = comment_pattern(language) if top == BLOCK_COMMENT else string_pattern(language, top)
    for match in pattern.finditer(text, at):
        if match.lastgroup in ("end", "newline"):
            return match.end(), match.lastgroup == "end"
    return len(text) + 1, False


def _quote_end(following: str, language: Language, quote: str) -> int | None:
    """Where the rest of the line closes `quote`, if it does so before any word."""
    end = following.find(quote)
    before = following[:end]
    return (
        end + len(quote)
        if end >= 0 and not any(c.isalnum() or c.isspace() for c in before)
        else None
    )
