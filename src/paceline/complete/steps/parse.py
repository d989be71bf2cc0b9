"""Does the document still parse at least as well?"""

from __future__ import annotations

import re

from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import BLOCK_COMMENT, open_at_cursor, read
from paceline.complete.steps.cut import cut, flagged, rest_of_line
from paceline.complete.steps.inserted import replaced_tree
from paceline.core.types import Candidate, Drop
from paceline.syntax.tree import SyntaxTree

_WORD = re.compile(r"\w")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_UNFINISHED = re.compile(r"(?:^|\n)[ \t]*(?:@|#\[|(?:try|do|template|export)\b)[^\n]*\s*\Z")
"""A last line that is no statement without the next ones."""
FLAG = "parses_worse"
MAX_JUDGED_ERRORS = 10
"""A document with more is in another dialect than the grammar's, or far from finished: errors say little."""
MAX_CHECKED_CHARS = 8_000
"""A longer candidate is not checked: no completion is that long."""


def check_parse(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Keep the lines with which the document parses as well as without; drop if the first is wrong already.

    What the candidate opens and leaves open (a call to be continued, a block's header) is closed for the
    check: it is unfinished, not wrong. Nor is text wrong that ran out of tokens; and in a document that does
    not parse as it is, errors come and go for other reasons: then it is only flagged.
    """
    tree = scene.tree
    if tree is None or not candidate.text.strip() or len(candidate.text) > MAX_CHECKED_CHARS:
        return candidate
    if not tree.covers(scene.cursor.offset) or tree.num_errors > MAX_JUDGED_ERRORS:
        return candidate
    if _UNFINISHED.search(candidate.text) or _stays_in_text(candidate, scene):
        return candidate
    check = _Check(candidate, scene, tree)
    is_before_words = _WORD.search(rest_of_line(candidate, scene)) is not None
    if is_before_words and tree.num_errors:
        check.limit = min(check.limit, _num_errors_without_line(scene, tree))
    if check.is_fine(candidate.text):
        return candidate
    if is_before_words:
        return Drop("mid_line")
    kept = "" if tree.num_errors else check.longest_fine()
    if kept:
        return cut(candidate, len(kept))
    is_certain = tree.num_errors == 0 and candidate.finish_reason == "stop"
    return Drop(FLAG) if is_certain else flagged(candidate, FLAG)


def _stays_in_text(candidate: Candidate, scene: Scene) -> bool:
    """Does it only lengthen the string or comment that the cursor stands in?"""
    frame = scene.scanner.state.frames[-1]
    if not frame.is_string and not frame.is_comment:
        return False
    opened = open_at_cursor(scene)
    return read(candidate.text, scene.language, opened).open == opened


class _Check:
    """Parses the document with parts of one candidate."""

    def __init__(self, candidate: Candidate, scene: Scene, tree: SyntaxTree) -> None:
        self.candidate, self.scene, self.tree = candidate, scene, tree
        self.limit = tree.num_errors

    def is_fine(self, text: str) -> bool:
        """Does the document parse with `text` at least as well as without?"""
        replaced = self.candidate.num_replaced_chars
        return num_errors_with(text, replaced, self.scene, self.tree) <= self.limit

    def longest_fine(self) -> str:
        """The whole lines of the candidate up to the first wrong one, found by halving; may be empty."""
        lines = self.candidate.text.rstrip().split("\n")
        low, high = 0, len(lines) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.is_fine("\n".join(lines[:middle])):
                low = middle
            else:
                high = middle - 1
        return "\n".join(lines[:low]).rstrip()


def num_errors_with(text: str, num_replaced_chars: int, scene: Scene, tree: SyntaxTree) -> int:
    """ERROR and MISSING nodes of the document with `text` at the cursor.

    The lower of two counts: as it is, and with what it leaves open closed.
    """
    offset = scene.cursor.offset
    end = offset + num_replaced_chars
    if end >= len(scene.cursor.document.text):
        text += "\n"  # some grammars want one at the end of a file
    num_errors = replaced_tree(tree, offset, end, text).num_errors
    closers = _missing_closers(text, scene) if num_errors else ""
    if closers:
        body = text.rstrip()
        closed = replaced_tree(tree, offset, end, body + closers + text[len(body) :])
        num_errors = min(num_errors, closed.num_errors)
    return num_errors


def _num_errors_without_line(scene: Scene, tree: SyntaxTree) -> int:
    """Of the document without the cursor's line, whose halves do not fit together before something is written."""
    offset = scene.cursor.offset
    start, end = offset - len(scene.line_before), offset + len(scene.line_after)
    return tree.replaced(start, end, "").num_errors


def _missing_closers(text: str, scene: Scene) -> str:
    language = scene.language
    reading = read(text, language, open_at_cursor(scene))
    closers: list[str] = []
    for opener in reversed(reading.open[reading.num_kept :]):
        if opener == BLOCK_COMMENT and language.block_comment:
            closers.append(language.block_comment[1])
        else:
            closers.append(_CLOSES.get(opener, opener))
    return "".join(closers)
