"""Documents and positions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import DocumentError
from paceline.core.types import Cursor, Document, offset_of_line_column, read_document


@given(text=st.text(max_size=100), data=st.data())
def test_cursor_splits_without_loss(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    cursor = Cursor(document=Document(path="a.py", text=text), offset=offset)
    assert cursor.prefix + cursor.suffix == text


@given(text=st.text(alphabet="ab\n", max_size=60), data=st.data())
def test_line_and_column_invert_to_the_offset(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    before = text[:offset]
    line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
    assert offset_of_line_column(Document(path="a.py", text=text), line, column) == offset


@pytest.mark.parametrize(("line", "column"), [(0, 1), (3, 1), (1, 0), (1, 4), (2, 2)])
def test_positions_outside_are_refused(line: int, column: int) -> None:
    with pytest.raises(DocumentError, match="outside"):
        offset_of_line_column(Document(path="a.py", text="ab\n"), line, column)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x\0y", "binary"), (b"caf\xe9", "not UTF-8 .byte 3"), (None, "no such file")],
)
def test_unusable_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DocumentError, match=message):
        read_document(path)


def test_offset_outside_is_refused() -> None:
    with pytest.raises(DocumentError, match="Offset 3 is outside"):
        Cursor(document=Document(path="a.py", text="ab"), offset=3)
