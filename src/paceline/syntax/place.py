"""What a cursor stands in: comment, string, block, statement."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from paceline.core.types import Cursor
from paceline.syntax.frames import (
    Frame,
    Frames,
    State,
    begins_with_label,
    is_label,
    opens_block,
    width_of,
)
from paceline.syntax.headers import BlockKind, continues_statement, kind_of_header
from paceline.syntax.languages import Language
from paceline.syntax.place_grammar import Surroundings, by_grammar
from paceline.syntax.scan import MAX_LAST_LINE_CHARS, state_at
from paceline.syntax.tree import SyntaxTree

__all__ = ["BlockKind", "Place", "place_at"]

MAX_LINES_AFTER = 60
"""Lines below the cursor that are looked at to count statements."""
UNIT_CHARS = 2_000
"""Characters before and after the cursor that show how blocks are indented."""
MAX_BLANK_LINES = 20
"""Blank lines between a comment and the cursor, or the cursor and what follows, that are looked over."""
DEFAULT_INDENT = 4
"""Columns of a block's indentation where nothing shows what the author uses."""


_INDENTED = re.compile(r"^([ \t]+)(?=[^\s*])", re.MULTILINE)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about one cursor. They are read from the text before it, so that half-typed code is no worse than clean
    code; in a file that parses, the grammar confirms or corrects them."""

    is_in_comment: bool = False
    is_in_string: bool = False
    is_in_docstring: bool = False
    blocks: tuple[BlockKind, ...] = ("module",)
    """What encloses the cursor, innermost first; ends with `module`."""
    is_empty_block_start: bool = False
    """Directly after something that opens a block (`:`, `{`), where that block has no statement yet;
    also on a blank line below it. Docstrings and comments are no statements. Never of the module."""
    is_after_documentation: bool = False
    """The block so far is a docstring or comment only, or the cursor is below a comment that says what
    comes next."""
    is_statement_start: bool = False
    """Only white space before the cursor on its line, and no open bracket or string around it."""
    num_statements_before: int = 0
    """Of the innermost block that is not of brackets, complete ones above the cursor's; in a switch, since the label."""
    num_statements_after: int = 0
    """Of the same block, below the cursor's: lines as indented as it is, at most MAX_LINES_AFTER below."""
    block_indent: int = 0
    """Width of the indentation of the innermost block's statements, present or to come; a tab is 8."""
    open_brackets: str = ""
    """Brackets open at the cursor on its statement, outermost first: `([`."""
    is_by_grammar: bool = False
    """The grammar was asked too: the file parses. What it knows better (JSX text, brackets) is corrected by it."""


def place_at(cursor: Cursor, language: Language, tree: SyntaxTree | None) -> Place:
    """Return what `cursor` stands in. Never raises; a document that does not parse gives best guesses."""
    place = place_by_text(cursor.document.text, cursor.offset, language)
    found = by_grammar(tree, cursor.offset) if tree is not None else None
    if found is None or tree is None or not _is_same(tree, cursor):
        return place
    return _corrected(place, found, language)


def _is_same(tree: SyntaxTree, cursor: Cursor) -> bool:
    """Whether the tree is of this document, not of an earlier state of it: a short piece at the cursor tells."""
    begin = max(cursor.offset - 20, tree.first_offset)
    here = cursor.document.text[begin : cursor.offset + 20]
    return tree.text.startswith(here, begin - tree.first_offset)


def _corrected(place: Place, found: Surroundings, language: Language) -> Place:
    """`place` with what the grammar knows better: code that looks like a string, brackets that look like a block."""
    changes: dict[str, object] = {"is_by_grammar": True, "is_in_comment": found.is_in_comment}
    if not place.is_in_docstring:
        changes["is_in_string"] = found.is_in_string
    if language.block_style == "braces" and not (found.is_in_string or found.is_in_comment):
        if tuple(kind for kind in place.blocks if kind != "case") != found.blocks:
            changes["blocks"] = found.blocks
        if found.blocks[0] == "brackets" != place.blocks[0]:
            changes |= {"is_empty_block_start": False, "is_statement_start": False}
    return msgspec.structs.replace(place, **changes)


