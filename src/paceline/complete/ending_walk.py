"""Walks over the lines of a growing candidate until its end is certain: block_body and multi_line.

A line's beginning alone can say that it does not belong (`begin_line`): it is indented less than the
block, it closes what the document closes already, it is the container's next declaration. A whole line
is then read (`read_line`), and the brackets it closes may say so too. Both look only at what more text
cannot change.
"""

from __future__ import annotations

import re

import msgspec

from paceline.complete.ending_bounds import END_WORDS, Bounds
from paceline.complete.ending_line import Line, is_comment, is_label, is_word_of
from paceline.complete.ending_text import OPENER_OF, LineReader, Open, innermost

PYTHON_WORDS = frozenset({"else", "elif", "except", "finally"})
BRACE_WORDS = frozenset(
    {"else", "elseif", "catch", "finally", "extends", "implements", "throws", "where"}
)
WORD_BLOCK_WORDS = END_WORDS | {
    "else",
    "elif",
    "elsif",
    "elseif",
    "rescue",
    "ensure",
    "then",
    "do",
    "in",
}
"""A line that begins with one goes on with the statement above it: in Python, in languages with braces,
and in those whose blocks are closed by words."""
STATEMENT_WORDS = frozenset(
    {"def", "class", "return", "import", "raise", "while", "try", "with", "assert", "del", "pass"}
)
"""Python: a line within brackets cannot begin with one, so the bracket was left open."""
_CONTINUING_SIGNS = "{.)]}?:&|=,;"
_TAIL = re.compile(r"[ \t]*[;,]")
_LEAD = re.compile(r"@(?!interface\b)|#!?\[|\[[\w(]|template\s*<")
"""Decorators, attributes and the like belong to what follows them."""


class Walk(msgspec.Struct):
    """What is known after some whole lines of a candidate."""

    end: int | None = None
    """Where the candidate ends, once that is certain."""
    opened: tuple[Open, ...] = ()
    num_open: int = 0
    """Brackets from before the cursor that are still open."""
    floor: int = -1
    level: int = -1
    last_end: int = 0
    """End of the last line that belongs to the block, without white space behind it."""
    text_end: int = 0
    """End of the last line that is not blank; more than `last_end` if comments stand left of the block."""
    num_blank: int = 0
    """Blank lines since."""
    unit_start: int = -1
    """In a container: where the candidate ends if the statement in progress does not belong; -1: it is the first."""
    lead_start: int = -1
    """The same if the comment does not belong that announces the next statement; -1 without one."""
    num_units: int = 0
    is_lead: bool = False
    """Has the statement in progress only a decorator yet?"""
    is_declaration: bool = False
    """Has the statement in progress a body of its own?"""

    @property
    def is_in_text(self) -> bool:
        """Does the next line begin in a string or comment?"""
        return bool(self.opened) and self.opened[-1].kind != "bracket"

    @classmethod
    def start(cls, bounds: Bounds) -> Walk:
        """Nothing is read yet."""
        is_begun = bounds.is_container and (bounds.level >= 0 or not bounds.is_line_blank)
        return cls(
            opened=bounds.opened,
            num_open=len(bounds.brackets),
            floor=bounds.floor,
            level=bounds.level,
            num_units=int(is_begun),
            is_declaration=bounds.is_declaring,
        )


def begin_line(walk: Walk, line: Line, bounds: Bounds) -> int | None:
    """The candidate's end, if the beginning of `line` alone says that this line does not belong to it."""
    if not line.content or not line.is_statement_start:
        return None
    if is_comment(line, bounds) is not False:
        return None
    if line.content[0] in OPENER_OF and bounds.language.is_code:
        return _begin_closer(walk, line, bounds)
    if walk.opened:
        return _left_open(walk, line, bounds)
    if line.begin == 0:
        return None
    if line.indent < walk.floor and is_label(line, bounds) is False:
        return _end_of_block(walk, line, bounds)
    if not _is_at_container(walk, bounds):
        return None
    if _is_body(walk, line, bounds) and walk.unit_start >= 0:
        return walk.unit_start
    if walk.is_declaration and _is_next(walk, line, bounds):
        return walk.last_end if walk.lead_start < 0 else walk.lead_start
    return None


