"""Measures of one predicted line against the true one. Both are compared without trailing space."""

from __future__ import annotations

from itertools import takewhile

import msgspec


class LineScore(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction, scored."""

    is_exact: bool
    edit_similarity: float
    """0 to 1; 1 is equal."""
    correct_prefix_chars: int
    """Characters that the user could have kept, counted from the cursor."""


def score_line(predicted: str, truth: str) -> LineScore:
    """Compare a prediction with the true rest of the line."""
    predicted, truth = predicted.rstrip(), truth.rstrip()
    pairs = zip(predicted, truth, strict=False)
    return LineScore(
        is_exact=predicted == truth,
        edit_similarity=edit_similarity(predicted, truth),
        correct_prefix_chars=sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)),
    )


def edit_similarity(a: str, b: str) -> float:
    """1 - Levenshtein distance / length of the longer text; 1 for two empty texts."""
    longest = max(len(a), len(b))
    return 1.0 - edit_distance(a, b) / longest if longest else 1.0


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in code points, a row at a time in the bits of one integer.

    Source: Myers 1999, "A fast bit-vector algorithm for approximate string matching", in the form of
    Hyyrö 2003 for the distance of whole texts.
    """
    if not a or not b:
        return max(len(a), len(b))
    places: dict[str, int] = {}
    for i, char in enumerate(a):
        places[char] = places.get(char, 0) | (1 << i)
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    plus, minus, distance = full, 0, len(a)
    for char in b:
        match = places.get(char, 0)
        zero = (((match & plus) + plus) ^ plus) | match | minus
        grow, shrink = minus | ~(zero | plus), plus & zero
        distance += bool(grow & last) - bool(shrink & last)
        grow = (grow << 1) | 1
        plus = ((shrink << 1) | ~(zero | grow)) & full
        minus = grow & zero & full
    return distance
