"""Indentation as the document has it. Only leading white space changes, and only where one width is right.

Each line is read with its place among the blocks around it: what it stands at (`raw`) and what it should
stand at (`mended`). Lines inside strings and comments are left alone, and lines that continue a statement
move with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from paceline.complete.lines import indentation
from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import is_directive, open_at_cursor
from paceline.complete.steps.cut import cut_start, with_text
from paceline.core.types import Candidate, Drop
from paceline.syntax.scan import LineEnd

WINDOW_CHARS = 12_000
"""Of the document before and after the cursor, to see how it is indented."""
MAX_MENDED_LINES = 300
TAB_WIDTH = 8
DEFAULT_UNIT = 4
BLOCKS_BY_COLON = ("python", "cython", "starlark")
"""In other languages without braces it takes a grammar to tell a header from a statement."""
_LOOSE_BODIES = (
    "case",
    "default",
    "#",
    "}",
    ")",
    "]",
    "public",
    "private",
    "protected",
    "//",
    "/*",
)


class IndentStyle(msgspec.Struct, frozen=True):
    """How a document is indented. Neither, if it shows nothing or both."""

    is_tabs: bool = False
    unit: int = 0
    """Spaces of one level; 0: not known, or tabs."""


class Level(msgspec.Struct, frozen=True):
    """The indentation of a block's statements, in the candidate and mended."""

    raw: int
    mended: int


