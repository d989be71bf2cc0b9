"""Which fields of a protocol do something here: every dialect says so, docs and tests read it.

`docs/protocols.md` has the table (tools/protocol_table.py writes it, `make check` compares), and tests/server/fields
has, for each honoured field, a test in which it changes the result.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

FieldStatus = Literal["honoured", "ignored", "refused"]
"""honoured: it changes the result. ignored: accepted, changes nothing. refused: an error that names it."""


class FieldNote(NamedTuple):
    """One field of a request, by its path: `segments.prefix`, `input_extra[].text`."""

    name: str
    status: FieldStatus
    note: str = ""
    """What it does, or why it does not."""


class DialectNotes(NamedTuple):
    """One request of a dialect."""

    dialect: str
    request: str
    """Such as `POST /infill`."""
    answered_by: Literal["completion brain", "generator", "server"]
    fields: tuple[FieldNote, ...]
