"""The rhythm of typing: pauses are not typing, and no clock can break it."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.rhythm import MAX_GAPS, MIN_GAPS, PAUSE_MS, Pace, Rhythm


def type_at(*times_ms: float, rhythm: Rhythm | None = None) -> Pace:
    """The pace after one character at each time."""
    rhythm = rhythm or Rhythm()
    pace = Pace()
    for at_ms in times_ms:
        pace = rhythm.press(at_ms, num_inserted=1, num_deleted=0)
    return pace


def test_the_first_keystroke_says_nothing() -> None:
    assert type_at(500.0) == Pace(num_recent=1)


def test_quantiles_wait_for_a_few_gaps() -> None:
    few = [100.0 * index for index in range(MIN_GAPS)]
    assert type_at(*few).median_gap_ms is None
    assert type_at(*few, 100.0 * MIN_GAPS).median_gap_ms == 100


def test_median_and_high_gap() -> None:
    pace = type_at(0, 100, 300, 600, 1000, 1500)  # gaps 100, 200, 300, 400, 500
    assert pace.median_gap_ms == 300
    assert math.isclose(pace.high_gap_ms or 0, 420)
    assert pace.last_gap_ms == 500
    assert pace.num_recent == 6


def test_a_pause_is_no_gap_and_starts_anew() -> None:
    rhythm = Rhythm()
    type_at(0, 100, 200, 300, 400, rhythm=rhythm)
    pace = type_at(400 + PAUSE_MS + 1, rhythm=rhythm)
    assert (pace.last_gap_ms, pace.num_recent) == (PAUSE_MS + 1, 1)
    assert pace.median_gap_ms == 100
    assert type_at(1600, rhythm=rhythm).num_recent == 2


def test_only_the_latest_gaps_count() -> None:
    slow = [900.0 * index for index in range(MAX_GAPS)]
    fast = [slow[-1] + 50.0 * index for index in range(1, MAX_GAPS + 1)]
    pace = type_at(*slow, *fast)
    assert (pace.median_gap_ms, pace.high_gap_ms) == (50, 50)


def test_deleting() -> None:
    rhythm = Rhythm()
    assert rhythm.press(0, num_inserted=0, num_deleted=1).is_deleting
    assert not rhythm.press(1, num_inserted=3, num_deleted=1).is_deleting
    assert not rhythm.press(2, num_inserted=0, num_deleted=0).is_deleting


def test_a_paste_is_no_rhythm() -> None:
    rhythm = Rhythm()
    type_at(0, 100, 200, 300, 400, rhythm=rhythm)
    pace = rhythm.press(1300, num_inserted=500, num_deleted=0)
    assert (pace.high_gap_ms, pace.last_gap_ms, pace.num_recent) == (100, 900, 6)


def test_asking_again_without_a_change_is_no_keystroke() -> None:
    rhythm = Rhythm()
    type_at(0, 100, 200, 300, 400, rhythm=rhythm)
    assert rhythm.press(420, num_inserted=0, num_deleted=0).num_recent == 5
    waited = rhythm.press(3000, num_inserted=0, num_deleted=0)
    assert (waited.last_gap_ms, waited.num_recent, waited.median_gap_ms) == (2600, 0, 100)
    assert type_at(3100, rhythm=rhythm).last_gap_ms == 2700


def test_a_clock_that_jumps_back_starts_anew() -> None:
    rhythm = Rhythm()
    type_at(5000, 5100, rhythm=rhythm)
    assert type_at(10, rhythm=rhythm) == Pace(num_recent=1)
    assert type_at(110, rhythm=rhythm).last_gap_ms == 100


def test_a_clock_that_stands_still() -> None:
    pace = type_at(*[7.0] * 9)
    assert (pace.median_gap_ms, pace.last_gap_ms, pace.num_recent) == (0, 0, 9)


TIMES = st.floats() | st.integers(-(10**6), 10**6).map(float)


@settings(max_examples=60)
@given(st.lists(st.tuples(TIMES, st.integers(0, 99), st.integers(0, 99)), max_size=40))
def test_any_clock(presses: list[tuple[float, int, int]]) -> None:
    rhythm = Rhythm()
    for number, (at_ms, inserted, deleted) in enumerate(presses, start=1):
        pace = rhythm.press(at_ms, num_inserted=inserted, num_deleted=deleted)
        assert 0 <= pace.num_recent <= number
        gaps = [pace.median_gap_ms, pace.high_gap_ms]
        assert all(gap is None or 0 <= gap <= PAUSE_MS for gap in gaps)
        assert pace.last_gap_ms is None or 0 <= pace.last_gap_ms < math.inf
