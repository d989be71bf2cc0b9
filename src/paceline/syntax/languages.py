"""Languages by name and path: how their blocks, comments and strings look. Grammars are loaded in tree.py."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.types import Document

BlockStyle = Literal["indent", "braces"]


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules need to know of one language."""

    name: str
    """Ours, and the editors' where they agree: python, javascript, typescript, java, go, rust, c, cpp, ..."""
    block_style: BlockStyle = "braces"
    line_comments: tuple[str, ...] = ()
    block_comment: tuple[str, str] | None = None
    quotes: tuple[str, ...] = ('"', "'")
    """String delimiters, longest first."""
    has_grammar: bool = False
    is_code: bool = True
    """False for prose and data (markdown, json, ...)."""


def language_of(document: Document) -> Language:
    """The language of `document`: what it says, else by its path; an unknown one gets generic rules."""
    raise NotImplementedError
