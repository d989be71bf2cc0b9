"""What became of the last completions in a document: accepted, rejected, and where."""

from __future__ import annotations

import msgspec


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """The last outcomes, as shares; what intent.py and gate.py may know."""

    num_single_line: int = 0
    accepted_single_line: float = 0.0
    """Share of the last shown single-line completions that were taken, whole or in part."""
    num_multi_line: int = 0
    accepted_multi_line: float = 0.0
    num_rejected_in_a_row: int = 0
    """Shown completions since the last accepted one."""


class History:
    """Of one document in one editor; bounded."""

    def record(self, *, is_multi_line: bool, is_accepted: bool) -> None:
        """A shown completion met its end."""
        raise NotImplementedError

    def reject(self, before: str, text: str) -> None:
        """The user rejected `text`, or deleted it after accepting, where `before` (the last characters of the
        prefix) stands before the cursor."""
        raise NotImplementedError

    def rejected_at(self, before: str) -> tuple[str, ...]:
        """Texts that were rejected at that very place, newest first; also what of one is left after typing a
        part of it."""
        raise NotImplementedError

    @property
    def recent(self) -> Recent:
        """The last outcomes."""
        raise NotImplementedError
