"""What is open at a place in code: blocks, brackets, strings, comments. reader.py finds it, place.py and scan.py use it."""

from __future__ import annotations

import re

import msgspec

from paceline.syntax.headers import BlockKind, opens_by_words

TAB_WIDTH = 8
OPENERS = ("(", "[", "{", "${")
_OPENING_END = re.compile(r"(?::|\b(?:do|then|begin|of|where)|\bdo\s*\|[^|]*\||[=-]>)$")
LABEL = re.compile(r"(?:case\b.*|default\s*):$", re.DOTALL)
LABEL_START = re.compile(r"(?:case\b[^:]*(?:::[^:]*)*|default\s*):(?!:)")


class Frame(msgspec.Struct, kw_only=True):
    """One thing that is open."""

    opener: str
    """`(`, `[`, `{`, `${`; `:` for a block by indentation; a string's or comment's closing mark; empty: the file."""
    kind: BlockKind = "brackets"
    is_string: bool = False
    is_comment: bool = False
    is_docstring: bool = False
    indent: int = 0
    """Width of the indentation of the line that opened it; of a block by indentation, of its header's first."""
    body_indent: int = -1
    """Of its first statement; -1 before there is one."""
    num_statements: int = 0
    """Complete ones; docstrings and comments do not count."""
    has_documentation: bool = False
    """A docstring or comment was seen in it before any statement."""
    label_statements: int = -1
    """In a switch: complete statements at the last label; -1 before there is one. In a comment: comments nested in it."""
    header: str = ""
    """The statement that it opened in, up to it."""
    text: str = ""
    """The statement in progress in it, what is inside closed brackets left out."""
    text_indent: int = 0
    """Width of the indentation of the line where that statement begins."""

    @property
    def is_block(self) -> bool:
        """Whether it holds statements."""
        return self.kind != "brackets"


Frames = tuple[Frame, ...]


def width_of(space: str) -> int:
    """Columns that white space takes; a tab goes to the next multiple of 8."""
    if "\t" not in space:
        return len(space)
    width = 0
    for char in space:
        width += TAB_WIDTH - width % TAB_WIDTH if char == "\t" else 1
    return width


class State(msgspec.Struct, frozen=True, eq=False):
    """What is open after some text. Its frames are not to be changed: `Reader` works on copies."""

    frames: Frames = (Frame(opener="", kind="module"),)
    line_indent: int = 0
    """Of the last line that began."""
    is_line_start: bool = True
    """Nothing but white space since the last line end (or since the beginning)."""
    is_directive: bool = False
    """In a line for the preprocessor that goes on over its end."""


def opens_block(code: str) -> bool:
    """Whether a line of a language with blocks by indentation opens one: python, ruby, lua, shell."""
    return opens_by_words(code) or _OPENING_END.search(code) is not None


def is_label(frame: Frame) -> bool:
    """Whether the statement in progress in `frame` is a whole label of a switch: `case 1:`."""
    return frame.kind in ("switch", "case") and LABEL.fullmatch(frame.text.strip()) is not None


def begins_with_label(frame: Frame) -> bool:
    """Whether the statement in progress in `frame` stands behind a label on its line: `case 1: return x`."""
    return frame.kind == "switch" and LABEL_START.match(frame.text.lstrip()) is not None


START = State()
"""The beginning of a file."""
