"""Write the tables of docs/protocols.md: which field of which protocol does something here, from the dialects' NOTES.

    python tools/protocol_table.py [--check]

With --check nothing is written; exit 1 says that the page is not what the notes give.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from paceline.server import dialects
from paceline.server.dialects.notes import DialectNotes

TARGET = Path(__file__).resolve().parent.parent / "docs/protocols.md"
BEGIN, END = "<!-- fields: written by tools/protocol_table.py -->", "<!-- end of fields -->"
FIRST = ("native", "llama.cpp", "OpenAI", "Copilot, FauxPilot", "Tabby", "Codeium")
"""The order of the page; dialects that are not named follow by name."""


def read_notes() -> dict[str, DialectNotes]:
    """The notes of every dialect, by request, in the page's order.

    Raises:
        ValueError: two notes are about the same request.
    """
    found: dict[str, DialectNotes] = {}
    for info in pkgutil.iter_modules(dialects.__path__, f"{dialects.__name__}."):
        for notes in getattr(importlib.import_module(info.name), "NOTES", ()):
            if found.setdefault(notes.request, notes) is not notes:
                raise ValueError(f"{info.name} is the second to describe {notes.request}.")
    return dict(sorted(found.items(), key=lambda item: _place(item[1].dialect)))


def render(notes: Iterable[DialectNotes]) -> str:
    """Who answers what, then a table for each request that has fields."""
    notes = tuple(notes)
    lines = ["| dialect | request | answered by the |", "|---|---|---|"]
    lines += [f"| {each.dialect} | `{each.request}` | {each.answered_by} |" for each in notes]
    dialect = ""
    for each in notes:
        if each.fields and each.dialect != dialect:
            dialect = each.dialect
            lines += ["", f"### Fields: {dialect}"]
        lines += _table(each)
    return "\n".join(lines)


def page_with(page: str, tables: str) -> str:
    """`page` with `tables` between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:before]}\n\n{tables}\n\n{page[after:]}"


def _table(notes: DialectNotes) -> Iterator[str]:
    if not notes.fields:
        return
    yield from ("", f"`{notes.request}`", "", "| field | is | |", "|---|---|---|")
    for field in notes.fields:
        text = field.note.replace("|", "\\|").replace("\n", " ")
        yield f"| `{field.name}` | {field.status} | {text} |"


def _place(dialect: str) -> tuple[int, str]:
    return (FIRST.index(dialect) if dialect in FIRST else len(FIRST), dialect)


def main(arguments: list[str]) -> int:
    """Write or check the page. Returns the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    page = TARGET.read_text(encoding="utf-8")
    wanted = page_with(page, render(read_notes().values()))
    if not arguments:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if page != wanted:
        print(f"{TARGET.name} is not what the notes give; run python tools/protocol_table.py.")
    return 0 if page == wanted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
