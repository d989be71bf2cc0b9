"""How sure a figure is: Wilson's interval, a bootstrap over clusters, an exact paired test."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Z_95 = 1.959963984540054


class Interval(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(num_hits: int, num_cases: int) -> Interval:
    """Wilson's score interval of a share; the cases are taken as independent.

    Source: Wilson 1927, JASA 22:209-212.
    """
    if not num_cases:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = num_hits / num_cases, Z_95**2
    centre = (share + z2 / (2 * num_cases)) / (1 + z2 / num_cases)
    half = sqrt(share * (1 - share) / num_cases + z2 / (4 * num_cases**2))
    half *= Z_95 / (1 + z2 / num_cases)
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


class ClusterBootstrap:
    """Resamples whole clusters (files), since the cases of one file resemble each other.

    All figures of one object use the same resamples, so they are paired.
    """

    def __init__(self, clusters: Sequence[str], *, num_resamples: int, seed: int) -> None:
        _, self._index = np.unique(np.array(clusters, np.str_), return_inverse=True)
        self.num_clusters = int(self._index.max()) + 1 if len(clusters) else 0
        rng = np.random.default_rng(seed)
        shares = np.full(self.num_clusters, 1.0 / max(self.num_clusters, 1))
        draws: Any = rng.multinomial(self.num_clusters, shares, size=num_resamples)
        self._draws: npt.NDArray[np.float64] = draws.astype(np.float64)

    def resampled_sums(self, values: Sequence[float]) -> npt.NDArray[np.float64]:
        """The sum of `values` (one a case) in each resample."""
        sums = np.bincount(self._index, weights=np.array(values), minlength=self.num_clusters)
        return self._draws @ sums

    def ratio(self, numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
        """Sum over sum with its percentile interval; means are ratios to a list of ones."""
        total = sum(denominators)
        resampled = self.resampled_sums(numerators) / self.resampled_sums(denominators)
        return percentile_interval(sum(numerators) / total, resampled)


def percentile_interval(value: float, resampled: npt.NDArray[np.float64]) -> Interval:
    """The middle 95 % of the resampled values."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def mcnemar(num_only_a: int, num_only_b: int) -> float:
    """Two-sided exact p-value that A and B are right equally often, from the cases where they differ.

    Source: McNemar 1947, in the exact (binomial) form.
    """
    num_cases, fewer = num_only_a + num_only_b, min(num_only_a, num_only_b)
    tail = sum(comb(num_cases, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**num_cases)
