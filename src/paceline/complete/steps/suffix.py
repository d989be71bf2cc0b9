"""Text that the rest of the cursor's line already has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, rest_of_line
from paceline.core.types import Candidate, Drop

MIN_REPEATED_CHARS = 3
"""A repeated rest of the line with words in it counts from this length ..."""
MIN_PARTLY_REPEATED_CHARS = 8
"""... and the beginning of such a rest from this one; shorter ones happen by chance."""
MAX_OVERLAPS = 200
"""More places where the text has the rest's beginning are not looked at."""
_WORD = re.compile(r"\w")
_STOPS = (";", ",", ":")


def cut_repeated_rest(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut text that the rest of the line already has: `a, b)` before `)` becomes `a, b`.

    Words count by length. Brackets and quotes alone are cut only if the line is better balanced
    without them, so that `foo(x)` before the `)` of an outer call stays whole.
    """
    rest = rest_of_line(candidate, scene)
    if not rest:
        return candidate
    text, before = candidate.text, scene.line_before
    for start, common, more in islice(_overlaps(text, rest), MAX_OVERLAPS):
        if _WORD.search(common):
            is_repeat = _is_repeated(common, rest, more)
        else:
            kept = before + text[:start] + rest
            is_repeat = not more and (
                imbalance(kept) < imbalance(before + text + rest)
                or _is_end_of(common, rest, before)
            )
        if is_repeat:
            return cut(candidate, start, if_empty="repeats_suffix")
    return candidate


def imbalance(text: str) -> int:
    """How many brackets and quotes of `text` lack their other half, counted without parsing."""
    brackets = sum(abs(text.count(pair[0]) - text.count(pair[1])) for pair in ("()", "[]", "{}"))
    return brackets + sum(text.count(quote) % 2 for quote in "\"'`")


def _overlaps(text: str, rest: str) -> Iterator[tuple[int, str, str]]:
    """Where the rest of the line, or to the text's end its beginning, stands in the text.

    Yields the start, what both have, and what the text has after it.
    """
    start = text.find(rest[0])
    while start >= 0:
        if text.startswith(rest, start):
            yield start, rest, text[start + len(rest) :]
        elif len(text) - start <= len(rest) and rest.startswith(text[start:]):
            yield start, text[start:], ""
        start = text.find(rest[0], start + 1)


def _is_end_of(common: str, rest: str, before: str) -> bool:
    """Is it a stop that nobody writes twice, or the end of `<...` that the line begins?"""
    if common.strip() != rest.strip():
        return False
    return common.strip() in _STOPS or (common[0] == ">" and before.count("<") > before.count(">"))


def _is_repeated(common: str, rest: str, more: str) -> bool:
    is_whole = common == rest and (not more or more.lstrip(" \t\r").startswith("\n"))
    min_chars = MIN_REPEATED_CHARS if is_whole else MIN_PARTLY_REPEATED_CHARS
    return len(common.strip()) >= min_chars and (is_whole or not more)
