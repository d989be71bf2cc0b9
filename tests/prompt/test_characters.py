"""Cuts break no character, and what cannot be written as UTF-8 is repaired."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.types import Cursor, Document
from paceline.prompt.characters import (
    MAX_JOINED_CHARS,
    border_after,
    border_before,
    is_joined,
    repair,
)
from paceline.prompt.window import text_around

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
"""Lone surrogates included."""


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("a\ud83d\ude00b", "a😀b"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00a", "\ufffda"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("plain 😀", "plain 😀"),
        ("", ""),
    ],
)
def test_pairs_are_joined_and_halves_replaced(text: str, repaired: str) -> None:
    assert repair(text) == repaired


@given(ANY_TEXT)
def test_repaired_text_can_be_written(text: str) -> None:
    assert repair(repair(text)) == repair(text)
    repair(text).encode()


@pytest.mark.parametrize(
    "character",
    [
        "\r\n",
        "e\u0301",
        "👍🏽",
        "👩\u200d👩\u200d👧",
        "❤\ufe0f",
        "🇦🇹",
        "한",
        "\ud83d\ude00",
        "किं"[:2],
    ],
)
def test_no_border_within_a_character(character: str) -> None:
    text = f"ab{character}cd"
    end = 2 + len(character)
    for at in range(3, end):
        assert is_joined(text, at), at
        assert border_after(text, at) == end
        assert border_before(text, at) == 2
    assert not is_joined(text, 2)
    assert not is_joined(text, end)


def test_two_flags_are_two_characters() -> None:
    flags = "🇦🇹🇩🇪"
    assert [is_joined(flags, at) for at in range(5)] == [False, True, False, True, False]


def test_a_pile_of_marks_holds_nothing_up() -> None:
    text = "e" + "\u0301" * 5000
    assert border_after(text, 100) == 100
    assert border_before(text, 100) == 100
    assert border_after("e" + "\u0301" * MAX_JOINED_CHARS + "f", 1) == MAX_JOINED_CHARS + 1


def around(text: str, offset: int, size: int = 100) -> tuple[str, str]:
    cursor = Cursor(document=Document(path="a.py", text=text), offset=offset)
    return text_around(cursor, max_prefix_chars=size, max_suffix_chars=size)


def test_line_ends_around_the_cursor() -> None:
    assert around("a\r\nb\rc\r\nd", 1) == ("a", "\nb\nc\nd")
    assert around("a\r\nb", 2) == ("a", "\nb"), "between the two halves of a line end"
    assert around("a\r\nb", 3) == ("a\n", "b")


def test_a_cursor_inside_a_surrogate_pair_shows_neither_half() -> None:
    assert around("a\ud83d\ude00b", 2) == ("a", "b")
    assert around("a😀b", 1) == ("a", "😀b")


def test_far_ends_break_no_character() -> None:
    assert around("e\u0301xyz", 3, size=2) == ("x", "yz")
    assert around("xye\u0301", 1, size=2) == ("x", "y")


@given(ANY_TEXT, st.integers(0, 60), st.integers(0, 70))
def test_windows_of_any_text(text: str, offset: int, size: int) -> None:
    prefix, suffix = around(text, min(offset, len(text)), size)
    assert "\r" not in prefix + suffix
    assert len(prefix) <= size and len(suffix) <= size
    (prefix + suffix).encode()
