"""The documents that one editor has open on a WebSocket, kept up to date by its edits, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from paceline.complete.recent_edits import MAX_EDIT_CHARS, LineChange, RecentEdits
from paceline.complete.wire import Encoding, WireDocument, WireEdit
from paceline.complete.wire_positions import offsets_of
from paceline.core.errors import FieldError, InputError
from paceline.server.dialects.websocket_types import Change, TextEdit

MAX_DOCUMENTS = 256
"""Open at once on one connection; an editor with more has mostly forgotten ones."""
MAX_DOCUMENT_CHARS = 10_000_000
"""A larger text is data, not code (core.types.MAX_DOCUMENT_BYTES)."""
MAX_SESSION_CHARS = 40_000_000
MAX_SHARED_CHARS = 1_000_000_000
"""Of all connections together: at most 1 to 4 GB, by what the texts are written in."""


MAX_EDITED_CHARS = 100_000_000
"""By one message: each edit looks through the whole text, so that all take about 0.2 s at most. A client with more to
say opens the document again."""


class OutOfSyncError(Exception):
    """The text of a document is not known; its client must open it again.

    `is_told`: the client heard so before.
    """

    def __init__(self, document_id: str, *, is_told: bool = False) -> None:
        super().__init__(document_id)
        self.document_id, self.is_told = document_id, is_told


class DocumentLimitError(InputError):
    """A document, or all of them together, are more than is kept."""


class Budget:
    """Characters that all connections of the server hold together."""

    def __init__(self, max_chars: int = MAX_SHARED_CHARS) -> None:
        self.max_chars, self.num_chars = max_chars, 0


class OpenDocument(msgspec.Struct):
    """One text as the editor has it."""

    document_id: str
    path: str
    language: str
    version: int
    text: str


class OpenDocuments:
    """All of one connection, the most recently visited last. `close_all` gives its characters back."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._documents: dict[str, OpenDocument] = {}
        self._lost: set[str] = set()
        """Told to be opened again; until then, nothing is said of them."""
        self._edits = RecentEdits()
        self._num_chars = 0

    def open(self, document: OpenDocument) -> None:
        """Take a document in, also one that is open already.

        Raises:
            DocumentLimitError: it is too much; it is not held then.
        """
        self.close(document.document_id)
        try:
            if len(self._documents) >= MAX_DOCUMENTS:
                raise DocumentLimitError(f"{MAX_DOCUMENTS} documents are open; close some first.")
            self._admit(len(document.text), len(document.text))
        except DocumentLimitError:
            self._lose(document.document_id)
            raise
        self._documents[document.document_id] = document
        self._count(len(document.text))

    def change(self, message: Change, encoding: Encoding, *, at_ms: float) -> None:
        """Apply edits. A document that was lost already stays so, without a word.

        Raises:
            OutOfSyncError: the version is not the next one, a range is outside the text, or there are too many edits
                for so long a text; it is lost now.
            DocumentLimitError: the text has become too long; it is not held any more.
        """
        document_id = message.document_id
        if document_id in self._lost:
            return
        document = self.get(document_id)
        try:
            if message.version != document.version + 1:
                raise OutOfSyncError(document_id)
            num_chars = 0
            for edit in message.edits:
                if num_chars > MAX_EDITED_CHARS:
                    raise OutOfSyncError(document_id)
                num_chars += len(document.text)
                self._apply(document, edit, encoding, at_ms)
        except (OutOfSyncError, FieldError) as error:
            self._lose(document_id)
            raise OutOfSyncError(document_id) from error
        except DocumentLimitError:
            self._lose(document_id)
            raise
        document.version = message.version
        self.visit(document_id)

    def get(self, document_id: str) -> OpenDocument:
        """The document of that name.

        Raises:
            OutOfSyncError: it is not known.
        """
        document = self._documents.get(document_id)
        if document is None:
            is_told = document_id in self._lost
            self._lose(document_id)
            raise OutOfSyncError(document_id, is_told=is_told)
        return document

    def visit(self, document_id: str) -> None:
        """The user is there now; nothing happens if it is not open."""
        document = self._documents.pop(document_id, None)
        if document is not None:
            self._documents[document_id] = document

    def close(self, document_id: str) -> None:
        """It is not open any more; nothing happens if it was not."""
        self._lost.discard(document_id)
        document = self._documents.pop(document_id, None)
        if document is not None:
            self._count(-len(document.text))
            self._edits.forget(document_id)

    def close_all(self) -> None:
        """The editor is gone."""
        for document_id in tuple(self._documents):
            self.close(document_id)

    def others(self, document_id: str) -> Iterator[WireDocument]:
        """All documents but that one, the most recently visited first."""
        for document in reversed(self._documents.values()):
            if document.document_id != document_id:
                yield WireDocument(
                    text=document.text, path=document.path, language=document.language
                )

    def recent_edits(self) -> list[WireEdit]:
        """What was changed lately, newest first."""
        return [
            WireEdit(
                path=self._documents[edit.document_id].path,
                before=edit.before,
                after=edit.after,
                line=edit.line,
                at_ms=edit.at_ms,
            )
            for edit in self._edits.newest_first()
        ]

    def _apply(
        self, document: OpenDocument, edit: TextEdit, encoding: Encoding, at_ms: float
    ) -> None:
        text = document.text
        start, end = offsets_of(text, edit.range, encoding)
        num_more = len(edit.text) - (end - start)
        self._admit(len(text) + num_more, num_more)
        change = _change_of(text, start, end, edit.text)
        if change is None:
            self._edits.interrupt()
        else:
            self._edits.add(document.document_id, change, at_ms)
        document.text = f"{text[:start]}{edit.text}{text[end:]}"
        self._count(num_more)

    def _admit(self, num_document_chars: int, num_more: int) -> None:
        """Raises DocumentLimitError if there is no room for so much more."""
        if num_document_chars > MAX_DOCUMENT_CHARS:
            raise DocumentLimitError(
                f"A document may have at most {MAX_DOCUMENT_CHARS} characters; leave this one out."
            )
        if self._num_chars + num_more > MAX_SESSION_CHARS:
            raise DocumentLimitError(
                f"All documents together may have at most {MAX_SESSION_CHARS} characters; close some."
            )
        if num_more > 0 and self._budget.num_chars + num_more > self._budget.max_chars:
            raise DocumentLimitError(
                "The server holds as much text as it may; use POST /v1/complete, or try later."
            )

    def _count(self, num_more: int) -> None:
        self._num_chars += num_more
        self._budget.num_chars += num_more

    def _lose(self, document_id: str) -> None:
        self.close(document_id)
        if len(self._lost) >= MAX_DOCUMENTS:
            self._lost.clear()
        self._lost.add(document_id)


def _change_of(text: str, start: int, end: int, new: str) -> LineChange | None:
    """What an edit does to whole lines, which end with line feeds here; None if that is a lot."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end) + 1 or len(text)
    if last - first + len(new) > MAX_EDIT_CHARS:
        return None
    before, after = text[first:last], f"{text[first:start]}{new}{text[end:last]}"
    return LineChange(text.count("\n", 0, first), _lines(before), _lines(after))


def _lines(text: str) -> tuple[str, ...]:
    *ended, last = text.split("\n")
    lines = tuple(f"{line}\n" for line in ended)
    return (*lines, last) if last else lines
