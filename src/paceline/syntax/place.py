"""What a cursor stands in: comment, string, block, statement."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.types import Cursor
from paceline.syntax.languages import Language
from paceline.syntax.tree import SyntaxTree

BlockKind = Literal[
    "module", "class", "function", "if", "else", "loop", "try", "except", "with", "switch", "case",
    "brackets", "other",
]  # fmt: skip


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about one cursor. Without a grammar they are found by indentation, brackets and quotes."""

    is_in_comment: bool = False
    is_in_string: bool = False
    is_in_docstring: bool = False
    blocks: tuple[BlockKind, ...] = ("module",)
    """What encloses the cursor, innermost first; ends with `module`."""
    is_empty_block_start: bool = False
    """Directly after something that opens a block (`:`, `{`), where that block has no statement yet;
    also on a blank line below it."""
    is_after_documentation: bool = False
    """The block so far is a docstring or comment only, or the cursor is below a comment that says what
    comes next."""
    is_statement_start: bool = False
    """Only white space before the cursor on its line, and no open bracket or string around it."""
    num_statements_before: int = 0
    """Of the innermost block, complete ones above the cursor's."""
    num_statements_after: int = 0
    """Of the innermost block, below the cursor's."""
    block_indent: int = 0
    """Width of the indentation of the innermost block's statements, present or to come; a tab is 8."""
    open_brackets: str = ""
    """Brackets open at the cursor on its statement, outermost first: `([`."""
    is_by_grammar: bool = False


def place_at(cursor: Cursor, language: Language, tree: SyntaxTree | None) -> Place:
    """Return what `cursor` stands in. Never raises; a document that does not parse gives best guesses."""
    raise NotImplementedError
