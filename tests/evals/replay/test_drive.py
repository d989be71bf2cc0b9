"""What is counted when edits are typed through the brain: saved, wasted, flickering, and where it was asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from paceline.complete.config import CompleteConfig
from paceline.core.progress import Progress
from paceline.core.types import Cursor, Document
from paceline.evals.replay.clock import ReplayClock
from paceline.evals.replay.drive import Driver, Windows
from paceline.evals.replay.run import Replayer
from paceline.evals.replay.tally import Tally, figures_of
from paceline.evals.replay.variants import Variant, baseline, brain
from paceline.traces.moments import moments
from paceline.traces.types import Keystroke, Trace
from tests.evals.replay.scripts import (
    FILE,
    NEVER_ACCEPTS,
    Direct,
    Oracle,
    Recorder,
    always_right,
    always_wrong,
    as_items,
    replayer,
    run,
    sometimes_right,
    still_clock,
    typed,
    typed_at,
)

UNGATED = brain(is_gated=False)
VARIANTS = (baseline(), UNGATED)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_truth_saves_nearly_everything(variant: Variant) -> None:
    traces = [typed(seed=seed) for seed in range(4)]
    outcome = run(Oracle([FILE], always_right), variant, *traces)
    figures, total = figures_of(outcome.total), outcome.total
    assert figures.spared_share is not None
    assert figures.spared_share > 0.8
    assert figures.kept_share is not None
    assert figures.kept_share > 0.95
    assert total.num_deleted_chars == 0
    assert total.num_accepted > 0
    assert total.num_rejected == 0


@pytest.mark.parametrize("variant", [*VARIANTS, brain()], ids=["baseline", "ungated", "brain"])
def test_nonsense_saves_nothing(variant: Variant) -> None:
    traces = [typed(seed=seed) for seed in range(4)]
    outcome = run(Oracle([FILE], always_wrong), variant, *traces)
    total, figures = outcome.total, figures_of(outcome.total)
    assert total.num_kept_chars == total.num_spared == total.num_accepted == 0
    assert figures.tokens_per_kept_char is None
    assert figures.kept_chars_per_opportunity == 0
    assert total.num_moments == sum(_num_pressed(trace) for trace in traces)
    assert total.num_chances == total.num_opportunities


@given(
    seed=st.integers(0, 1000),
    answer=st.sampled_from((always_right, always_wrong, sometimes_right)),
    variant=st.sampled_from(VARIANTS),
)
@settings(max_examples=10)
def test_an_accepted_part_is_not_typed_again(
    seed: int, answer: Callable[[str, str], str], variant: Variant
) -> None:
    """Wherever it is asked, the document is one that the real edit passes through, each later than the last."""
    trace = typed(seed=seed)
    cursors, tally = _asked(Oracle([FILE], answer), variant.config, trace)
    states = [moment.cursor for moment in moments(trace)]
    for cursor in cursors:
        assert FILE.startswith(cursor.prefix)
        assert cursor.suffix == states[-1].suffix
    offsets = [cursor.offset for cursor in cursors]
    assert offsets == sorted(set(offsets))
    num_accepts = tally.num_accepted + tally.num_partly_accepted
    assert tally.num_moments == len(cursors) == _num_pressed(trace) - tally.num_spared + num_accepts
    if tally.num_kept_chars == 0:
        assert [cursor.document.text for cursor in cursors] == [
            state.document.text for state in states[1:]
        ]


def test_every_key_is_typed_or_spared_once() -> None:
    """With one-line edits, a spared key is a kept character."""
    line = FILE.index("    circle_area = math")
    trace = typed_at("circle_area = math.pi * squared_radius", line + 4)
    for answer in (always_right, sometimes_right):
        for variant in VARIANTS:
            cursors, tally = _asked(Oracle([FILE], answer), variant.config, trace)
            assert tally.num_spared == tally.num_kept_chars > 0
            typed_chars = len(cursors) - tally.num_accepted - tally.num_partly_accepted
            assert typed_chars + tally.num_kept_chars == len(
                "circle_area = math.pi * squared_radius"
            )


@given(seed=st.integers(0, 1000), mistake_share=st.sampled_from((0.0, 0.1)))
@settings(max_examples=4)
def test_what_is_remembered_is_what_would_be_computed(seed: int, mistake_share: float) -> None:
    """Counts do not depend on whether other variants have asked the same before, nor on there being a memo."""
    trace = typed(seed=seed, num_holes=2, mistake_share=mistake_share)
    generator = Oracle([FILE], sometimes_right)
    warm = replayer(generator)
    for variant in VARIANTS:
        warm.run(variant, as_items(trace), Progress())
    num_computed = warm.memo.num_computed
    for variant in VARIANTS:
        remembered = warm.run(variant, as_items(trace), Progress())
        fresh = run(generator, variant, trace)
        direct = replayer(generator)
        direct.memo = Direct(generator)  # type: ignore[assignment]
        without = direct.run(variant, as_items(trace), Progress())
        assert remembered.total.counts() == fresh.total.counts() == without.total.counts()
        assert remembered.rows == fresh.rows
    assert warm.memo.num_computed == num_computed


def test_flicker_is_text_that_changes_though_it_was_right() -> None:
    trace = typed_at("circle_area = math.pi * squared_radius", FILE.index("circle_area = math"))
    steady = run(Oracle([FILE], always_right), baseline(), trace, user=NEVER_ACCEPTS).total
    assert steady.num_shown == 1
    assert steady.num_flickers == 0

    def restless(prefix: str, truth: str) -> str:
        return truth + f"  # {len(prefix) % 2}"

    moody = run(Oracle([FILE], restless), baseline(), trace, user=NEVER_ACCEPTS).total
    assert moody.num_flickers == moody.num_shown - 1 > 10

    wrong = run(Oracle([FILE], always_wrong), baseline(), trace, user=NEVER_ACCEPTS).total
    assert wrong.num_shown > 10
    assert wrong.num_flickers == 0, "what was wrong had to go"


def test_an_answer_that_comes_too_late_is_not_shown() -> None:
    """The machine takes a minute for each answer; keys come every two seconds."""
    passed = 0.0

    def slow_ms() -> float:
        nonlocal passed
        passed += 60_000.0
        return passed

    late = Replayer(Oracle([FILE], always_right), NEVER_ACCEPTS, clock=ReplayClock(slow_ms))
    total = late.run(baseline(), as_items(typed()), Progress()).total
    assert total.num_asked > 0
    assert total.num_shown == total.num_kept_chars == 0


@given(
    num_on=st.integers(1, 30),
    num_off=st.integers(0, 30),
    max_keys=st.integers(1, 60),
    phase=st.integers(0, 60),
    is_sliced_only=st.booleans(),
)
@settings(max_examples=10)
def test_every_variant_covers_the_same_keys(
    num_on: int, num_off: int, max_keys: int, phase: int, is_sliced_only: bool
) -> None:
    windows = Windows(num_on, num_off, max_keys, phase, is_sliced_only)
    traces = as_items(typed(num_holes=3), typed(seed=1, num_holes=2))
    found = set[tuple[int, ...]]()
    for answer in (always_right, always_wrong, sometimes_right):
        one = replayer(Oracle([FILE], answer), windows=windows)
        outcome = one.run(UNGATED, traces, Progress())
        found.add(tuple(tally.num_chances for tally in outcome.by_trace))
        for tally in outcome.by_trace:
            num_pressed = tally.num_moments - tally.num_accepted - tally.num_partly_accepted
            assert num_pressed + tally.num_spared <= max_keys
    assert len(found) == 1


@given(num_on=st.integers(1, 40), num_off=st.integers(0, 40), phase=st.integers(0, 100))
def test_windows_come_and_go(num_on: int, num_off: int, phase: int) -> None:
    windows = Windows(num_on, num_off, phase=phase)
    period = num_on + num_off
    assert sum(windows.has(index) for index in range(3 * period)) == 3 * num_on
    assert all(windows.has(index) == windows.has(index + period) for index in range(period))


@given(num_keys=st.integers(0, 5000), max_keys=st.integers(1, 400), seed=st.integers(0, 99))
def test_windows_are_spread_over_the_trace(num_keys: int, max_keys: int, seed: int) -> None:
    windows = Windows(max_keys=max_keys).over(num_keys, random.Random(seed))
    num_covered = sum(windows.has(index) for index in range(num_keys))
    if num_keys <= max_keys:
        assert num_covered == num_keys
    else:
        assert abs(num_covered - max_keys) <= windows.num_on + max_keys / 10
    assert Windows(num_off=7).over(num_keys, random.Random(seed)).num_off == 7


def test_what_follows_a_docstring_is_counted_apart() -> None:
    text = '    """Return the area of so many circles and squares."""\n    circle_area = area_of_circle(radius)'
    trace = typed_at(text, FILE.index(text))
    generator = Oracle([FILE], always_right)
    for windows, num_keys in ((None, len(text) - 4), (Windows(is_sliced_only=True), 37)):
        one = replayer(generator, user=NEVER_ACCEPTS, windows=windows)
        outcome = one.run(baseline(), as_items(trace), Progress())
        assert outcome.total.num_moments == num_keys
        assert outcome.slice.num_chances == outcome.slice.num_opportunities == 1
        assert outcome.slice.num_shown_chars == len("circle_area = area_of_circle(radius)")
    taken = replayer(generator).run(baseline(), as_items(trace), Progress())
    assert taken.slice.num_kept_chars in (0, len("circle_area = area_of_circle(radius)"))


def test_parts_add_up() -> None:
    traces = as_items(typed(num_holes=2), typed(seed=1), typed(seed=2))
    outcome = replayer(Oracle([FILE], sometimes_right)).run(UNGATED, traces, Progress())
    for parts in (outcome.by_trace, list(outcome.by_project.values())):
        total = Tally()
        for part in parts:
            total.add(part.counts())
        assert total == outcome.total.counts()
    assert all(not tally.latencies_ms and not tally.spans_ms for tally in outcome.by_trace)
    assert len(outcome.by_trace) == len(outcome.slice_by_trace) == 3
    assert all(row.is_kept == (row.num_kept_chars > 0) for row in outcome.rows)


def test_an_empty_document_is_no_error() -> None:
    """A file whose first character is being typed, or whose last was taken away."""
    keys = (
        Keystroke(at_ms=100.0, kind="insert", offset=0, inserted="x"),
        Keystroke(at_ms=300.0, kind="backspace", offset=0, num_deleted_chars=1),
        Keystroke(at_ms=900.0, kind="insert", offset=0, inserted="y"),
    )
    trace = Trace(document=Document(path="a.py", text=""), keystrokes=keys)
    total = run(Oracle([""], always_wrong), baseline(), trace).total
    assert total.num_moments == 2


def test_the_clock_passes_time_that_nobody_waits() -> None:
    now = 5.0
    clock = ReplayClock(lambda: now)
    clock.skip(100.0)
    asyncio.run(clock.sleep(2.0))
    assert clock.now_ms() == 2105.0
    clock.skip(-100.0)
    now = 6.0
    assert clock.now_ms() == 2006.0
    real = ReplayClock()
    assert real.now_ms() <= real.now_ms()


def _asked(generator: Oracle, config: CompleteConfig, trace: Trace) -> tuple[list[Cursor], Tally]:
    """Where the brain was asked, and what was counted. Nothing is asked ahead."""
    clock = still_clock()
    config = replace(config, is_prefetching=False)
    service = Recorder(generator, config, now_ms=clock.now_ms, sleep=clock.sleep)
    driver = Driver(service, clock, replayer(generator).user, session_id="one")
    asyncio.run(driver.run(trace))
    return service.cursors, driver.tally


def _num_pressed(trace: Trace) -> int:
    return sum(key.kind not in ("jump", "paste", "delete") for key in trace.keystrokes)