class _Surroundings(msgspec.Struct, frozen=True):
    """The cursor's line and the next line that is not blank."""

    before: str
    after: str
    next_line: str

    @property
    def indent(self) -> int:
        """Width of the white space that begins the line, as far as the cursor."""
        return _indent_of(self.before)

    @property
    def is_start(self) -> bool:
        """Whether only white space stands before the cursor."""
        return not self.before.strip()


def _indent_of(line: str) -> int:
    return width_of(line[: len(line) - len(line.lstrip(" \t"))])


def _surroundings(text: str, offset: int) -> _Surroundings:
    begin = text.rfind("\n", max(offset - MAX_LAST_LINE_CHARS, 0), offset) + 1
    begin = begin or max(offset - MAX_LAST_LINE_CHARS, 0)
    lines = list(_lines_from(text, offset, MAX_BLANK_LINES))
    after = lines[0] if lines else ""
    following = next((line for line in lines[1:] if line.strip()), "")
    return _Surroundings(text[begin:offset], after, following)


def _lines_from(text: str, offset: int, count: int) -> Iterator[str]:
    """Up to `count` lines from `offset` on; of a long line its beginning."""
    at = offset
    for _ in range(count):
        end = text.find("\n", at)
        stop = len(text) if end < 0 else end
        yield text[at : min(stop, at + MAX_LAST_LINE_CHARS)]
        if end < 0:
            return
        at = end + 1


def place_by_text(text: str, offset: int, language: Language) -> Place:
    """Return what `offset` stands in, by reading the text before it; of what follows, indentation alone."""
    state = state_at(text, offset, language)
    around = _surroundings(text, offset)
    frames = _frames_at_cursor(state, around, language)
    at = max(index for index, frame in enumerate(frames) if frame.is_block)
    block, top = frames[at], frames[-1]
    open_brackets = "".join(
        frame.opener[-1] for frame in frames[at + 1 :] if not (frame.is_string or frame.is_comment)
    )
    is_free = not (top.is_string or top.is_comment or open_brackets)
    is_start = around.is_start and is_free
    indent = _block_indent(text, offset, frames[: at + 1], around)
    num_before = block.num_statements - max(block.label_statements, 0)
    num_after = _num_after(text, offset, block, indent, language, is_start=is_start)
    has_begun = bool(block.text.strip()) or not _is_closed(around.after)
    is_empty = is_free and num_before == num_after == 0 and not has_begun
    return Place(
        is_in_comment=top.is_comment,
        is_in_string=top.is_string,
        is_in_docstring=top.is_docstring,
        blocks=_blocks(frames),
        is_empty_block_start=is_empty and block.kind != "module",
        is_after_documentation=is_start
        and _is_documented(text, offset, block, num_before, language),
        is_statement_start=is_start,
        num_statements_before=num_before,
        num_statements_after=num_after,
        block_indent=indent,
        open_brackets=open_brackets,
    )


def _frames_at_cursor(state: State, around: _Surroundings, language: Language) -> Frames:
    """What is open at the cursor: where blocks are made by indentation, its column closes some or a header opens one."""
    frames, top = [*state.frames], state.frames[-1]
    if language.block_style != "indent":
        if top.is_block and (is_label(top) or begins_with_label(top)):
            labelled = {"text": "", "label_statements": top.num_statements}
            frames[-1] = msgspec.structs.replace(top, **labelled)
        return tuple(frames)
    if state.is_line_start and top.is_block:
        indent = around.indent
        if not around.before and not around.after.strip() and around.next_line:
            indent = _indent_of(around.next_line)
        while (
            frames[-1].opener == ":" and frames[-1].indent >= indent and not _needs_body(frames[-1])
        ):
            frames.pop()
        return tuple(frames)
    header = top.text.strip()
    if top.is_block and header.endswith(":") and not around.after.strip():
        kind = kind_of_header(header[:-1])
        if kind not in ("brackets", "other"):
            frames.append(Frame(opener=":", kind=kind, indent=top.text_indent, header=header))
    return tuple(frames)


