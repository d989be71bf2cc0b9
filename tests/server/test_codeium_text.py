"""Cursors in bytes, and completions in parts: each way in which a client inserts gives the same document."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import FieldError
from paceline.server.dialects.codeium_text import (
    Insertion,
    Place,
    offset_of_cursor,
    parts_of,
    showable,
    text_and_range,
)
from paceline.server.dialects.codeium_types import CodeiumDocument, SentPart, SentRange

LINES = st.text("aé(𝒳 )", max_size=6)
INLINE, BLOCK = "COMPLETION_PART_TYPE_INLINE", "COMPLETION_PART_TYPE_BLOCK"


def document(text: str, **fields: object) -> CodeiumDocument:
    return CodeiumDocument.model_validate({"text": text, **fields})


@given(LINES, LINES, LINES, st.sampled_from(["\n", "\r\n"]))
def test_row_and_column_are_the_offset_in_bytes(
    above: str, before: str, after: str, end: str
) -> None:
    text = f"{above}{end}{before}{after}{end}"
    wanted = len(above + end + before)
    num_bytes = len(text[:wanted].encode())
    col = len(before.encode())
    assert offset_of_cursor(document(text, cursor_offset=num_bytes)) == wanted
    assert offset_of_cursor(document(text, cursorPosition={"row": "1", "col": str(col)})) == wanted


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cursor_offset": 4}, "cursor_offset"),
        ({"cursor_position": {"row": 2}}, "cursor_position.row"),
        ({"cursor_position": {"row": 2**64 - 1}}, "cursor_position.row"),
        ({"cursor_position": {"col": 2}}, "cursor_position.col"),
    ],
)
def test_a_cursor_outside_is_refused_by_name(fields: dict[str, object], field: str) -> None:
    with pytest.raises(FieldError, match=field):
        offset_of_cursor(document("a\nb", **fields))


def test_a_cursor_within_a_character_is_before_it() -> None:
    assert offset_of_cursor(document("aé", cursor_offset=2)) == 1


def over_range(text: str, new: str, where: SentRange) -> str:
    """As codeium.vim and the browsers' clients insert."""
    raw = text.encode()
    return raw[: int(where.start_offset)].decode() + new + raw[int(where.end_offset) :].decode()


def by_offsets(text: str, parts: list[SentPart]) -> str:
    """As codeium.el inserts: what it finds between the parts' offsets stays."""
    raw = text.encode()
    found, at = b"", 0
    for part in parts:
        if part.type in (INLINE, BLOCK):
            found += raw[at : int(part.offset)] + b"\n" * (part.type == BLOCK) + part.text.encode()
            at = int(part.offset)
    return (found + raw[at:]).decode()


def by_lines(text: str, parts: list[SentPart], row: int) -> str:
    """As neocodeium inserts: the inline parts within the line, whole lines below it."""
    lines = text.split("\n")
    inline = [part for part in parts if part.type == INLINE]
    if inline:
        new = "".join(part.prefix + part.text for part in inline)
        passed = sum(len(part.prefix) for part in inline)
        lines[row] = new + lines[row][passed:]
    for part in parts:
        if part.type == BLOCK:
            lines[row + 1 : row + 1] = part.text.split("\n")
    return "\n".join(lines)


@settings(max_examples=50)
@given(
    LINES,
    LINES,
    st.lists(st.text("aé ", max_size=3), min_size=1, max_size=4),
    st.sampled_from(["", ")", "))", "é)"]),
    st.sampled_from(["", "x", ")é"]),
    st.lists(st.text("aé(", min_size=1, max_size=3), max_size=2),
)
def test_all_ways_to_insert_agree(
    above: str, before: str, between: list[str], replaced: str, rest: str, block: list[str]
) -> None:
    gaps = (between + [""] * 4)[: len(replaced) + 1]
    first = gaps[0] + "".join(sign + gap for sign, gap in zip(replaced, gaps[1:], strict=True))
    insertion = Insertion("\n".join([first, *block]), len(replaced))
    text = f"{above}\n{before}{replaced}{rest}\nend\n"
    offset = len(above) + 1 + len(before)
    place = Place.at(text, offset)
    shown = showable(insertion, place)
    wanted = text[:offset] + shown.text + text[offset + shown.num_replaced_chars :]
    assert wanted.startswith(text[:offset] + first) or (rest and block)
    new, where = text_and_range(shown, place)
    assert over_range(text, new, where) == wanted
    parts = parts_of(shown, place)
    assert all(part.text and part.line == "1" for part in parts)
    assert by_offsets(text, parts) == wanted
    assert by_lines(text, parts, 1) == wanted


def test_lines_below_are_left_out_where_text_follows_the_cursor() -> None:
    place = Place.at("f(x)\n", 2)
    assert showable(Insertion("a,\n  b, ", 0), place).text == "a,"
    assert showable(Insertion("a)\n  b", 0), Place.at("f(\n", 2)).text == "a)\n  b"


def test_what_stays_and_is_not_repeated_is_drawn_after_the_text() -> None:
    place = Place.at("f(x)", 2)
    parts = parts_of(Insertion("y", 1), place)
    assert [(part.type[21:], part.prefix, part.text) for part in parts] == [
        ("INLINE", "f(", "y"),
        ("INLINE_MASK", "f(", "y)"),
    ]


def test_a_block_alone_carries_the_line_that_a_word_goes_after() -> None:
    """codeium.vim replaces the range by the first part's prefix and a word: without one, the line would be gone."""
    parts = parts_of(Insertion("\n    x = 1\n", 0), Place.at("if x:", 5))
    assert [(part.type[21:], part.prefix, part.text) for part in parts] == [
        ("BLOCK", "if x:", "    x = 1")
    ]


def test_line_ends_of_other_systems() -> None:
    windows, old = Place.at("a\r\nbc\r\n", 4), Place.at("a\rbc\r", 3, "\r")
    assert (windows.row, windows.prefix, windows.suffix) == (1, "b", "c")
    assert (old.row, old.prefix, old.suffix) == (1, "b", "c")