def indent_style(scene: Scene) -> IndentStyle:
    """How the document is indented around the cursor."""
    text, offset = scene.cursor.document.text, scene.cursor.offset
    before = text[max(offset - WINDOW_CHARS, 0) : offset].split("\n")
    before[-1] += "x"
    after = text[offset : offset + WINDOW_CHARS // 4].split("\n")[1:]
    steps, num_tabs, width = Counter[int](), 0, 0
    for line in (*before, *after):
        body = line.lstrip(" \t")
        if not body.strip() or body[0] == "*":
            continue
        leading = line[: len(line) - len(body)]
        num_tabs += leading.startswith("\t")
        if len(leading) > width:
            steps[len(leading) - width] += not leading.startswith("\t")
        width = len(leading)
    num_spaces = steps.total()
    if num_tabs and not num_spaces:
        return IndentStyle(is_tabs=True)
    unit = steps.most_common(1)[0][0] if num_spaces else 0
    if num_tabs or unit not in (2, 3, 4, 8):
        return IndentStyle()
    return IndentStyle(unit=unit)


def cut_doubled_space(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut white space at the start that the document has before the cursor: indentation, a space."""
    before, text = scene.line_before, candidate.text
    if text[:1] not in (" ", "\t") or before[-1:] not in (" ", "\t"):
        return candidate
    frame = scene.scanner.state.frames[-1]
    if frame.is_string or frame.is_comment:
        return candidate
    body = text.lstrip(" \t")
    is_line_start = not before.strip()
    if is_line_start and not _is_indented_already(scene):
        return candidate
    is_aligned = before[-2:].isspace() or body.startswith(("=", "\n", "\r", "/*"))
    is_aligned = is_aligned or body.startswith(scene.language.line_comments)
    if not is_line_start and (is_aligned or is_directive(scene)):
        return candidate
    return cut_start(candidate, len(text) - len(body), if_empty="blank")


def _is_indented_already(scene: Scene) -> bool:
    """Is the cursor's line, so far white space, as deep as a statement belongs here?"""
    text, offset = scene.cursor.document.text, scene.cursor.offset - len(scene.line_before)
    above = text[max(offset - WINDOW_CHARS, 0) : offset].rstrip()
    line = above[above.rfind("\n") + 1 :]
    if not line.strip() or scene.place.open_brackets:
        return False
    width, width_above = indentation(scene.line_before), indentation(line)
    if line[-1] in ":{":
        style = indent_style(scene)
        return width - width_above == (TAB_WIDTH if style.is_tabs else style.unit or DEFAULT_UNIT)
    return width == width_above and line[-1] not in "\\,([=+-*/.&|"


def mend_tabs(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Indent with tabs or with spaces, as the document does."""
    if "\n" not in candidate.text and candidate.text[:1] not in ("\t", " "):
        return candidate
    style = indent_style(scene)
    if not style.is_tabs and not style.unit:
        return candidate
    lines = candidate.text.split("\n")
    first = 0 if not scene.line_before else 1
    if len(lines) > MAX_MENDED_LINES or not any(line[:1] in (" ", "\t") for line in lines[first:]):
        return candidate
    ends = scene.scanner.lines(candidate.text)
    unit = style.unit or _own_unit(lines[first:])
    for index in range(first, len(lines)):
        if index == 0 or not ends[index - 1].in_string:
            lines[index] = _translated(lines[index], unit, is_to_tabs=style.is_tabs)
    return with_text(candidate, "\n".join(lines))


def mend_indent(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Put a line that is off by a space, or a body that is no deeper than its header, where it belongs."""
    if "\n" not in candidate.text and scene.line_before.strip():
        return candidate
    style = indent_style(scene)
    unit = style.unit or (DEFAULT_UNIT if scene.language.name == "python" else 0)
    lines = candidate.text.split("\n")
    is_known = scene.language.block_style == "braces" or scene.language.name in BLOCKS_BY_COLON
    if style.is_tabs or not unit or len(lines) > MAX_MENDED_LINES or not is_known:
        return candidate
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in lines):
        return candidate
    return with_text(candidate, _Mender(scene, lines, unit).mended())


class _Mender:
    """Goes through the lines once, with the blocks that are open."""

    def __init__(self, scene: Scene, lines: list[str], unit: int) -> None:
        self.scene, self.lines, self.unit = scene, lines, unit
        self.is_by_indent = scene.language.block_style == "indent"
        self.ends: Sequence[LineEnd] = scene.scanner.lines("\n".join(lines))
        self.levels = [Level(width, width) for width in enclosing_indents(scene)]
        self.num_open = sum(opener in "([{" for opener in open_at_cursor(scene))
        self.delta = 0
        """By how much the statement in progress moves."""

    def mended(self) -> str:
        """The text with every line where it belongs."""
        before = self.scene.line_before
        if before.strip():
            self._enter(indentation(before))
        elif self.lines[0].strip():
            self._mend_first(len(before))
        for index in range(1, len(self.lines)):
            self._mend(index)
        return "\n".join(self.lines)

    def _mend_first(self, num_before: int) -> None:
        """The candidate begins a line, or goes on after some of its indentation."""
        if not self.scene.place.is_statement_start:
            return
        raw = num_before + _width(self.lines[0])
        header = open_header_indent(self.scene) if self.is_by_indent else None
        if header is not None:
            below = indentation(next(iter(self.scene.following_lines), ""))
            expected = below if below > header else header + self.unit
            if raw <= header or abs(raw - expected) == 1:
                self._move_run(0, raw, expected - raw, num_before)
                return
            self._enter(raw)
            return
        mended = self._snapped(raw)
        self._put(0, max(mended - num_before, 0))
        self._enter(raw, num_before + _width(self.lines[0]))

    def _mend(self, index: int) -> None:
        line, above = self.lines[index], self._end_above(index)
        if not line.strip() or self._is_in_text(index):
            return
        raw = _width(line)
        if self._is_comment(index):
            self._put(index, self._snapped(raw))
        elif above.opens_block:
            self._mend_body(index, raw)
        elif self._is_continued(above, line):
            self._put(index, max(raw + self.delta, 0))
        else:
            mended = self._snapped(raw)
            self._put(index, mended)
            self._enter(raw, mended)

    def _is_continued(self, above: LineEnd, line: str) -> bool:
        """Does the line go on with a statement?"""
        if not self.is_by_indent:
            return not above.is_complete and not line.lstrip().startswith("}")
        is_joined = self.lines[self.ends.index(above)].endswith("\\")
        return self.num_open + above.depth > 0 or is_joined

    def _is_in_text(self, index: int) -> bool:
        """Does the line begin inside a string or a block comment?"""
        above = self.ends[index - 1]
        if above.in_string or not above.in_comment:
            return above.in_string
        begins = self.scene.language.block_comment
        line = self.lines[index - 1]
        marks = [line.find(mark) for mark in self.scene.language.line_comments if mark in line]
        is_line_comment = bool(marks) and (
            begins is None or begins[0] not in line or min(marks) < line.find(begins[0])
        )
        return not is_line_comment

    def _mend_body(self, index: int, raw: int) -> None:
        header = self.levels[-1]
        expected = header.mended + self.unit
        if raw > header.raw:
            is_slip = abs(raw + self.delta - expected) == 1
            other_unit = self.is_by_indent and raw - header.raw in (2, 4, 8) and self.unit in (2, 4)
            mended = expected if is_slip or other_unit else raw + self.delta
            self._put(index, mended)
            self._enter(raw, mended)
            return
        is_body = self.is_by_indent or not self.lines[index].lstrip().startswith(_LOOSE_BODIES)
        run = self._run(index, raw)
        is_header_of_document = not any(line.strip() for line in self.lines[1:index])
        if is_body and (is_header_of_document or run == 1):
            self._move_run(index, raw, expected - raw, 0)

    def _move_run(self, index: int, raw: int, delta: int, num_before: int) -> None:
        """Move lines down to the next blank one or dedent; the first of them begins a block."""
        for other in range(index, index + self._run(index, raw, num_before)):
            self._put(other, max(_width(self.lines[other]) + delta, 0))
        after = _width(self.lines[index]) + num_before
        self._enter(after)

    def _run(self, index: int, raw: int, num_before: int = 0) -> int:
        """How many lines from `index` on are a body that begins at `raw`."""
        count = 1
        for line in self.lines[index + 1 :]:
            if not line.strip() or _width(line) < raw:
                break
            count += 1
        return count

    def _snapped(self, raw: int) -> int:
        """Where a statement at `raw` belongs: at a block's indentation, if it is there or a space off."""
        for level in reversed(self.levels):
            if level.raw == raw:
                return level.mended
        for level in reversed(self.levels):
            if abs(level.raw - raw) == 1 and raw:
                return level.mended
        return raw

    def _enter(self, raw: int, mended: int | None = None) -> None:
        """A statement stands at `raw`: blocks that are deeper have ended."""
        mended = raw if mended is None else mended
        while self.levels and self.levels[-1].mended >= mended:
            self.levels.pop()
        self.levels.append(Level(raw, mended))
        self.delta = mended - raw

    def _end_above(self, index: int) -> LineEnd:
        """The end of the nearest line above that has code; blank lines and comments change nothing."""
        above = index - 1
        while above > 0 and (self.ends[above].is_blank or self._is_comment(above)):
            above -= 1
        return self.ends[above]

    def _is_comment(self, index: int) -> bool:
        return self.lines[index].lstrip().startswith(self.scene.language.line_comments or ("\0",))

    def _put(self, index: int, width: int) -> None:
        self.lines[index] = " " * width + self.lines[index].lstrip(" ")


def enclosing_indents(scene: Scene) -> list[int]:
    """Indentations of the statements of the blocks around the cursor, outermost first."""
    widths = [0]
    for frame in scene.scanner.state.frames[1:]:
        if frame.is_block and frame.body_indent > widths[-1]:
            widths.append(frame.body_indent)
    return widths


def open_header_indent(scene: Scene) -> int | None:
    """Indentation of the header whose block has nothing yet; None if there is none at the cursor."""
    blocks = [frame for frame in scene.scanner.state.frames if frame.is_block]
    if len(blocks) < 2 or blocks[-1].opener != ":":
        return None
    if blocks[-1].num_statements or blocks[-1].has_documentation:
        return None
    around = blocks[
        -2
    ].body_indent  # a header may go over lines, so its own last line does not tell
    return around if around >= 0 else blocks[-1].indent


def _own_unit(lines: Sequence[str]) -> int:
    """Spaces of one level in the candidate."""
    widths = [_width(line) for line in lines if line.strip() and line[0] == " "]
    return 2 if any(width % 4 == 2 for width in widths) else DEFAULT_UNIT


def _translated(line: str, unit: int, *, is_to_tabs: bool) -> str:
    body = line.lstrip(" \t")
    leading = line[: len(line) - len(body)]
    if not is_to_tabs:
        return leading.replace("\t", " " * unit) + body
    if not leading.startswith(" ") or not body:
        return line
    width = len(leading.expandtabs(unit))
    return "\t" * (width // unit) + " " * (width % unit) + body


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
