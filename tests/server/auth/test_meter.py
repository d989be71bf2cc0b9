"""Quotas: examples with exact times, and a machine that compares the bucket to a slow twin."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import QuotaError
from paceline.server.auth.meter import Ledger, TokenMeter, month_of, ms_to_next_month
from paceline.server.auth.tokens import Quotas
from tests.server.auth.people import NOVEMBER_S, Clocks


def meter_of(clocks: Clocks, **quotas: int) -> TokenMeter:
    ledger = Ledger(clocks.wall_s)
    return TokenMeter(
        "a", Quotas(**quotas), ledger, wall_s=clocks.wall_s, monotonic_s=clocks.monotonic_s
    )


def test_a_minute_holds_so_many_requests() -> None:
    clocks = Clocks()
    meter = meter_of(clocks, requests_per_minute=30)
    for _ in range(30):
        meter.begin()
        meter.end(0)
    with pytest.raises(QuotaError, match="30 times a minute") as refused:
        meter.begin()
    assert refused.value.retry_after_ms == 2000
    clocks.seconds = 1.0
    with pytest.raises(QuotaError) as refused:
        meter.begin()
    assert refused.value.retry_after_ms == 1000
    clocks.seconds = 2.0
    meter.begin()
    with pytest.raises(QuotaError):
        meter.begin()
    assert meter.num_running == 1


def test_so_many_at_once() -> None:
    meter = meter_of(Clocks(), max_concurrent=2, requests_per_minute=3)
    meter.begin()
    meter.begin()
    for _ in range(9):
        with pytest.raises(QuotaError, match="2 requests at once"):
            meter.begin()
    meter.end(0)
    meter.begin()  # the refused ones took nothing of the minute


@given(st.integers(1, 20), st.lists(st.floats(0, 30), max_size=60))
@settings(max_examples=50)
def test_no_minute_has_more_than_a_full_bucket_and_its_refill(
    per_minute: int, gaps_s: list[float]
) -> None:
    clocks = Clocks()
    meter = meter_of(clocks, requests_per_minute=per_minute)
    allowed: deque[float] = deque()
    for gap_s in gaps_s:
        clocks.seconds += gap_s
        try:
            meter.begin()
        except QuotaError as refused:
            clocks.seconds += refused.retry_after_ms / 1000
            meter.begin()  # what Retry-After promises, holds
        meter.end(0)
        allowed.append(clocks.seconds)
        while allowed[0] < clocks.seconds - 60:
            allowed.popleft()
        assert len(allowed) <= 2 * per_minute


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
@settings(max_examples=50)
def test_the_next_month_begins_when_it_says(moment: datetime) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    ms = ms_to_next_month(seconds)
    assert ms > 0
    assert month_of(seconds) != month_of(seconds + ms / 1000 + 1e-3)
    assert month_of(seconds) == month_of(seconds + ms / 1000 - 2)


def test_what_is_written_counts_once() -> None:
    ledger = Ledger(lambda: NOVEMBER_S)
    ledger.add("a", 5)
    ledger.add("a", -3)  # nothing is given back
    pending = ledger.pending()
    ledger.add("a", 2)
    assert pending == {("a", "2026-11"): 5}
    assert ledger.used("a") == 7
    ledger.settle(pending)
    ledger.learn("2026-11", {"a": 5})
    assert ledger.used("a") == 7
    assert ledger.pending() == {("a", "2026-11"): 2}
    assert ledger.used("b") == 0
