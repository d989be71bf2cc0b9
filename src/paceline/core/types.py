"""The words that every stage shares. Knows nothing of models, tokens ids or HTTP.

Offsets are counted in code points; a line or column is zero-based unless its name says otherwise.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from paceline.core.errors import DocumentError

MAX_DOCUMENT_BYTES = 10_000_000
"""Largest file that is read into a Document; larger ones are data, not code."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One text file as an editor holds it."""

    path: str
    text: str
    language: str = ""
    """Name of its language, as editors say it; empty: by the path's ending (syntax/languages.py)."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a document, between two code points."""

    document: Document
    offset: int

    def __post_init__(self) -> None:
        if not 0 <= self.offset <= len(self.document.text):
            raise DocumentError(
                f"Offset {self.offset} is outside {self.document.path or 'the document'}, "
                f"which has {len(self.document.text)} characters."
            )

    @property
    def prefix(self) -> str:
        """Text before the cursor."""
        return self.document.text[: self.offset]

    @property
    def suffix(self) -> str:
        """Text after the cursor. `prefix + suffix` is the document's text."""
        return self.document.text[self.offset :]


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """Text from elsewhere that is placed in a prompt."""

    path: str
    text: str
    origin: str = ""
    """Which source brought it: open_document, recent_edit, import, ... (prompt/context); for traces."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Raw model output, before and between the post-processing steps."""

    text: str
    num_tokens: int = 0
    logprob: float = 0.0
    """Sum of the natural log-probabilities of the tokens."""
    finish_reason: str = "stop"
    num_replaced_chars: int = 0
    """Characters right after the cursor, on its line, that the text takes the place of."""
    flags: tuple[str, ...] = ()
    """What is doubtful about it, for the gate and the trace: `unknown_name:frobnicate`. Sorted, each once."""


class Drop(msgspec.Struct, frozen=True):
    """Why a candidate is not shown."""

    reason: str


def read_document(path: Path) -> Document:
    """Read a text file.

    Raises:
        DocumentError: the file is missing, a folder, too large, binary (a NUL byte) or not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise DocumentError(
                f"{path} is larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB; complete in a smaller file."
            )
        raw = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DocumentError(f"Cannot read {path}: {reason}.") from error
    if b"\0" in raw:
        raise DocumentError(f"{path} is a binary file (it has a NUL byte); give a text file.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{path} is not UTF-8 (byte {error.start} cannot be decoded); convert it first, "
            "for example with iconv."
        ) from error
    return Document(path=str(path), text=text)


def offset_of_line_column(document: Document, line: int, column: int) -> int:
    """Return the offset of a one-based line and one-based column (as compilers print them).

    A column one past the end of the line is the end of that line.

    Raises:
        DocumentError: the position lies outside the document.
    """
    lines = document.text.split("\n")
    if not 1 <= line <= len(lines):
        raise DocumentError(
            f"Line {line} is outside {document.path}, which has {len(lines)} lines."
        )
    width = len(lines[line - 1])
    if not 1 <= column <= width + 1:
        raise DocumentError(
            f"Column {column} is outside line {line} of {document.path}, which has {width} characters "
            f"(columns 1 to {width + 1})."
        )
    return sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
