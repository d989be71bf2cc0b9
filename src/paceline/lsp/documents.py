"""The text of every open document, as its editor has it: each edit is applied as it comes.

Positions outside a document are the nearest inside. A document that is too large, or not text, is held
without its text until the client sends another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lsprotocol import types

from paceline.complete.recent_edits import LineChange
from paceline.complete.wire import Encoding, WirePosition
from paceline.complete.wire_positions import offset_at, width_of
from paceline.core.types import MAX_DOCUMENT_BYTES
from paceline.lsp.lines import split_lines, without_end

Refusal = Literal["", "too_large", "binary"]

MAX_DOCUMENTS = 2_000
"""Open at once; a client that opens more closes none. The longest not visited is forgotten."""


class Place(NamedTuple):
    """A zero-based line, and a column in units of the connection's encoding."""

    line: int
    column: int


def place_of(position: types.Position) -> Place:
    """A position of the protocol."""
    return Place(position.line, position.character)


class OpenDocument:
    """One text, by lines.

    All lines but the last end with a line end, the last one does not: `"".join(lines)` is the text.
    """

    def __init__(
        self, uri: str, text: str, *, language: str = "", version: int = 0, encoding: Encoding
    ) -> None:
        self.uri, self.language, self.version = uri, language, version
        self.document_id = hashlib.blake2b(
            uri.encode("utf-8", "replace"), digest_size=8
        ).hexdigest()
        self.changed_ms: float | None = None
        """When the newest edit came, if no completion was asked for since."""
        self._encoding: Encoding = encoding
        self.refusal: Refusal = ""
        self.replace_all(text)

    @property
    def text(self) -> str:
        """The whole text; empty if it is refused."""
        if self._text is None:
            self._text = "".join(self._lines)
        return self._text

    @property
    def lines(self) -> list[str]:
        """With their ends. Not to be changed."""
        return self._lines

    def replace_all(self, text: str) -> None:
        """The text is this now."""
        text = _with_pairs(text)
        self.refusal = _refusal(text, is_whole=True)
        self._text: str | None = "" if self.refusal else text
        self._lines = split_lines(self._text or "")
        self._num_chars = len(self._text or "")

    def replace(self, start: Place, end: Place, text: str) -> LineChange | None:
        """Put `text` in the place of what is from `start` up to `end`; None if the document is refused.

        An end before the start is the start.
        """
        if self.refusal:
            return None
        first, from_column = self._resolve(start)
        last, to_column = max((first, from_column), self._resolve(end))
        head, tail = self._lines[first][:from_column], self._lines[last][to_column:]
        change = self._splice(first, last, head + text + tail)
        self._refuse_if_due(text)
        return change

    def offset_of(self, place: Place) -> int:
        """Code points before `place`."""
        line, column = self._resolve(place)
        return sum(map(len, self._lines[:line])) + column

    def clamp(self, place: Place) -> Place:
        """`place`, or the nearest that is between two characters of the document."""
        line, column = self._resolve(place)
        return Place(line, width_of(self._lines[line][:column], self._encoding))

    def slice(self, start: Place, end: Place) -> str:
        """The text from `start` up to `end`."""
        return self.text[self.offset_of(start) : self.offset_of(end)]

    def line_around(self, place: Place) -> tuple[str, str]:
        """The text of its line before and after `place`, without the line's end."""
        line, column = self._resolve(place)
        text = without_end(self._lines[line])
        return text[:column], text[column:]

    def _resolve(self, place: Place) -> tuple[int, int]:
        """Line, and code points before the place in it."""
        if place.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        if place.line < 0:
            return 0, 0
        line = without_end(self._lines[place.line])
        position = WirePosition(line=0, character=max(place.column, 0))
        return place.line, offset_at(line, position, self._encoding)

    def _splice(self, first: int, last: int, text: str) -> LineChange:
        """Put `text`, whole lines, in the place of lines `first` to `last`.

        Where a carriage return and a line feed meet at its borders they become one line end.
        """
        lines = self._lines
        if first > 0 and lines[first - 1][-1] == "\r" and text.startswith("\n"):
            first -= 1
            text = lines[first] + text
        if not text or text[-1] not in "\r\n":  # the line goes on with the next
            while last + 1 < len(lines) and (not text or text[-1] not in "\r\n"):
                last += 1
                text += lines[last]
        if text.endswith("\r") and last + 1 < len(lines) and lines[last + 1].startswith("\n"):
            last += 1
            text += lines[last]
        after = split_lines(_with_pairs(text))
        if last + 1 < len(lines):
            assert after[-1] == ""
            after.pop()
        before = lines[first : last + 1]
        lines[first : last + 1] = after
        self._text = None
        self._num_chars += sum(map(len, after)) - sum(map(len, before))
        return LineChange(first, tuple(before), tuple(after))

    def _refuse_if_due(self, new_text: str) -> None:
        refusal = _refusal(new_text, is_whole=False)
        if not refusal and self._num_chars * 4 > MAX_DOCUMENT_BYTES:
            refusal = _refusal(self.text, is_whole=True)
        if refusal:
            self.refusal, self._text, self._lines, self._num_chars = refusal, "", [""], 0


class Documents:
    """All open documents, the most recently visited first."""

    def __init__(self) -> None:
        self._by_uri: dict[str, OpenDocument] = {}

    def open(self, document: OpenDocument) -> None:
        """It is open, and visited. One that was open already is open anew."""
        self._by_uri.pop(document.uri, None)
        self._by_uri[document.uri] = document
        if len(self._by_uri) > MAX_DOCUMENTS:
            del self._by_uri[next(iter(self._by_uri))]

    def close(self, uri: str) -> None:
        """It is not open any more; nothing if it was not."""
        self._by_uri.pop(uri, None)

    def get(self, uri: str) -> OpenDocument | None:
        """The open document of that address."""
        return self._by_uri.get(uri)

    def visit(self, uri: str) -> OpenDocument | None:
        """The same, and it is the most recently visited now."""
        document = self._by_uri.pop(uri, None)
        if document is not None:
            self._by_uri[uri] = document
        return document

    def recent(self) -> Iterator[OpenDocument]:
        """All, the most recently visited first."""
        return iter(tuple(reversed(self._by_uri.values())))


def _refusal(text: str, *, is_whole: bool) -> Refusal:
    if "\0" in text:
        return "binary"
    if is_whole and len(text) * 4 > MAX_DOCUMENT_BYTES:
        num_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        return "too_large" if num_bytes > MAX_DOCUMENT_BYTES else ""
    return ""


def _with_pairs(text: str) -> str:
    """`text` with each pair of surrogates as its one character: an editor may send the halves one by one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text
