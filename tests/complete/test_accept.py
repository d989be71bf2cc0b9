"""Accepting by word, by line and by count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.accept import (
    code_points_of,
    next_line,
    next_word,
    num_utf16_of,
    split_accept,
)

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAGS = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7"
PIECES = [
    "a",
    "_",
    " ",
    "\n",
    "\r\n",
    "(",
    ")",
    ".",
    "e\u0301",
    FAMILY,
    FLAGS,
    "\ud83d",
    "\ude00",
    "漢",
]
ANY_TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def words(text: str, language: str = "") -> list[str]:
    found: list[str] = []
    while text:
        found.append(next_word(text, language))
        text = text[len(found[-1]) :]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return foo(bar_1)", ["return", " foo", "(", "bar_1", ")"]),
        ("x -> y:", ["x", " ->", " y", ":"]),
        ("\n    if a == b:", ["\n    if", " a", " ==", " b", ":"]),
        ('f("a")', ["f", "(", '"', "a", '"', ")"]),
        ("  ", ["  "]),
        ("naïve cafe\u0301!", ["naïve", " cafe\u0301", "!"]),
        (f"{FAMILY}x", [FAMILY, "x"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_names_are_what_the_language_says() -> None:
    assert words("font-size: 1", "css") == ["font-size", ":", " 1"]
    assert words("$a-b", "javascript") == ["$a", "-", "b"]
    assert words("$a-b", "python") == ["$", "a", "-", "b"]


def test_lines() -> None:
    assert next_line("a\nb") == "a"
    assert next_line("\n    b\nc") == "\n    b"
    assert next_line("a\r\nb") == "a"
    assert next_line("\n\n") == "\n\n"
    assert next_line("") == ""


@given(ANY_TEXT, st.sampled_from(["", "css", "php"]))
@settings(max_examples=60, deadline=None)
def test_part_after_part_gives_the_text(text: str, language: str) -> None:
    assert "".join(words(text, language)) == text
    rest, lines = text, ""
    while rest:
        line = next_line(rest)
        assert line
        lines, rest = lines + line, rest[len(line) :]
    assert lines == text


@given(ANY_TEXT, st.integers(-3, 60), ANY_TEXT)
@settings(max_examples=60, deadline=None)
def test_no_part_breaks_a_character_and_both_give_the_whole(
    text: str, num: int, after: str
) -> None:
    part = split_accept(text, num, replaced_text=after)
    assert part.accepted + part.rest == text
    assert part.num_replaced_chars + part.num_rest_replaced_chars == len(after)
    assert part.num_replaced_chars >= 0
    assert part.num_rest_replaced_chars >= 0
    assert not part.rest.startswith(("\u0301", "\u200d"))
    assert not (part.accepted.endswith("\ud83d") and part.rest.startswith("\ude00"))
    assert bool(part.accepted) == (num > 0 and bool(text))


def test_a_closing_bracket_that_the_rest_writes_stays_until_then() -> None:
    part = split_accept("foo(x)) + y", 4, replaced_text=")")
    assert (part.accepted, part.num_replaced_chars) == ("foo(", 0)
    part = split_accept("x) + y", 2, replaced_text=")")
    assert (part.accepted, part.num_replaced_chars, part.num_rest_replaced_chars) == ("x)", 1, 0)
    part = split_accept("x) + y)", 2, replaced_text="))")
    assert (part.num_replaced_chars, part.num_rest_replaced_chars) == (1, 1)


def test_what_neither_part_writes_stays_until_the_end() -> None:
    part = split_accept("new_name", 4, replaced_text="old")
    assert (part.num_replaced_chars, part.num_rest_replaced_chars) == (0, 3)
    part = split_accept("new_name", 8, replaced_text="old")
    assert (part.num_replaced_chars, part.num_rest_replaced_chars) == (3, 0)


@given(st.text(max_size=20), st.integers(-2, 50))
@settings(max_examples=60, deadline=None)
def test_utf16_units_are_converted_as_python_would(text: str, num_units: int) -> None:
    num_chars = code_points_of(text, num_units)
    assert num_utf16_of(text[:num_chars]) <= max(num_units, 0)
    assert num_chars == len(text) or num_utf16_of(text[: num_chars + 1]) > num_units
    assert num_utf16_of(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


def test_half_a_pair_counts_as_nothing() -> None:
    assert code_points_of("a\U0001f600b", 2) == 1
    assert code_points_of("a\U0001f600b", 3) == 2
