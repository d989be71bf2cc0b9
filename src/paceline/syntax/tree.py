"""Concrete syntax trees of documents, from tree-sitter: whole or a window, from nothing or incrementally."""

from __future__ import annotations

from paceline.syntax.languages import Language


class SyntaxTree:
    """The tree of a document, or of the lines of it around a cursor. Immutable."""

    language: Language
    text: str
    """What was parsed."""
    first_offset: int
    """Where `text` begins in the document, in code points."""

    @property
    def num_errors(self) -> int:
        """ERROR and MISSING nodes."""
        raise NotImplementedError


def parse(
    text: str, language: Language, *, around: int, old: SyntaxTree | None = None
) -> SyntaxTree | None:
    """Parse `text`, or if it is long the lines around the offset `around`; None without a grammar.

    Args:
        old: a tree of an earlier state of the same document; unchanged parts are reused.
    """
    raise NotImplementedError


class TreeCache:
    """The newest trees of some documents, so that a keystroke reparses little."""

    def tree(self, key: str, text: str, language: Language, *, around: int) -> SyntaxTree | None:
        """Parse as `parse` does, incrementally if a tree is known under `key`."""
        raise NotImplementedError
