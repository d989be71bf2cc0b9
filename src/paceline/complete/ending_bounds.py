"""What bounds a completion at one cursor: the block it may fill, the brackets that are still to be closed.

Found once for a request, from what stands before the cursor (syntax/scan.py) and after it (ending_after.py).
"""

from __future__ import annotations

import re

import msgspec

from paceline.complete.ending_after import OpenBefore, brackets_before, indent_of_frame
from paceline.complete.ending_text import Open
from paceline.complete.lines import indentation
from paceline.complete.scene import Scene
from paceline.core.types import Cursor
from paceline.syntax.frames import Frame, Frames
from paceline.syntax.headers import kind_of_header
from paceline.syntax.languages import Language

MAX_STYLE_CHARS = 2_000
"""Before the cursor, to see whether lines are indented with tabs or spaces."""
CONTROL_KINDS = (
    "if",
    "else",
    "loop",
    "try",
    "except",
    "with",
    "switch",
    "case",
    "brackets",
    "other",
)
"""Blocks within a function or declaration, not one themselves."""
END_WORDS = frozenset({"end", "fi", "done", "esac", "endif", "endfunction", "endwhile", "endfor"})
"""They close a block in languages without brackets or bare indentation: ruby, lua, shell, vim."""
_CONTINUES_CHAIN = re.compile(r"[.?:&|)\]}]")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What `Walk` needs to know of a cursor."""

    language: Language
    line_before: str
    is_line_blank: bool
    """Only white space before the cursor on its line."""
    has_rest: bool
    """Code after the cursor on its line."""
    opened: tuple[Open, ...]
    """The string or comment that the cursor stands in."""
    brackets: tuple[OpenBefore, ...]
    """Open at the cursor within the block that the completion fills, that block's own first."""
    outer: int
    """Width of the indentation of the cursor's statement."""
    is_inside: bool
    """Is the cursor's line indented as the block's lines are to be, or its statement begun above?"""
    has_tabs: bool | None
    """Is the cursor's line indented with tabs? None if that cannot be said."""
    floor: int
    """Least indentation that a line of the completion may have; -1: told by the first line of code."""
    is_container: bool
    """Is the block a file, or a class with members: of which one declaration is offered?"""
    level: int
    """Indentation of the container's statements; -1: told by the first line of code."""
    is_declaring: bool
    """Does the cursor stand in a block of the container's statement?"""
    is_multi_line: bool
    is_end_word_there: bool
    """Does the next line of the document close the block with a word?"""


class _Target(msgspec.Struct, frozen=True, kw_only=True):
    """The block that the completion fills."""

    index: int
    """Of its frame, or of the frame that holds the header on the cursor's line."""
    floor: int = -1
    is_container: bool = False
    level: int = -1
    is_declaring: bool = False


def bounds_of(scene: Scene) -> Bounds:
    """What bounds a completion in the scene's mode."""
    frames, opened = _split_text(scene.scanner.state.frames)
    is_blank = not scene.line_before.strip()
    if is_blank and not opened:
        frames = _dedented(frames, indentation(scene.line_before))
    outer = _indent_of_statement(frames, scene.line_before)
    target = _target(frames, scene, outer)
    return Bounds(
        language=scene.language,
        line_before=scene.line_before,
        is_line_blank=is_blank,
        has_rest=bool(scene.line_after),
        opened=opened,
        brackets=brackets_before(frames, target.index, scene.cursor, scene.language),
        outer=outer,
        is_inside=outer < indentation(scene.line_before) or _is_inside(frames, outer),
        has_tabs=_has_tabs(scene.cursor, scene.line_before),
        floor=target.floor,
        is_container=target.is_container,
        level=target.level,
        is_declaring=target.is_declaring,
        is_multi_line=scene.mode == "multi_line",
        is_end_word_there=_first_word(next(iter(scene.following_lines), "")) in END_WORDS,
    )


