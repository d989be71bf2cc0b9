"""Texts stay equal to the client's, whatever it edits; columns in each encoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.wire import Encoding
from paceline.core.types import MAX_DOCUMENT_BYTES
from paceline.lsp.documents import Documents, OpenDocument, Place
from paceline.lsp.lines import split_lines, without_end

URI = "file:///a.py"
ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
TEXTS = st.text(alphabet=st.sampled_from("ab\t\r\n\x0b\u2028é𝄞\u0301"), max_size=24)
HALVES = "\ud834\udd1e"


def width(text: str, encoding: Encoding) -> int:
    """The slow twin: what each character takes, one by one."""
    codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return sum(len(c.encode(codec, "surrogatepass")) // size for c in text)


def slow_place(text: str, offset: int, encoding: Encoding) -> Place:
    """The slow twin of a client that knows offsets: count the line ends before it."""
    ends = [found.end() for found in re.finditer("\r\n|\r|\n", text) if found.end() <= offset]
    start = ends[-1] if ends else 0
    return Place(len(ends), width(text[start:offset], encoding))


def is_between(text: str, offset: int) -> bool:
    """Is `offset` not inside a line end? Clients never send that."""
    return text[offset - 1 : offset + 1] != "\r\n" or offset == 0


def document(text: str, encoding: Encoding = "utf-16") -> OpenDocument:
    return OpenDocument(URI, text, encoding=encoding)


def check(held: OpenDocument) -> None:
    """The invariant of OpenDocument."""
    assert held.lines
    assert all(without_end(line) != line for line in held.lines[:-1])
    assert without_end(held.lines[-1]) == held.lines[-1]
    assert "".join(held.lines) == held.text
    assert held.lines == split_lines(held.text)


@given(TEXTS)
def test_lines_are_those_of_lsp(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert [without_end(line) for line in lines] == re.split("\r\n|\r|\n", text)


@settings(max_examples=50)
@given(st.data(), TEXTS, st.sampled_from(ENCODINGS))
def test_edits_give_the_text_of_the_client(
    data: st.DataObject, text: str, encoding: Encoding
) -> None:
    held = document(text, encoding)
    for _ in range(data.draw(st.integers(1, 5))):
        borders = [offset for offset in range(len(text) + 1) if is_between(text, offset)]
        start = data.draw(st.sampled_from(borders))
        end = data.draw(st.sampled_from([offset for offset in borders if offset >= start]))
        new = data.draw(TEXTS)
        lines_before = held.lines.copy()
        change = held.replace(
            slow_place(text, start, encoding), slow_place(text, end, encoding), new
        )
        text = text[:start] + new + text[end:]
        assert held.text == text
        check(held)
        assert change is not None
        first, last = change.first_line, change.first_line + len(change.before)
        assert lines_before[:first] + list(change.after) + lines_before[last:] == held.lines


@settings(max_examples=50)
@given(st.data(), TEXTS, st.sampled_from(ENCODINGS))
def test_places_and_offsets_are_each_other(
    data: st.DataObject, text: str, encoding: Encoding
) -> None:
    held = document(text, encoding)
    offset = data.draw(st.integers(0, len(text)).filter(lambda each: is_between(text, each)))
    place = slow_place(text, offset, encoding)
    assert held.offset_of(place) == offset
    assert held.clamp(place) == place
    before, after = held.line_around(place)
    assert before + after == without_end(held.lines[place.line])


@settings(max_examples=50)
@given(TEXTS, st.integers(-3, 9), st.integers(-3, 40), st.sampled_from(ENCODINGS))
def test_any_place_is_moved_inside_once(
    text: str, line: int, column: int, encoding: Encoding
) -> None:
    held = document(text, encoding)
    inside = held.clamp(Place(line, column))
    assert held.clamp(inside) == inside
    assert 0 <= inside.line < len(held.lines)
    assert inside.column <= width(without_end(held.lines[inside.line]), encoding)


def test_beyond_the_end_is_the_end_and_inside_a_character_is_before_it() -> None:
    held = document("a𝄞b\r\nc")
    assert held.clamp(Place(0, 2)) == Place(0, 1)
    assert held.clamp(Place(0, 99)) == Place(0, 4)
    assert held.clamp(Place(9, 0)) == Place(1, 1)
    assert document("é", "utf-8").clamp(Place(0, 1)) == Place(0, 0)


def test_halves_of_a_character_that_come_one_by_one_are_the_character() -> None:
    held = document("")
    held.replace(Place(0, 0), Place(0, 0), HALVES[0])
    assert held.clamp(Place(0, 9)) == Place(0, 1)
    held.replace(Place(0, 1), Place(0, 1), HALVES[1])
    assert held.text == "𝄞"
    held.replace(Place(0, 2), Place(0, 2), "x")
    assert held.text == "𝄞x"


def test_an_end_before_the_start_is_the_start() -> None:
    held = document("abc\ndef")
    held.replace(Place(1, 1), Place(0, 1), "-")
    assert held.text == "abc\nd-ef"


def test_a_text_that_is_too_large_is_not_kept_until_it_is_small_again() -> None:
    held = document("x" * (MAX_DOCUMENT_BYTES + 1))
    assert (held.refusal, held.text) == ("too_large", "")
    assert held.replace(Place(0, 0), Place(0, 0), "y") is None
    held.replace_all("small")
    assert (held.refusal, held.text) == ("", "small")


def test_a_text_that_grows_too_large_is_let_go() -> None:
    held = document("é" * (MAX_DOCUMENT_BYTES // 2))
    assert not held.refusal
    held.replace(Place(0, 0), Place(0, 0), "é")
    assert (held.refusal, held.text) == ("too_large", "")


@pytest.mark.parametrize("is_edit", [False, True])
def test_what_has_a_nul_is_not_text(is_edit: bool) -> None:
    held = document("a" if is_edit else "a\0b")
    if is_edit:
        held.replace(Place(0, 1), Place(0, 1), "\0")
    assert held.refusal == "binary"


def test_the_most_recently_visited_comes_first() -> None:
    documents = Documents()
    for name in "abc":
        documents.open(OpenDocument(name, name, encoding="utf-16"))
    assert documents.visit("a") is not None
    assert [each.uri for each in documents.recent()] == ["a", "c", "b"]
    documents.close("c")
    documents.close("c")
    assert documents.visit("c") is None
    assert [each.uri for each in documents.recent()] == ["a", "b"]