def read_line(walk: Walk, line: Line, bounds: Bounds) -> Walk:
    """What is known after the whole `line`, which belongs."""
    after = msgspec.structs.replace(walk)
    if not line.content and line.is_statement_start:
        after.num_blank += 1
        after.end = after.last_end if _is_ended_by_blank_lines(after, bounds) else None
        return after
    after.num_blank = 0
    is_note = bool(line.content) and line.is_statement_start and is_comment(line, bounds) is True
    if is_note:
        _note_comment(after, line, bounds)
    elif line.content and not walk.is_in_text:
        _note_first(after, line, bounds)
        if line.is_statement_start and _is_at_container(walk, bounds):
            _note_unit(after, line, bounds)
    if line.content and (not is_note or line.indent >= after.floor or walk.opened):
        after.last_end = line.begin + len(line.text.rstrip())
    if line.content:
        after.text_end = line.begin + len(line.text.rstrip())
    if bounds.language.is_code:
        _read_brackets(after, line, bounds)
    return after


# --- how a line begins


def _is_at_container(walk: Walk, bounds: Bounds) -> bool:
    """Is nothing open but the container itself?"""
    num_own = int(any(bracket.is_target for bracket in bounds.brackets))
    return bounds.is_container and not walk.opened and walk.num_open <= num_own


def _begin_closer(walk: Walk, line: Line, bounds: Bounds) -> int | None:
    """A closing bracket begins the line: does it close what the document closes already, or nothing at all?"""
    opener = OPENER_OF[line.content[0]]
    if _without_left_open(walk, opener, line.indent, bounds):
        return None
    at = _bracket_closed_by(walk, bounds, opener)
    is_there = at < 0 or bounds.brackets[at].is_closed
    is_part_of_line = line.begin == 0 and bounds.has_rest
    return walk.text_end if is_there and not is_part_of_line else None


def _without_left_open(walk: Walk, opener: str, indent: int, bounds: Bounds) -> tuple[Open, ...]:
    """What the candidate has open, less what the closing half of `opener` at that indentation shows to have
    been forgotten; empty if it closes nothing of that."""
    opened = walk.opened
    own = [one.indent for one in opened if one.mark == opener]
    if not own:
        return ()
    if own[-1] <= indent:
        return opened
    for at in range(len(opened) - 1, -1, -1):
        if opened[at].mark == opener and opened[at].indent == indent:
            return opened[: at + 1]
    before = bounds.brackets[: walk.num_open]
    is_outer = any(one.mark == opener and one.indent == indent for one in before)
    return () if is_outer else opened


def _bracket_closed_by(walk: Walk, bounds: Bounds, opener: str) -> int:
    """Which bracket from before the cursor is closed; -1 if none is open of that kind."""
    for at in innermost(walk.num_open):
        if bounds.brackets[at].mark == opener:
            return at
        if bounds.brackets[at].mark == "{":
            break
    return -1


def _left_open(walk: Walk, line: Line, bounds: Bounds) -> int | None:
    """Within brackets a line ends the candidate only if it shows that they were left open."""
    if bounds.language.name != "python" or line.begin == 0 or line.indent >= walk.floor:
        return None
    return walk.last_end if is_word_of(STATEMENT_WORDS, line) else None


def _end_of_block(walk: Walk, line: Line, bounds: Bounds) -> int | None:
    """The line is indented less than the block. A word that closes the block still belongs, if it is missing."""
    language = bounds.language
    if language.block_style != "indent" or language.name == "python" or bounds.is_end_word_there:
        return walk.last_end
    is_closing = is_word_of(END_WORDS, line)
    if is_closing is None or (is_closing and not line.is_whole):
        return None
    is_own = is_closing and walk.last_end > 0
    return line.begin + len(line.text.rstrip()) if is_own else walk.last_end


def _is_next(walk: Walk, line: Line, bounds: Bounds) -> bool:
    """Does a statement of the container begin here, for certain?"""
    if line.indent > walk.level or line.content[0] in _CONTINUING_SIGNS:
        return False
    words = PYTHON_WORDS if bounds.language.name == "python" else WORD_BLOCK_WORDS
    words = BRACE_WORDS if bounds.language.block_style == "braces" else words
    return is_word_of(words, line) is False


