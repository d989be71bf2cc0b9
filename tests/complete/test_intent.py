"""How much is offered: every fact moves the score its way, vetoes decide alone, reasons are named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from paceline.complete.config import CompleteConfig
from paceline.complete.history import Recent
from paceline.complete.intent import (
    DEFAULT_WEIGHTS,
    MAX_CHARS,
    MAX_LINES,
    Decision,
    Intent,
    IntentWeights,
    decide,
)
from paceline.complete.modes import MODES, Mode, Trigger
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.core.errors import ConfigError
from paceline.core.types import Cursor, Document
from paceline.syntax.place import Place
from tests.complete.cursors import at

STEADY = Pace(median_gap_ms=150, high_gap_ms=220, last_gap_ms=160, num_recent=20)
PAUSED = Pace(median_gap_ms=150, high_gap_ms=220, last_gap_ms=3500, num_recent=1)
NOTHING_KNOWN = Pace()

NEW_FUNCTION = Place(
    blocks=("function", "module"),
    is_empty_block_start=True,
    is_statement_start=True,
    block_indent=4,
)
DOCUMENTED = replace(NEW_FUNCTION, is_after_documentation=True)
EMPTY_IF = Place(
    blocks=("if", "function", "module"), is_empty_block_start=True, is_statement_start=True
)
EMPTY_IF_AT_COLON = Place(blocks=("if", "function", "module"), is_empty_block_start=True)
STATEMENT = Place(
    blocks=("function", "module"), is_statement_start=True, num_statements_before=2, block_indent=4
)
BELOW_NOTE = replace(STATEMENT, is_after_documentation=True)
LATE_STATEMENT = replace(STATEMENT, num_statements_after=2)
IN_STATEMENT = Place(blocks=("function", "module"), num_statements_before=1, block_indent=4)
ARGUMENTS = replace(IN_STATEMENT, open_brackets="(")
TOP_LEVEL = Place(is_statement_start=True, num_statements_before=3)
BELOW_COMMENT = replace(TOP_LEVEL, is_after_documentation=True)


def scene_at(marked: str, place: Place, trigger: Trigger = "automatic") -> Scene:
    scene = Scene(at(marked), trigger=trigger)
    scene.__dict__["place"] = place
    return scene


def decided(
    place: Place,
    pace: Pace = NOTHING_KNOWN,
    *,
    marked: str = "    |",
    trigger: Trigger = "automatic",
    recent: Recent = Recent(),
    threshold: float = CompleteConfig().multi_line_threshold,
) -> Decision:
    scene = scene_at(marked, place, trigger)
    return decide(scene, pace, recent, multi_line_threshold=threshold)


MOMENTS: list[tuple[str, Place, Pace, Trigger, Mode, Intent]] = [
    # Inside a basic block, typing: at most the rest of the block. Where there is code below: a line.
    ("    |", STATEMENT, STEADY, "automatic", "block_body", "acceleration"),
    ("    |", LATE_STATEMENT, NOTHING_KNOWN, "automatic", "single_line", "acceleration"),
    ("    x = |", IN_STATEMENT, STEADY, "automatic", "single_line", "acceleration"),
    ("    x = f(|", ARGUMENTS, PAUSED, "automatic", "single_line", "acceleration"),
    ("    if x:|", EMPTY_IF_AT_COLON, STEADY, "automatic", "block_body", "acceleration"),
    ("        |", EMPTY_IF, STEADY, "automatic", "single_line", "acceleration"),
    ("        |", EMPTY_IF, PAUSED, "automatic", "single_line", "acceleration"),
    ("    |", NEW_FUNCTION, STEADY, "automatic", "block_body", "acceleration"),
    ("|", TOP_LEVEL, STEADY, "automatic", "block_body", "acceleration"),
    # What is wanted has been said, or the user thinks: a whole body.
    ("    |", NEW_FUNCTION, PAUSED, "automatic", "multi_line", "exploration"),
    ("    |", DOCUMENTED, STEADY, "automatic", "multi_line", "exploration"),
    ("    |", DOCUMENTED, PAUSED, "automatic", "multi_line", "exploration"),
    ("    |", BELOW_NOTE, STEADY, "automatic", "multi_line", "exploration"),
    ("    |", BELOW_NOTE, PAUSED, "automatic", "multi_line", "exploration"),
    ("|", BELOW_COMMENT, PAUSED, "automatic", "multi_line", "exploration"),
    ("    |", STATEMENT, PAUSED, "invoked", "multi_line", "exploration"),
    ("    |", STATEMENT, NOTHING_KNOWN, "invoked", "multi_line", "exploration"),
    ("    |", NEW_FUNCTION, STEADY, "invoked", "multi_line", "exploration"),
    # Asked by hand in the middle of an expression: the rest of the line.
    ("    x = f(|", ARGUMENTS, NOTHING_KNOWN, "invoked", "single_line", "exploration"),
]


@pytest.mark.parametrize(("marked", "place", "pace", "trigger", "mode", "intent"), MOMENTS)
def test_moments(
    marked: str, place: Place, pace: Pace, trigger: Trigger, mode: Mode, intent: Intent
) -> None:
    decision = decided(place, pace, marked=marked, trigger=trigger)
    assert (decision.mode, decision.intent) == (mode, intent), decision


VETOES = [
    ("    # the |", Place(is_in_comment=True), "in_comment"),
    ('    x = "a |', Place(is_in_string=True), "in_string"),
    ('    """Do |', Place(is_in_string=True, is_in_docstring=True), "in_docstring"),
    ("    f(|)", ARGUMENTS, "mid_line"),
    ("    |x = 1", NEW_FUNCTION, "mid_line"),
]


