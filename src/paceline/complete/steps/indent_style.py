"""With what the document is indented, and white space that the candidate need not bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import msgspec

from paceline.complete.lines import indentation
from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import is_directive
from paceline.complete.steps.cut import cut_start, with_text
from paceline.core.types import Candidate, Drop

WINDOW_CHARS = 6_000
"""Of the document before the cursor, and half of it after, to see how it is indented."""
MAX_MENDED_LINES = 300
TAB_WIDTH = 8
DEFAULT_UNIT = 4
UNITS = (2, 3, 4, 8)
TABS_PER_SPACES = 4
"""With more lines than that it is tabs, and the spaces align something."""


class IndentStyle(msgspec.Struct, frozen=True):
    """How a document is indented. Neither, if it shows nothing or both."""

    is_tabs: bool = False
    unit: int = 0
    """Spaces of one level; 0: not known, or tabs."""
    is_mixed: bool = False
    """Both, so that no width is certain."""


_STYLES: WeakKeyDictionary[Scene, IndentStyle] = WeakKeyDictionary()


def indent_style(scene: Scene) -> IndentStyle:
    """How the document is indented around the cursor. Found once for a scene."""
    style = _STYLES.get(scene)
    if style is None:
        style = _STYLES[scene] = _style_near(scene.cursor.document.text, scene.cursor.offset)
    return style


def _style_near(text: str, offset: int) -> IndentStyle:
    before = text[max(offset - WINDOW_CHARS, 0) : offset].split("\n")
    before[-1] += "x"
    after = text[offset : offset + WINDOW_CHARS // 2].split("\n")[1:]
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
    if num_tabs > TABS_PER_SPACES * num_spaces:
        return IndentStyle(is_tabs=True)
    unit = steps.most_common(1)[0][0] if num_spaces else 0
    if num_tabs:
        return IndentStyle(is_mixed=True)
    return IndentStyle(unit=unit if unit in UNITS else 0)


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


def _own_unit(lines: Sequence[str]) -> int:
    """Spaces of one level in the candidate."""
    widths = [_num_spaces(line) for line in lines if line.strip() and line[0] == " "]
    return 2 if any(width % 4 == 2 for width in widths) else DEFAULT_UNIT


def _num_spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _translated(line: str, unit: int, *, is_to_tabs: bool) -> str:
    body = line.lstrip(" \t")
    leading = line[: len(line) - len(body)]
    if not is_to_tabs:
        return leading.replace("\t", " " * unit) + body
    if not leading.startswith(" ") or not body:
        return line
    width = len(leading.expandtabs(unit))
    return "\t" * (width // unit) + " " * (width % unit) + body
