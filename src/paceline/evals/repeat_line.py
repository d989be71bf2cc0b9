"""Baseline (b): repeat the line after the most similar line of the prefix.

The line before the cursor's is compared with every earlier line; what followed the most similar one
is proposed. Made as strong as such a rule can honestly be: the line before that counts too, an equal
indentation is a plus, the nearest of equals wins, and when the typed part of the line fits no such
line, the rest of the last line that has the longest end of the typed part is repeated. The three
constants were chosen on 2,000 cases of ten training packages.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from paceline.evals.metrics import edit_similarity

SECOND_LINE_WEIGHT = 0.6
INDENT_BONUS = 0.6
MIN_OVERLAP_CHARS = 1
MAX_COMPARED = 30
"""Candidates that share most words with the line before are compared by edit distance."""
_WORD = re.compile(r"\w+|[^\w\s]")


class _Candidate(NamedTuple):
    """An earlier line with its number among the lines that are not blank."""

    number: int
    line: str


def repeat_line(prefix: str) -> str | None:
    """Propose the rest of the line that `prefix` ends in; None is to abstain."""
    *earlier, current = prefix.split("\n")
    typed = current.lstrip()
    lines = [line for line in earlier if line.strip()]
    followers = [
        _Candidate(number, line)
        for number, line in enumerate(lines)
        if number and line.lstrip().startswith(typed) and len(line.lstrip()) > len(typed)
    ]
    if followers:
        return _most_similar(lines, followers, _indent(current)).line.lstrip()[len(typed) :]
    return _repeat_end(lines, typed)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _most_similar(lines: list[str], followers: list[_Candidate], indent: int) -> _Candidate:
    """The follower whose line before is most like the last line; the nearest of equals."""
    words = set(_WORD.findall(lines[-1]))

    def shared(candidate: _Candidate) -> tuple[float, int]:
        others = set(_WORD.findall(lines[candidate.number - 1]))
        share = len(words & others) / max(len(words | others), 1)
        return share + INDENT_BONUS * (_indent(candidate.line) == indent), candidate.number

    def likeness(candidate: _Candidate) -> tuple[float, int]:
        number = candidate.number
        first = edit_similarity(lines[number - 1].strip(), lines[-1].strip())
        has_second = number >= 2 and len(lines) >= 2
        second = (
            edit_similarity(lines[number - 2].strip(), lines[-2].strip()) if has_second else 0.0
        )
        bonus = INDENT_BONUS * (_indent(candidate.line) == indent)
        return first + SECOND_LINE_WEIGHT * second + bonus, number

    return max(sorted(followers, key=shared)[-MAX_COMPARED:], key=likeness)


def _repeat_end(lines: list[str], typed: str) -> str | None:
    """What followed the last occurrence of the longest end of `typed` that begins at a word."""
    for start in (match.start() for match in _WORD.finditer(typed)):
        end = typed[start:]
        if len(end.strip()) < MIN_OVERLAP_CHARS:
            return None
        for line in reversed(lines):
            at = line.rfind(end)
            if at >= 0 and line[at + len(end) :].strip():
                return line[at + len(end) :]
    return None