@pytest.mark.parametrize(("marked", "place", "reason"), VETOES)
def test_vetoes(marked: str, place: Place, reason: str) -> None:
    decision = decided(place, PAUSED, marked=marked, trigger="invoked", threshold=0.0)
    assert decision.mode == "single_line"
    assert (decision.score, decision.reasons) == (0.0, (reason,))


def test_long_files_get_a_line() -> None:
    long = "x\n" * (MAX_LINES - 1) + "|"
    assert decided(NEW_FUNCTION, STEADY, marked=long).mode == "block_body"
    assert decided(NEW_FUNCTION, marked="x\n" + long).reasons == ("long_file",)
    assert decided(NEW_FUNCTION, marked="x" * MAX_CHARS + "\n|").reasons == ("long_file",)


def test_the_threshold_is_the_user_s() -> None:
    sure = decided(DOCUMENTED, PAUSED, trigger="invoked", threshold=0.98)
    assert sure.mode == "multi_line"
    never = decided(DOCUMENTED, PAUSED, trigger="invoked", threshold=1.0)
    assert (never.mode, never.reasons) == ("single_line", ("threshold",))
    assert decided(IN_STATEMENT, STEADY, marked="x = |", threshold=0.0).mode == "block_body"


def test_reasons_are_strongest_first() -> None:
    decision = decided(NEW_FUNCTION, STEADY)
    assert decision.reasons == (
        "statement_start",
        "new_function",
        "typing_steadily",
        "empty_block_start",
    )


def test_what_was_taken_lately_counts() -> None:
    blocks = Recent(num_multi_line=10, accepted_multi_line=0.9, num_single_line=10)
    lines = Recent(num_single_line=10, accepted_single_line=0.9, num_multi_line=10)
    assert decided(STATEMENT, PAUSED, recent=blocks).mode == "block_body"
    assert decided(STATEMENT, STEADY, recent=lines).mode == "single_line"
    assert "new_function" not in decided(BELOW_NOTE).reasons
    assert "takes_blocks" in decided(STATEMENT, recent=blocks).reasons
    assert "takes_lines" in decided(STATEMENT, recent=lines).reasons


