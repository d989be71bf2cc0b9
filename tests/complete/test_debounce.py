"""When waiting pays, and when it does not."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.complete.debounce import MIN_LATENCIES, DebounceConfig, Debouncer
from paceline.complete.rhythm import Pace
from paceline.core.errors import ConfigError

FAST = Pace(median_gap_ms=120.0, high_gap_ms=180.0, num_recent=20)


def measured(latency_ms: float, config: DebounceConfig | None = None) -> Debouncer:
    debouncer = Debouncer(config)
    for _ in range(MIN_LATENCIES):
        debouncer.record_latency(latency_ms)
    return debouncer


def test_the_first_answers_of_a_process_say_nothing() -> None:
    debouncer = Debouncer()
    for latency_ms in (340.0, 5.0):
        debouncer.record_latency(latency_ms)
        assert debouncer.delay(FAST).delay_ms == 0
    debouncer.record_latency(5.0)
    assert debouncer.latency_ms == 5.0


@pytest.mark.parametrize("fact", ["is_invoked", "is_cached", "is_agreeing"])
def test_nobody_waits_for_what_is_there_or_was_asked_for(fact: str) -> None:
    delay = measured(900).delay(FAST, **{fact: True})
    assert delay.delay_ms == 0
    assert delay.reasons == (
        {"is_invoked": "invoked", "is_cached": "cached"}.get(fact, "running_request_agrees"),
    )


def test_nobody_waits_where_nothing_is_known() -> None:
    assert measured(900).delay(Pace()).reasons == ("rhythm_unknown",)
    assert Debouncer().delay(FAST).reasons == ("latency_unknown",)


def test_quick_answers_are_asked_for_at_once() -> None:
    delay = measured(60).delay(FAST)
    assert (delay.delay_ms, delay.reasons) == (0, ("faster_than_typing",))
    assert delay.probability_seen is not None
    assert delay.probability_seen > 0.9


def test_slow_answers_wait_for_a_pause_longer_for_slower_typists() -> None:
    delays = [
        measured(900).delay(Pace(median_gap_ms=gap, high_gap_ms=gap * 1.5)).delay_ms
        for gap in (60.0, 120.0, 240.0)
    ]
    assert 0 < delays[0] < delays[1] < delays[2] <= DebounceConfig().max_delay_ms


def test_whoever_deletes_is_left_alone_for_a_moment() -> None:
    delay = measured(10).delay(Pace(median_gap_ms=120.0, high_gap_ms=180.0, is_deleting=True))
    assert (delay.delay_ms, delay.reasons) == (180.0, ("deleting",))


def test_free_requests_are_never_delayed() -> None:
    config = DebounceConfig(request_cost=0.0)
    assert measured(400, config).delay(FAST).delay_ms == 0


def test_the_latency_is_the_median_and_falls_slowly() -> None:
    debouncer = measured(100)
    for latency_ms in (100, 5_000, 100):
        debouncer.record_latency(latency_ms)
    assert debouncer.latency_ms == 100
    for _ in range(9):
        debouncer.record_latency(1_000)
    assert debouncer.latency_ms == 1_000
    seen: list[float] = []
    for _ in range(12):
        debouncer.record_latency(100)
        assert debouncer.latency_ms is not None
        seen.append(debouncer.latency_ms)
    assert all(after >= 0.9 * before - 1e-9 for before, after in pairwise(seen))
    assert seen[-1] < 500


def test_impossible_latencies_are_ignored() -> None:
    debouncer = Debouncer()
    for latency_ms in (-1.0, float("nan"), float("inf"), 1e9):
        debouncer.record_latency(latency_ms)
    assert debouncer.latency_ms is None


def test_the_delay_beats_others_on_drawn_gaps() -> None:
    """The slow twin: draw gaps, count what is seen and asked, and compare fixed delays."""
    rng = random.Random(4)
    config = DebounceConfig()
    gaps_ms = [
        60_000.0 if rng.random() < config.pause_share else rng.lognormvariate(4.787, 0.48)
        for _ in range(4_000)
    ]
    latency_ms = 500.0
    chosen = measured(latency_ms).delay(FAST).delay_ms

    def value(delay_ms: float) -> float:
        seen = sum(gap > delay_ms + latency_ms for gap in gaps_ms)
        asked = sum(gap > delay_ms for gap in gaps_ms)
        late = 2.718281828 ** (-(delay_ms + latency_ms) / config.patience_ms)
        return seen * late - config.request_cost * asked

    best = max(range(0, 401, 20), key=value)
    assert abs(best - chosen) <= 80
    assert value(chosen) > value(0)


@given(
    st.floats(0, 1e5),
    st.floats(0, 1e5),
    st.floats(0, 1e6),
    st.booleans(),
)
def test_any_rhythm_gives_a_delay_within_bounds(
    median_ms: float, high_ms: float, latency_ms: float, is_deleting: bool
) -> None:
    pace = Pace(median_gap_ms=median_ms, high_gap_ms=high_ms, is_deleting=is_deleting)
    delay = measured(latency_ms).delay(pace)
    assert 0 <= delay.delay_ms <= 400
    assert delay.reasons


@pytest.mark.parametrize(
    "bad",
    [{"max_delay_ms": -1}, {"request_cost": -1}, {"pause_share": 2}, {"decay": 0}, {"patience_ms": 0},
     {"num_latencies": 0}],
)  # fmt: skip
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        DebounceConfig(**bad)  # pyright: ignore[reportArgumentType]
