"""The native protocol's positions, and requests and completions in and out of its types."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.request import Alternative, Completion
from paceline.complete.wire import Encoding, WireDocument, WirePosition, WireRange, WireRequest
from paceline.complete.wire_convert import to_request, to_wire
from paceline.complete.wire_positions import offset_at, offsets_of, position_at, range_at
from paceline.core.errors import FieldError
from paceline.core.types import Cursor, Document, Drop
from paceline.generate.types import Session

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
TEXTS = st.lists(
    st.sampled_from(["a", "é", "€", "😀", "\r", "\n", "\r\n", "\u2028", "ab" * 9])
).map("".join)


def slow_lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each line, one character at a time."""
    start = at = 0
    while at < len(text):
        if text[at] in "\r\n":
            yield start, at
            at += 1 + (text[at : at + 2] == "\r\n")
            start = at
        else:
            at += 1
    yield start, at


def slow_width(text: str, encoding: Encoding) -> int:
    widths = {"utf-8": lambda c: len(c.encode()), "utf-16": lambda c: 1 + (c > "\uffff")}
    return sum(map(widths.get(encoding, lambda _: 1), text))


def slow_offset(text: str, line: int, character: int, encoding: Encoding) -> int:
    start, end = list(slow_lines(text))[line]
    at = start
    while at < end and slow_width(text[start : at + 1], encoding) <= character:
        at += 1
    return at


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(0, 8), st.integers(0, 30), st.sampled_from(ENCODINGS))
def test_offsets_are_those_of_the_slow_twin(
    text: str, line: int, character: int, encoding: Encoding
) -> None:
    position = WirePosition(line=line, character=character)
    if line >= len(list(slow_lines(text))):
        with pytest.raises(FieldError, match=r"position\.line"):
            offset_at(text, position, encoding)
    else:
        assert offset_at(text, position, encoding) == slow_offset(text, line, character, encoding)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.sampled_from(ENCODINGS))
def test_positions_lead_back_to_their_offset(text: str, encoding: Encoding) -> None:
    for offset in range(len(text) + 1):
        is_inside = text[offset - 1 : offset + 1] == "\r\n" and offset > 0
        position = position_at(text, offset, encoding)
        assert offset_at(text, position, encoding) == offset - is_inside
        start, end = list(slow_lines(text))[position.line]
        assert start <= offset - is_inside <= end
        assert position.character == slow_width(text[start : offset - is_inside], encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_long_line_is_measured_in_steps(encoding: Encoding) -> None:
    text = "😀x" * 50_000
    width = slow_width(text, encoding)
    for column in (0, 1, 4_095, width // 2, width - 1, width, width + 9, 10**18):
        expected, rest = 2 * (column // slow_width("😀x", encoding)), 0
        rest = column % slow_width("😀x", encoding) >= slow_width("😀", encoding)
        offset = offset_at(text, WirePosition(line=0, character=column), encoding)
        assert offset == min(expected + rest, len(text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_in_blocks(end: str) -> None:
    lines = [f"{'x' * (number % 7)}{end}" for number in range(4_000)]
    starts = list(accumulate(map(len, lines), initial=0))
    for number in (*range(0, 4_001, 61), 3_999, 4_000):
        position = WirePosition(line=number, character=0)
        assert offset_at("".join(lines), position, "utf-16") == starts[number]
    with pytest.raises(FieldError, match="beyond the last line"):
        offset_at("".join(lines), WirePosition(line=4_001, character=0), "utf-16")


def test_half_a_pair_is_one_column() -> None:
    text = "\ud800x\udc00"
    assert position_at(text, 3, "utf-16").character == 3
    assert position_at(text, 3, "utf-8").character == 7
    assert offset_at(text, WirePosition(line=0, character=2), "utf-16") == 2


def test_a_range_says_what_is_replaced() -> None:
    text = "x\nf(😀)"
    found = range_at(text, 4, 2, "utf-16")
    assert (found.start.line, found.start.character, found.end.character) == (1, 2, 5)
    assert offsets_of(text, found, "utf-16") == (4, 6)
    turned = WireRange(start=found.end, end=found.start)
    with pytest.raises(FieldError, match=r"range\.end"):
        offsets_of(text, turned, "utf-16")


def request(**changes: object) -> WireRequest:
    fields = {"document": WireDocument(text="x = ", path="a.py")}
    fields |= {"position": WirePosition(line=0, character=4)} | changes
    return WireRequest(**fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"position": WirePosition(line=1, character=0)}, "position.line"),
        ({"position": WirePosition(line=0, character=-1)}, "position.character"),
        ({"document_id": "d"}, "document_id"),
        ({"document": WireDocument(text="x", path="a\0b")}, "document.path"),
        ({"open_documents": [WireDocument(text="x", path="\0")]}, "open_documents.path"),
        ({"workspace_root": "src"}, "workspace_root"),
    ],
)
def test_a_request_that_cannot_be_meant_names_its_field(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(FieldError) as caught:
        to_request(request(**changes), is_local=True)
    assert caught.value.field == field


def test_a_session_names_its_document_by_id_or_path() -> None:
    def session(**names: str) -> Session | None:
        return to_request(request(**names), is_local=True).session

    assert session() is None
    assert session(session_id="s") == Session("s", "a.py")
    assert session(session_id="s", document_id="d") == Session("s", "d")


def test_a_folder_of_this_machine_is_for_those_who_are_on_it() -> None:
    wire = request(workspace_root="/src/project")
    assert to_request(wire, is_local=True).context.workspace_root == "/src/project"
    assert to_request(wire, is_local=False).context.workspace_root == ""


def completion(**changes: object) -> Completion:
    fields = {"request_id": "r", "text": "1", "drop": None, "mode": "single_line", "model_id": "m"}
    return Completion(**(fields | changes))  # pyright: ignore[reportArgumentType]


CURSOR = Cursor(document=Document(path="", text="f(😀)"), offset=2)


def test_alternatives_are_further_items_with_their_own_ranges() -> None:
    others = (Alternative(text="1"), Alternative(text="2)", num_replaced_chars=2))
    wire = to_wire(completion(alternatives=others), CURSOR, "utf-16")
    assert [item.text for item in wire.items] == ["1", "2)"]
    assert [item.range.end.character for item in wire.items] == [2, 5]
    (alone,) = to_wire(completion(num_replaced_chars=2), CURSOR, "utf-32").items
    assert (alone.range.start.character, alone.range.end.character) == (2, 4)


def test_nothing_to_show_has_a_reason_and_no_items() -> None:
    wire = to_wire(completion(text="", drop=Drop("blank")), CURSOR, "utf-8")
    assert (wire.items, wire.drop_reason) == ([], "blank")
