"""A trace is a document and timed edits. Knows nothing of models, prompts or servers.

    start text ──keystroke──> text ──keystroke──> text ... ──> the file as its author left it

Offsets count code points of the text just before the keystroke.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from paceline.core.types import Cursor, Document

KeystrokeKind = Literal[
    "insert", "newline", "mistake", "backspace", "jump", "delete", "paste", "typeover"
]
"""`mistake` inserts what a `backspace` soon takes away; `newline` brings the indentation that editors add.

`backspace` takes away before the cursor, `delete` a selection; `paste` inserts text that was copied
elsewhere; `typeover` passes characters that the editor had put after the cursor by itself.
"""


class Keystroke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change that an editor reports: `num_deleted_chars` at `offset` give way to `inserted`."""

    at_ms: float
    """Since the start of the trace; later keystrokes have larger values."""
    kind: KeystrokeKind
    offset: int
    num_deleted_chars: int = 0
    inserted: str = ""
    num_chars_after: int = 0
    """How many of `inserted` end up after the cursor: closers that the editor adds by itself."""

    @property
    def cursor_offset(self) -> int:
        """Where the cursor stands afterwards, in the text that it leaves."""
        return self.offset + len(self.inserted) - self.num_chars_after

    def apply(self, text: str) -> str:
        """The text that this keystroke leaves."""
        return text[: self.offset] + self.inserted + text[self.offset + self.num_deleted_chars :]


class Trace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's edits of one document."""

    document: Document
    """As it is before the first keystroke."""
    keystrokes: tuple[Keystroke, ...]

    @property
    def duration_ms(self) -> float:
        """Time of the last keystroke; 0 without any."""
        return self.keystrokes[-1].at_ms if self.keystrokes else 0.0


def replay(trace: Trace) -> Iterator[tuple[Keystroke, Cursor]]:
    """Yield each keystroke with the document and cursor that it leaves."""
    text = trace.document.text
    for keystroke in trace.keystrokes:
        text = keystroke.apply(text)
        document = msgspec.structs.replace(trace.document, text=text)
        yield keystroke, Cursor(document=document, offset=keystroke.cursor_offset)


def final_text(trace: Trace) -> str:
    """The text after the last keystroke."""
    text = trace.document.text
    for keystroke in trace.keystrokes:
        text = keystroke.apply(text)
    return text
