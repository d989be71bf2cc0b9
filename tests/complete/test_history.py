"""What was taken and what was rejected, and that it is found again at its place only."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.history import (
    BEFORE_CHARS,
    MAX_OUTCOMES,
    MAX_REJECTIONS,
    MAX_TEXT_CHARS,
    History,
    Recent,
)
from tests.work import lines_run

LONG = "import os\n\n\ndef read_all(paths):\n    result = []\n    for path in paths:\n        "


def test_nothing_is_known_at_first() -> None:
    assert History().recent == Recent()
    assert History().rejected_at("") == ()


def test_shares_by_kind() -> None:
    history = History()
    for is_accepted in (True, False, False, True):
        history.record(is_multi_line=False, is_accepted=is_accepted)
    history.record(is_multi_line=True, is_accepted=False)
    history.record(is_multi_line=True, is_accepted=False)
    assert history.recent == Recent(
        num_single_line=4,
        accepted_single_line=0.5,
        num_multi_line=2,
        accepted_multi_line=0.0,
        num_rejected_in_a_row=2,
    )
    history.record(is_multi_line=False, is_accepted=True)
    assert history.recent.num_rejected_in_a_row == 0


def test_old_outcomes_are_forgotten() -> None:
    history = History()
    for is_accepted in [False] * 50 + [True] * MAX_OUTCOMES:
        history.record(is_multi_line=True, is_accepted=is_accepted)
    assert history.recent.num_multi_line == MAX_OUTCOMES
    assert history.recent.accepted_multi_line == 1


def test_found_at_the_very_place() -> None:
    history = History()
    history.reject(LONG, "yield path")
    assert history.rejected_at(LONG) == ("yield path",)
    assert history.rejected_at(LONG + "x") == ()
    assert history.rejected_at(LONG[:-1]) == ()
    assert history.rejected_at("    for path in paths:\n        ") == ()


def test_lines_far_above_may_move() -> None:
    history = History()
    history.reject(LONG, "yield path")
    assert history.rejected_at("# a comment\n" + LONG) == ("yield path",)
    assert history.rejected_at(LONG[-BEFORE_CHARS:]) == ("yield path",)


def test_the_remainder_after_typing_its_beginning() -> None:
    history = History()
    history.reject(LONG, "result.append(path)")
    assert history.rejected_at(LONG + "res") == ("ult.append(path)",)
    assert history.rejected_at(LONG + "result.append(path") == (")",)
    assert history.rejected_at(LONG + "result.append(path)") == ()
    assert history.rejected_at(LONG + "ret") == ()


def test_a_long_text_typed_far_into() -> None:
    history = History()
    text = "".join(f"line_{index} = {index}\n" for index in range(20))
    history.reject(LONG, text)
    assert history.rejected_at((LONG + text)[:-30]) == (text[-30:],)


def test_at_the_start_of_a_document() -> None:
    history = History()
    history.reject("", "import os")
    history.reject("x", "yz")
    assert history.rejected_at("") == ("import os",)
    assert history.rejected_at("imp") == ("ort os",)
    assert history.rejected_at("x") == ("yz",)
    assert history.rejected_at("xy") == ("z",)
    assert history.rejected_at("0x") == ()
    assert history.rejected_at("q" * 60 + "x") == ()


def test_newest_first_and_each_once() -> None:
    history = History()
    for text in ("a()", "b()", "a()"):
        history.reject(LONG, text)
    assert history.rejected_at(LONG) == ("a()", "b()")
    history.reject(LONG + "a", "c()")
    assert history.rejected_at(LONG + "a") == ("c()", "()")


def test_bounded() -> None:
    history = History()
    history.reject(LONG, "old")
    history.reject(LONG, "")
    for index in range(MAX_REJECTIONS):
        history.reject(f"{index:060}", "x" * (MAX_TEXT_CHARS + 50))
    assert history.rejected_at(LONG) == ()
    assert history.rejected_at(f"{1:060}") == ("x" * MAX_TEXT_CHARS,)


def test_work_of_a_look_up_in_a_full_history() -> None:
    history = History()
    for index in range(MAX_REJECTIONS):
        history.reject(f"{index:060}", f"return value_{index}\n" * 20)
    assert lines_run(lambda: history.rejected_at(LONG)) <= 10 * MAX_REJECTIONS


SHORT = st.text("ab\n", max_size=8)


@settings(max_examples=60)
@given(
    st.text("ab\n", max_size=60),
    st.lists(SHORT, max_size=4),
    st.text(max_size=5),
    st.integers(0, 8),
)
def test_typing_along_finds_the_rest(
    before: str, texts: list[str], text: str, num_typed: int
) -> None:
    history = History()
    for other in texts:
        history.reject(before, other)
    history.reject(before, text)
    found = history.rejected_at(before + text[:num_typed])
    assert all(found)
    assert len(set(found)) == len(found)
    if text[num_typed:]:
        assert any(rest.endswith(text[num_typed:]) for rest in found)