def _split_text(frames: Frames) -> tuple[Frames, tuple[Open, ...]]:
    """The frames around the string or comment at the cursor, and that; only what stands in no other string."""
    top, opened = frames[-1], ()
    if top.is_string or top.is_comment:
        opened = (Open("string" if top.is_string else "comment", top.opener, top.indent),)
        frames = frames[:-1]
    is_outside = (not (frame.is_string or frame.is_comment) for frame in frames)
    return tuple(frame for frame, keep in zip(frames, is_outside, strict=True) if keep), opened


def _dedented(frames: Frames, indent: int) -> Frames:
    """What is open on a blank line: a block by indentation ends left of its body, unless it has none yet."""
    while frames[-1].opener == ":" and frames[-1].indent >= indent:
        frame = frames[-1]
        if not frame.num_statements and not frame.has_documentation and frame.body_indent < 0:
            break
        frames = frames[:-1]
    return frames


def _indent_of_statement(frames: Frames, line_before: str) -> int:
    """Width of the indentation of the line on which the cursor's statement begins."""
    indent = indentation(line_before)
    block = frames[_innermost_block(frames)]
    if block.text.strip():
        return min(indent, block.text_indent)
    if _CONTINUES_CHAIN.match(line_before.lstrip()) and block.body_indent >= 0:
        return min(indent, block.body_indent)
    return indent


def _has_tabs(cursor: Cursor, line_before: str) -> bool | None:
    """Is the cursor's line indented with tabs? None if with nothing, or if lines above differ."""
    first = line_before[:1]
    if first not in ("\t", " "):
        return None
    other = "\n\t" if first == " " else "\n  "
    window = max(cursor.offset - MAX_STYLE_CHARS, 0)
    is_mixed = cursor.document.text.find(other, window, cursor.offset) >= 0
    return None if is_mixed else first == "\t"


def _is_inside(frames: Frames, indent: int) -> bool:
    block = frames[_innermost_block(frames)]
    return bool(block.opener) and indent > block.indent


def _target(frames: Frames, scene: Scene, outer: int) -> _Target:
    """The block to be filled: the innermost one, or in multi_line the enclosing function or declaration."""
    innermost = _innermost_block(frames)
    header_kind = _header_kind(frames[innermost], scene)
    if scene.mode != "multi_line":
        is_file = not frames[innermost].opener and not header_kind
        return _container(frames, innermost, scene, outer) if is_file else _Target(index=innermost)
    if header_kind in ("function", "class"):
        return _Target(index=innermost, floor=outer + 1)
    at = innermost
    while at > 0 and frames[at].kind in CONTROL_KINDS:
        at -= 1
    block = frames[at]
    if (
        not block.opener
        or block.kind == "module"
        or (block.kind == "class" and _has_members(block))
    ):
        return _container(frames, at, scene, outer, is_declaring=bool(header_kind))
    return _Target(index=at, floor=indent_of_frame(frames, at) + 1)


def _container(
    frames: Frames, at: int, scene: Scene, outer: int, *, is_declaring: bool = False
) -> _Target:
    """One statement after the other of the frame `at`; the cursor may stand within one."""
    level = -1
    if len(frames) > at + 1:
        level = indent_of_frame(frames, at + 1)
        is_declaring = is_declaring or any(frame.is_block for frame in frames[at + 1 :])
    elif scene.line_before.strip():
        level = outer
    return _Target(index=at, floor=level, is_container=True, level=level, is_declaring=is_declaring)


def _header_kind(block: Frame, scene: Scene) -> str:
    """The kind of block that the cursor's line has just opened by indentation; empty if it has not."""
    if scene.language.block_style != "indent" or not scene.language.is_code:
        return ""
    if not scene.scanner.lines("")[0].opens_block:
        return ""
    return kind_of_header(block.text.strip().removesuffix(":"))


def _has_members(block: Frame) -> bool:
    return block.num_statements > 0 or bool(block.text.strip())


def _innermost_block(frames: Frames) -> int:
    return max(index for index, frame in enumerate(frames) if frame.is_block)


def _first_word(line: str) -> str:
    words = line.split(None, 1)
    return words[0].rstrip(";)") if words else ""