def _needs_body(frame: Frame) -> bool:
    """Whether a block by indentation has nothing in it yet, so that the cursor's column cannot end it."""
    is_empty = not frame.num_statements and not frame.has_documentation and frame.body_indent < 0
    return is_empty and opens_block(frame.header)


def _blocks(frames: Frames) -> tuple[BlockKind, ...]:
    kinds: list[BlockKind] = []
    for frame in reversed(frames):
        if frame.is_string or frame.is_comment:
            continue
        if frame.kind == "switch" and frame.label_statements >= 0 and kinds[-1:] != ["case"]:
            kinds.append("case")
        if not (frame.kind == "brackets" and kinds and kinds[-1] == "brackets"):
            kinds.append(frame.kind)
    return tuple(kinds)


def _is_closed(after: str) -> bool:
    """Whether nothing, or closing brackets and a comment's worth of rest, stands after the cursor on its line."""
    return not after.strip() or after.lstrip()[0] in ")]};,"


def _block_indent(text: str, offset: int, frames: Frames, around: _Surroundings) -> int:
    block = frames[-1]
    if not block.opener:
        return 0
    base = block.indent
    if block.label_statements >= 0:
        base = max(block.body_indent, base)
    elif block.body_indent >= 0:
        return block.body_indent
    if around.next_line and not _is_closing(around.next_line):
        indent = _indent_of(around.next_line)
        if indent > base:
            return indent
    if around.is_start and around.indent > base and _is_closed(around.after):
        return around.indent
    for frame in reversed(frames[:-1]):
        if frame.opener and frame.body_indent > frame.indent:
            return base + frame.body_indent - frame.indent
    return base + _indent_unit(text, offset)


def _indent_unit(text: str, offset: int) -> int:
    """Columns that the text around `offset` indents a block by."""
    part = text[max(offset - UNIT_CHARS, 0) : offset + UNIT_CHARS]
    widths = [width_of(match[1]) for match in _INDENTED.finditer(part)]
    return min((width for width in widths if width > 1), default=DEFAULT_INDENT)


def _is_closing(line: str) -> bool:
    return line.lstrip()[:1] in (")", "]", "}")


def _num_after(
    text: str, offset: int, block: Frame, indent: int, language: Language, *, is_start: bool
) -> int:
    """Count the lines below that begin a statement of the block: as it is indented, no comment, no `else`."""
    lines = _lines_from(text, offset, MAX_LINES_AFTER)
    count = int(is_start and not _is_closed(next(lines, "")))
    if not is_start:
        next(lines, None)
    for line in lines:
        code = line.strip()
        if not code or code.startswith(language.line_comments or ("\n",)):
            continue
        width = _indent_of(line)
        if width < indent or (_is_closing(line) and width <= block.indent):
            break
        is_own = width == indent and not _is_closing(line) and code[0] not in "@*{"
        count += is_own and not continues_statement(code)
    return count


def _is_documented(
    text: str, offset: int, block: Frame, num_before: int, language: Language
) -> bool:
    """Whether a comment stands on the line above, or the block holds nothing but documentation."""
    if block.has_documentation and not num_before and block.kind != "module":
        return True
    line_end = text.rfind("\n", max(offset - MAX_LAST_LINE_CHARS, 0), offset)
    if line_end < 0:
        return False
    begin = max(text.rfind("\n", 0, line_end) + 1, line_end - MAX_LAST_LINE_CHARS)
    above = text[begin:line_end].strip()
    if above.startswith("#!"):
        return False
    if language.line_comments and above.startswith(language.line_comments):
        return True
    return bool(language.block_comment) and above.endswith(language.block_comment[1])
