"""Lines at the indentation where they belong. Only leading white space changes, and only where one width is right.

Each line is read with its place among the blocks around it: what it stands at (`raw`) and what it should
stand at (`mended`). Lines inside strings and comments are left alone, and lines that continue a statement
move with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from paceline.complete.lines import indentation
from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import open_at_cursor
from paceline.complete.steps.cut import with_text
from paceline.complete.steps.indent_style import DEFAULT_UNIT, MAX_MENDED_LINES, indent_style
from paceline.core.types import Candidate, Drop
from paceline.syntax.scan import LineEnd

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


class Level(msgspec.Struct, frozen=True):
    """The indentation of a block's statements, in the candidate and mended."""

    raw: int
    mended: int


def mend_indent(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Put a line that is off by a space, or a body that is no deeper than its header, where it belongs."""
    if "\n" not in candidate.text and scene.line_before.strip():
        return candidate
    style = indent_style(scene)
    unit = style.unit or (DEFAULT_UNIT if scene.language.name in BLOCKS_BY_COLON else 0)
    lines = candidate.text.split("\n")
    is_known = scene.language.block_style == "braces" or scene.language.name in BLOCKS_BY_COLON
    is_sure = is_known and bool(unit) and not style.is_tabs and not style.is_mixed
    if not is_sure or len(lines) > MAX_MENDED_LINES or "\t" in scene.line_before:
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
        if not self.scene.place.is_statement_start or self._is_comment(0):
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
        index = self.ends.index(above)
        joined = self.lines[index] if index else self.scene.line_before + self.lines[0]
        return self.num_open + above.depth > 0 or joined.rstrip("\r").endswith("\\")

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
        is_typed = bool(self.scene.line_before.strip()) and not any(
            map(str.strip, self.lines[1:index])
        )
        if is_body and (
            is_typed or run == 1
        ):  # else the header is the model's, and so may be its end
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
        return self.lines[index].lstrip().startswith(self.scene.language.line_comments)

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
    return blocks[-1].indent


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
