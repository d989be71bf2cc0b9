"""Texts with a mark where the cursor stands."""

from __future__ import annotations

from paceline.core.types import Cursor, Document
from paceline.syntax.languages import Language, language_named

MARK = "¦"


def at_mark(marked: str, name: str) -> tuple[Cursor, Language]:
    """The cursor at the mark, in the text without it."""
    before, mark, after = marked.partition(MARK)
    assert mark, "a case needs a cursor"
    document = Document(path="", text=before + after, language=name)
    return Cursor(document=document, offset=len(before)), language_named(name)
