"""Figures out of samples. An answer that never came is `inf`; percentiles keep it, they do not drop it."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile: the least value that at least `share` of the values do not exceed.

    nan for no values. Never between two values, so one `inf` does not spread to its neighbours.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def p50(values: Sequence[float]) -> float:
    """Median by nearest rank."""
    return percentile(values, 0.50)


def p95(values: Sequence[float]) -> float:
    """95th percentile by nearest rank."""
    return percentile(values, 0.95)


def geometric_mean(values: Sequence[float]) -> float:
    """nan for no values; inf if one is."""
    if not values:
        return math.nan
    if any(math.isinf(value) for value in values):
        return math.inf
    return math.exp(sum(math.log(value) for value in values) / len(values))


def shares_of_agreement(
    ours: Sequence[str], theirs: Sequence[str], their_starts: Sequence[str]
) -> tuple[float, float]:
    """(share of identical answers, share of answers of ours that begin with the peer's first tokens)."""
    if not ours:
        return math.nan, math.nan
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    begun = sum(one.startswith(start) for one, start in zip(ours, their_starts, strict=True))
    return same / len(ours), begun / len(ours)