def _is_body(walk: Walk, line: Line, bounds: Bounds) -> bool:
    """Is the line in the body of the container's statement in progress, by its indentation?"""
    is_by_indent = bounds.language.block_style == "indent" and bounds.language.is_code
    return is_by_indent and 0 <= walk.level < line.indent


# --- what a whole line does


def _is_ended_by_blank_lines(walk: Walk, bounds: Bounds) -> bool:
    """Two blank lines end all but a block, once there is something before them."""
    is_asked = bounds.is_container or bounds.is_multi_line
    return is_asked and walk.num_blank >= 2 and walk.last_end > 0 and not walk.opened


def _note_comment(walk: Walk, line: Line, bounds: Bounds) -> None:
    """A comment announces the container's next statement, or tells how deep the block is."""
    if _is_at_container(walk, bounds):
        if walk.lead_start < 0 and line.indent <= max(walk.level, 0):
            walk.lead_start = walk.last_end
    elif walk.floor < 0 and line.begin > 0 and line.indent > bounds.outer:
        walk.floor = line.indent


def _note_first(walk: Walk, line: Line, bounds: Bounds) -> None:
    """The first line of code tells how deep the block is."""
    is_brace = bounds.language.block_style == "braces"
    if walk.last_end == 0 and walk.floor > line.indent and (is_brace or line.begin == 0):
        walk.floor = line.indent
    if walk.floor >= 0 and (walk.level >= 0 or not bounds.is_container):
        return
    if not line.is_statement_start or (line.begin == 0 and bounds.is_inside):
        indent = bounds.outer
    else:
        indent = line.indent if line.begin == 0 else max(line.indent, bounds.outer)
    if not bounds.is_container:
        walk.floor = indent
        return
    walk.floor = walk.level = indent if line.begin == 0 else line.indent


def _note_unit(walk: Walk, line: Line, bounds: Bounds) -> None:
    """In a container: does a statement begin here, or has the one above a body?"""
    if _is_next(walk, line, bounds):
        if not walk.is_lead:
            start = walk.last_end if walk.lead_start < 0 else walk.lead_start
            walk.unit_start = start if walk.num_units else -1
            walk.num_units += 1
            walk.is_declaration = False
        walk.is_lead = _LEAD.match(line.content) is not None
    elif _is_body(walk, line, bounds):
        _declare(walk)
    walk.lead_start = -1


def _declare(walk: Walk) -> None:
    """The statement in progress has a body. If others stand before it, the candidate ends with them."""
    walk.is_declaration = True
    walk.is_lead = False
    if walk.unit_start >= 0 and walk.end is None:
        walk.end = walk.unit_start


def _read_brackets(walk: Walk, line: Line, bounds: Bounds) -> None:
    """Read the line's brackets and strings; end where it closes what bounds the block."""
    opened = walk.opened
    if line.is_statement_start and line.content[0] in OPENER_OF:
        opened = _without_left_open(walk, OPENER_OF[line.content[0]], line.indent, bounds)
    reader = LineReader(bounds.language, opened)
    whole = line.text + "\n"
    unmatched = reader.read(whole, 0, len(whole), line.indent)
    walk.opened = tuple(reader.opened)
    for offset in unmatched:
        _close(walk, line, offset, bounds)
    has_body = bounds.language.block_style == "braces" and any(
        one.mark == "{" for one in walk.opened
    )
    if bounds.is_container and has_body:
        _declare(walk)


def _close(walk: Walk, line: Line, offset: int, bounds: Bounds) -> None:
    """A bracket from before the cursor is closed at `offset` in the line."""
    at = _bracket_closed_by(walk, bounds, OPENER_OF[line.text[offset]])
    if at < 0 or walk.end is not None:
        return
    walk.num_open = at
    if bounds.brackets[at].is_closed:
        if line.begin > 0 or not bounds.has_rest:
            walk.end = line.begin + len(line.text[:offset].rstrip())
    elif bounds.brackets[at].is_target:
        walk.end = line.begin + _end_of_tail(line, offset + 1, bounds.brackets[at].header)


def _end_of_tail(line: Line, offset: int, header: str) -> int:
    """Where a statement ends whose last brace is before `offset`: after `);` and the like."""
    if header.strip() == "do":
        return len(line.text.rstrip())
    while offset < len(line.text) and line.text[offset] in ")]":
        offset += 1
    tail = _TAIL.match(line.text, offset)
    return tail.end() if tail else offset
