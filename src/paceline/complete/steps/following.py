"""Text that the next lines of the document already have."""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut
from paceline.core.types import Candidate, Drop

MAX_COMPARED_LINES = 3
MAX_DIFFERENCE = 0.05
"""Share of the characters that may differ, or one character: Tabby's (postprocess/dropDuplicated.ts)."""
MAX_COMPARED_CHARS = 2_000
"""Of the candidate."""
MAX_LINES_READ = 20
MIN_TELLING_CHARS = 24
"""A line from this length on seldom comes twice."""
MIN_SLIP_CHARS = 40
"""From this length on a word may differ by a letter."""
MIN_NEAR_CHARS = 12
"""Shorter lines are often alike and both wanted."""
_DIGITS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+")


def cut_repeated_line(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before a line that is, with its indentation, the next line of the document.

    Short lines (`try:`, `return`) come more than once in real code. One counts if the candidate goes on as
    the document does, or ends there.
    """
    if not scene.following_lines:
        return candidate
    lines = candidate.text.split("\n")
    start = 0
    for index, line in enumerate(lines):
        whole = line if index else scene.line_before + line
        is_repeat = bool(line.strip()) and whole.rstrip() == scene.following_lines[0]
        if (
            is_repeat
            and (index or not scene.line_after)
            and _goes_on_as_document(lines[index:], scene)
        ):
            return cut(candidate, max(start - 1, 0), if_empty="repeats_suffix")
        start += len(line) + 1
    return candidate


def _goes_on_as_document(lines: list[str], scene: Scene) -> bool:
    """Are these lines, the first of which is the document's next, worth nothing after it?"""
    if len(lines[0].strip()) >= MIN_TELLING_CHARS:
        return True
    own = [line.rstrip() for line in lines[1:MAX_LINES_READ] if line.strip()][
        : MAX_COMPARED_LINES - 1
    ]
    following = scene.following_lines[1:MAX_COMPARED_LINES]
    pairs = list(zip(own, following, strict=False))
    if not pairs:
        return True
    *whole, (last, last_following) = pairs
    return all(one == other for one, other in whole) and last_following.startswith(last)


def drop_near_following(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Drop lines that are nearly those that follow: equal but for white space, signs or a typing slip.

    Neighbouring lines of real code are often alike on purpose, so single lines must have the same words,
    and several lines the same numbers.
    """
    if scene.line_after or not scene.following_lines:
        return candidate
    own = _first_lines(candidate, scene, min(MAX_COMPARED_LINES, len(scene.following_lines)))
    following = [line.strip() for line in scene.following_lines[: len(own)]]
    return Drop("repeats_following") if own and _is_near(own, following) else candidate


def _first_lines(candidate: Candidate, scene: Scene, count: int) -> list[str]:
    """The first lines that the candidate completes or adds, stripped, blank ones left out."""
    text = candidate.text[:MAX_COMPARED_CHARS]
    is_line_finished = text.lstrip(" \t\r").startswith("\n")
    lines = (text if is_line_finished else scene.line_before + text).split("\n")
    return [line.strip() for line in lines if line.strip()][:count]


def _is_near(own: list[str], following: list[str]) -> bool:
    one, other = ("".join("".join(lines).split()) for lines in (own, following))
    if min(len(one), len(other)) < MIN_NEAR_CHARS or _DIGITS.findall(one) != _DIGITS.findall(other):
        return False
    limit = max(1, int(MAX_DIFFERENCE * max(len(one), len(other))))
    if Levenshtein.distance(one, other, score_cutoff=limit) > limit:
        return False
    is_same = _WORDS.findall(" ".join(own)) == _WORDS.findall(" ".join(following))
    return is_same or len(one) >= MIN_SLIP_CHARS
