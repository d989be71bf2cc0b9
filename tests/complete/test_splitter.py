"""What a stream wrote beyond the shown text, cut into the completions that come next."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.cache import Answer, Asked, Choice, CompletionCache, Spot, spot_at
from paceline.complete.splitter import MAX_PIECES, pieces
from paceline.core.types import Cursor, Document

RAW = "total = 0\n    for row in rows:\n        total += row\n\n    return total\n"
SPOT = Spot("def f(rows):\n    ", "\n")


def texts(raw: str, shown: str, *, is_raw_finished: bool = False) -> list[str]:
    return [text for _, text in pieces(SPOT, raw, shown, is_raw_finished=is_raw_finished)]


def test_each_line_becomes_the_answer_behind_the_lines_before() -> None:
    found = pieces(SPOT, RAW, "total = 0")
    assert [text for _, text in found] == ["\n    for row in rows:", "\n        total += row"]
    assert found[0][0].before.endswith("    total = 0")
    assert found[1][0].before.endswith("total = 0\n    for row in rows:")


def test_the_last_line_counts_only_if_it_is_whole() -> None:
    assert texts("a\nb\nc", "a") == ["\nb"]
    assert texts("a\nb\nc", "a", is_raw_finished=True) == ["\nb", "\nc"]


def test_nothing_is_known_behind_a_text_that_was_changed() -> None:
    assert texts("foo(a))\nb\n", "foo(a)x") == []
    assert texts("foo", "") == []


def test_blank_lines_end_it_and_white_space_at_line_ends_is_left_out() -> None:
    assert texts("a  \n\nb\n", "a") == []
    assert texts("a  \nb \nc\n", "a") == ["\nb", "\nc"]


def test_the_rest_of_the_line_comes_first() -> None:
    assert texts("foo(a))\nb\n", "foo(a)") == [")", "\nb"]


def test_there_are_only_so_many() -> None:
    assert len(texts("a" + "\nb" * 50 + "\n", "a")) == MAX_PIECES


def test_replaced_characters_are_gone_behind_the_first_piece() -> None:
    found = pieces(Spot("f(", ")\nrest"), "x)\ny\n", "x)", num_replaced_chars=1)
    assert found == [(Spot("f(x)", "\nrest"), "\ny")]


def test_the_pieces_are_found_where_the_user_gets_to() -> None:
    """Accept, type a line break, accept: each place is answered from the one stream."""
    cache = CompletionCache()
    asked = Asked(document_id="d", model_id="m", mode="single_line")
    for spot, text in pieces(SPOT, RAW, "total = 0"):
        cache.put(asked, spot, Answer(choices=(Choice(text),), origin="split"))
    before = SPOT.before + "total = 0\n"
    place = Cursor(document=Document(path="", text=before + SPOT.after), offset=len(before))
    hit = cache.find(asked, spot_at(place))
    assert hit is not None
    assert hit.choices[0].text == "    for row in rows:"
    assert hit.answer.origin == "split"


@given(st.text("ab \t\r\n", max_size=40), st.integers(0, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_after_another_they_are_the_stream(raw: str, num_shown: int, is_finished: bool) -> None:
    shown = raw[:num_shown]
    found = pieces(SPOT, raw, shown, is_raw_finished=is_finished)
    joined = shown.replace("\r\n", "\n") + "".join(text for _, text in found)
    lines = [line.rstrip() for line in raw.replace("\r\n", "\n").split("\n")]
    if found:
        shown_lines = shown.replace("\r\n", "\n").split("\n")
        got = [line.rstrip() for line in joined.split("\n")]
        assert got[: len(shown_lines) - 1] == lines[: len(shown_lines) - 1]
        assert got == lines[: len(got)]
    assert all(text.strip() and "\n" not in text[1:] for _, text in found)
