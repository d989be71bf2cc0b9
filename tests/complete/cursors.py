"""Documents with a cursor written into them: `foo(|)`."""

from __future__ import annotations

from paceline.core.types import Cursor, Document


def at(marked: str) -> Cursor:
    """The document without the first `|`, and the cursor where it was."""
    prefix, _, suffix = marked.partition("|")
    return Cursor(document=Document(path="a.py", text=prefix + suffix), offset=len(prefix))
