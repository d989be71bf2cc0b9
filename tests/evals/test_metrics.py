"""Measures and intervals against known values, slow twins and bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.intervals import ClusterBootstrap, mcnemar, wilson
from paceline.evals.metrics import edit_distance, edit_similarity, score_line

SHORT = st.text(st.sampled_from("abc (é"), max_size=12)


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@given(a=SHORT, b=SHORT)
def test_edit_distance_is_the_twin_s(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


@given(a=SHORT, b=SHORT)
def test_scores_stay_in_bounds(a: str, b: str) -> None:
    score = score_line(a, b)
    assert 0 <= score.edit_similarity <= 1
    assert score.edit_similarity == pytest.approx(edit_similarity(b.rstrip(), a.rstrip()))
    assert 0 <= score.correct_prefix_chars <= min(len(a.rstrip()), len(b.rstrip()))
    assert score.is_exact == (score.edit_similarity == 1.0)
    assert score.is_exact == (a.rstrip() == b.rstrip())


def test_trailing_space_does_not_matter_and_a_prefix_is_counted() -> None:
    assert score_line("foo(x)  ", "foo(x)").is_exact
    score = score_line("foo(y)", "foo(x)")
    assert (score.is_exact, score.correct_prefix_chars) == (False, 4)
    assert score.edit_similarity == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_values(hits: int, cases: int, low: float, high: float) -> None:
    interval = wilson(hits, cases)
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=6e-5),
        pytest.approx(high, abs=6e-5),
    )


@given(cases=st.integers(1, 400), data=st.data())
def test_wilson_holds_its_value(cases: int, data: st.DataObject) -> None:
    interval = wilson(data.draw(st.integers(0, cases)), cases)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@given(a=st.integers(0, 40), b=st.integers(0, 40))
def test_mcnemar_is_a_symmetric_probability(a: int, b: int) -> None:
    assert 0 < mcnemar(a, b) <= 1
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_gives_known_values() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)


def test_bootstrap_of_single_cases_is_near_the_normal_interval() -> None:
    hits = [float(i % 4 == 0) for i in range(400)]
    clusters = [str(i) for i in range(400)]
    interval = ClusterBootstrap(clusters, num_resamples=2000, seed=1).ratio(hits, [1.0] * 400)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert interval.value == 0.25
    assert interval.low == pytest.approx(0.25 - half, abs=0.01)
    assert interval.high == pytest.approx(0.25 + half, abs=0.01)


def test_bootstrap_widens_when_cases_of_a_file_agree() -> None:
    hits = [float(i // 20 % 4 == 0) for i in range(400)]
    alone = ClusterBootstrap([str(i) for i in range(400)], num_resamples=2000, seed=1)
    files = ClusterBootstrap([str(i // 20) for i in range(400)], num_resamples=2000, seed=1)
    ones = [1.0] * 400
    narrow, wide = alone.ratio(hits, ones), files.ratio(hits, ones)
    assert files.num_clusters == 20
    assert (wide.high - wide.low) > 3 * (narrow.high - narrow.low)


def test_bootstrap_keeps_the_whole_in_each_resample() -> None:
    sums = ClusterBootstrap(["a", "b", "c"], num_resamples=50, seed=0).resampled_sums(
        [1.0, 1.0, 1.0]
    )
    assert np.all(sums == 3)