UP: list[tuple[Decision, Decision]] = [
    (decided(STATEMENT), decided(STATEMENT, trigger="invoked")),
    (decided(STATEMENT), decided(STATEMENT, STEADY)),
    (decided(STATEMENT), decided(STATEMENT, PAUSED)),
    (decided(LATE_STATEMENT), decided(STATEMENT)),
    (decided(replace(STATEMENT, num_statements_before=0)), decided(STATEMENT)),
    (decided(STATEMENT, recent=Recent(num_rejected_in_a_row=3)), decided(STATEMENT)),
    (decided(ARGUMENTS, marked="f(|"), decided(IN_STATEMENT, marked="f(|")),
    (decided(IN_STATEMENT, marked="x|"), decided(STATEMENT)),
    (decided(replace(TOP_LEVEL, num_statements_before=0)), decided(BELOW_COMMENT)),
    (decided(EMPTY_IF), decided(NEW_FUNCTION)),
]


@pytest.mark.parametrize(("less", "more"), UP)
def test_each_fact_moves_the_score(less: Decision, more: Decision) -> None:
    assert less.score < more.score


def test_prose_is_no_code() -> None:
    document = Document(path="README.md", text="\n")
    scene = Scene(Cursor(document=document, offset=1))
    scene.__dict__["place"] = TOP_LEVEL
    decision = decide(scene, PAUSED, Recent(), multi_line_threshold=0.5)
    assert decision.mode == "single_line"
    assert "prose" in decision.reasons


def test_weights_can_be_fitted() -> None:
    scene = scene_at("    |", NEW_FUNCTION)
    certain = decide(
        scene, STEADY, Recent(), multi_line_threshold=0.5, weights=IntentWeights(base=-99.0)
    )
    assert certain.mode == "single_line"
    for extreme in (-1e308, 1e308):
        every = IntentWeights(**{field.name: extreme for field in fields(IntentWeights)})
        decision = decide(scene, STEADY, Recent(), multi_line_threshold=0.5, weights=every)
        assert 0 <= decision.score <= 1
    with pytest.raises(ConfigError):
        replace(DEFAULT_WEIGHTS, base=math.nan)


PLACES = st.builds(
    Place,
    is_in_comment=st.booleans(),
    is_in_string=st.booleans(),
    is_in_docstring=st.booleans(),
    blocks=st.sampled_from([(), ("module",), ("function", "module"), ("other", "module")]),
    is_empty_block_start=st.booleans(),
    is_after_documentation=st.booleans(),
    is_statement_start=st.booleans(),
    num_statements_before=st.integers(-1, 99),
    num_statements_after=st.integers(-1, 99),
    open_brackets=st.sampled_from(["", "(", "([{"]),
)
GAPS = st.none() | st.floats(0, 1e9)
PACES = st.builds(Pace, last_gap_ms=GAPS, num_recent=st.integers(0, 99))
SHARES = st.floats(0, 1)
RECENTS = st.builds(
    Recent,
    num_single_line=st.integers(0, 16),
    accepted_single_line=SHARES,
    num_multi_line=st.integers(0, 16),
    accepted_multi_line=SHARES,
    num_rejected_in_a_row=st.integers(0, 99),
)


@settings(max_examples=60)
@given(
    PLACES, PACES, RECENTS, st.sampled_from(["|", "  x|", "f(|)\n", "\ud800|\0"]), SHARES, SHARES
)
def test_always_an_answer(
    place: Place, pace: Pace, recent: Recent, marked: str, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    lenient = decided(place, pace, marked=marked, recent=recent, threshold=low)
    strict = decided(place, pace, marked=marked, recent=recent, threshold=high)
    assert MODES.index(strict.mode) <= MODES.index(lenient.mode)
    assert 0 <= lenient.score <= 1
    assert len(set(lenient.reasons)) == len(lenient.reasons)
    if lenient.intent == "acceleration":
        assert lenient.mode != "multi_line"
