"""How good probabilities are, how they are made honest, and from which one on a completion is worth showing.

Offline; plain Python, no numpy. Probabilities are between 0 and 1, labels say what was kept.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from operator import sub

import msgspec

MIN_ISOTONIC_BLOCK = 20
"""Rows behind one point of the calibration curve: fewer only draw the noise."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A choice, and what it brings on the rows it was chosen on."""

    threshold: float
    value_per_row: float
    """Saved characters minus reading cost, over all rows, shown or not."""
    shown_share: float


def fit_isotonic(
    probabilities: Sequence[float],
    labels: Sequence[bool],
    *,
    min_block: int = MIN_ISOTONIC_BLOCK,
) -> tuple[tuple[float, float], ...]:
    """The calibration curve: points (raw, calibrated) that ascend in both. Pool adjacent violators.

    Rows of equal probability are one; blocks of fewer than `min_block` rows join their neighbour. Fit it
    on rows that the weights were not fitted on.

    Source: Zadrozny, Elkan 2002 (KDD), "Transforming classifier scores into accurate multiclass probability
    estimates".
    """
    blocks = _pooled(_grouped(sorted(zip(probabilities, labels, strict=True)), min_block))
    points: list[tuple[float, float]] = []
    for sum_x, sum_y, count in blocks:
        x, y = min(max(sum_x / count, 0.0), 1.0), sum_y / count
        if not points or x > points[-1][0]:
            points.append((x, max(y, points[-1][1]) if points else y))
    return tuple(points)


def auc(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """Probability that a kept row ranks above one that was not; ties count half. 0.5 without both kinds."""
    negatives = sorted(p for p, label in zip(probabilities, labels, strict=True) if not label)
    positives = sorted(p for p, label in zip(probabilities, labels, strict=True) if label)
    if not negatives or not positives:
        return 0.5
    wins = 0.0
    for value in positives:
        below = bisect_left(negatives, value)
        ties = bisect_left(negatives, math.nextafter(value, math.inf)) - below
        wins += below + ties / 2
    return wins / (len(negatives) * len(positives))


def ece(probabilities: Sequence[float], labels: Sequence[bool], *, num_bins: int = 10) -> float:
    """Expected calibration error: mean distance of probability and kept share, over bins of equal width.

    Source: Naeini, Cooper, Hauskrecht 2015 (AAAI); Guo et al. 2017 (ICML).
    """
    if not probabilities:
        return 0.0
    bins = [[0.0, 0.0] for _ in range(num_bins)]
    for probability, label in zip(probabilities, labels, strict=True):
        chosen = bins[min(int(probability * num_bins), num_bins - 1)]
        chosen[0] += probability
        chosen[1] += label
    return sum(abs(sum_p - sum_y) for sum_p, sum_y in bins) / len(probabilities)


def choose_threshold(
    probabilities: Sequence[float],
    saved_chars: Sequence[float],
    reading_costs: Sequence[float],
) -> Threshold:
    """The threshold of the greatest sum, over the rows it shows, of saved characters minus reading cost.

    Of equal sums the lowest threshold, which shows more. Rows of equal probability are shown together.

    Args:
        saved_chars: that the user did not have to type, if it was shown; 0 if it was not kept.
        reading_costs: in characters of typing, of looking at it.
    """
    gains = map(sub, saved_chars, reading_costs)
    ordered = sorted(zip(probabilities, gains, strict=True), reverse=True)
    best, best_at, total = 0.0, 0, 0.0
    for place, (probability, gain) in enumerate(ordered, start=1):
        total += gain
        is_last_of_equals = place == len(ordered) or ordered[place][0] < probability
        if is_last_of_equals and total >= best:
            best, best_at = total, place
    num_rows = max(len(ordered), 1)
    return Threshold(
        threshold=_threshold_below([p for p, _ in ordered], best_at),
        value_per_row=best / num_rows,
        shown_share=best_at / num_rows,
    )


def _threshold_below(descending: list[float], num_shown: int) -> float:
    """Half way between the last that is shown and the first that is not."""
    if num_shown == len(descending):
        return 0.0
    if num_shown == 0:
        return min((descending[0] + 1.0) / 2 if descending[0] < 1 else 1.0, 1.0)
    return (descending[num_shown - 1] + descending[num_shown]) / 2


def _grouped(ordered: list[tuple[float, bool]], min_block: int) -> list[tuple[float, float, int]]:
    """Blocks (sum of probabilities, of labels, count) of at least `min_block` rows; equals together."""
    blocks: list[list[float]] = []
    last = math.nan
    for probability, label in ordered:
        if not blocks or (blocks[-1][2] >= min_block and probability != last):
            blocks.append([0.0, 0.0, 0.0])
        blocks[-1][0] += probability
        blocks[-1][1] += label
        blocks[-1][2] += 1
        last = probability
    if len(blocks) > 1 and blocks[-1][2] < min_block:
        tail = blocks.pop()
        blocks[-1] = [a + b for a, b in zip(blocks[-1], tail, strict=True)]
    return [(x, y, int(count)) for x, y, count in blocks]


def _pooled(blocks: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Join neighbours until the share of kept rows ascends from block to block."""
    pooled: list[tuple[float, float, int]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][1] * pooled[-1][2] >= pooled[-1][1] * pooled[-2][2]:
            x, y, count = pooled.pop()
            before = pooled.pop()
            pooled.append((before[0] + x, before[1] + y, before[2] + count))
    return pooled
