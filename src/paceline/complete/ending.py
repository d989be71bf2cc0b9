"""Where a completion ends. The same rules stop the model early and cut the candidate.

An end is *certain* once no further text could move it: the service then closes the stream, and the
engine spends nothing on text that would be thrown away.

single_line   the end of the line. At the end of a line that has code, the model may say that the line
              is finished by starting with a line break: then the completion is the next line, because
              that is what the user types next. Two breaks mean that a new block would begin, which
              nobody has asked for: such a candidate is empty.
block_body    the end of the innermost block: before a line that is indented less, before the closing
              bracket that the document has already; after the one that it lacks.
multi_line    the same of the enclosing function; in a file or class, one whole declaration. Never
              past two blank lines.

Brackets in strings and comments do not count, nor does the indentation of what stands in them.
"""

from __future__ import annotations

import re
from typing import ClassVar
from weakref import WeakKeyDictionary

from paceline.complete.ending_bounds import Bounds, bounds_of
from paceline.complete.ending_line import line_at
from paceline.complete.ending_walk import Walk, begin_line, read_line
from paceline.complete.lines import is_at_line_end
from paceline.complete.modes import Mode
from paceline.complete.scene import Scene
from paceline.core.types import Cursor

_BREAK = re.compile(r"[ \t]*\r?\n")
_TRY = re.compile(r"try[ \t]*:")


class Ending:
    """The ends of the candidates of one request. What is before the cursor is read once."""

    _of_scenes: ClassVar[WeakKeyDictionary[Scene, Ending]] = WeakKeyDictionary()

    def __init__(self, scene: Scene) -> None:
        self._cursor = scene.cursor
        self._bounds: Bounds | None = None
        if scene.mode != "single_line":
            self._bounds = bounds_of(scene)
            self._walk = ("", Walk.start(self._bounds))

    @classmethod
    def of(cls, scene: Scene) -> Ending:
        """The ending for `scene`; one scene has one."""
        ending = cls._of_scenes.get(scene)
        if ending is None:
            ending = cls._of_scenes[scene] = cls(scene)
        return ending

    def certain_end(self, text: str) -> int | None:
        """Where `text`, the beginning of a candidate, ends for certain; None if it may still go on.

        If an end is returned for `text`, the same one is returned for every `text + more`. May be called
        on any thread. A text that goes on from the one before costs no more than what is new in it.
        """
        if self._bounds is None:
            return line_end(text, self._cursor)
        read, walk = self._walk
        if not text.startswith(read):
            read, walk = "", Walk.start(self._bounds)
        start = len(read)
        end, start, walk = _walk_on(text, start, walk, self._bounds)
        if start > len(read):
            self._walk = (text[:start], walk)
        return end


def _walk_on(text: str, start: int, walk: Walk, bounds: Bounds) -> tuple[int | None, int, Walk]:
    """Read the whole lines from `start` on; return the end if it is certain, and how far was read."""
    while walk.end is None:
        line = line_at(text, start, bounds, is_in_text=walk.is_in_text)
        end = begin_line(walk, line, bounds)
        if end is not None or not line.is_whole:
            return end, start, walk
        walk = read_line(walk, line, bounds)
        start = line.begin + len(line.text) + 1
    return walk.end, start, walk


def certain_end(text: str, scene: Scene | Cursor, mode: Mode | None = None) -> int | None:
    """Where `text`, the beginning of a candidate for `scene`, ends for certain; None if it may still go on.

    Args:
        scene: or a cursor, with the `mode`.
    """
    if isinstance(scene, Cursor):
        scene = Scene(scene, mode or "single_line")
    return Ending.of(scene).certain_end(text)


def line_end(text: str, cursor: Cursor) -> int | None:
    """The end of the line, or of the next one if the cursor's line is finished."""
    first = _BREAK.match(text) if is_at_line_end(cursor) else None
    start = first.end() if first else 0
    found = text.find("\n", start)
    if found < 0:
        return None
    return found - (found > start and text[found - 1] == "\r")


def finished_end(text: str, scene: Scene) -> int:
    """Where the last statement ends that is whole, for a candidate that ran out of tokens or time.

    The last line may lack its end; nor is a statement whole while a bracket or string is open, nor a
    block's header without its block, nor in Python a `try` without what handles it. If no statement is
    whole, whole lines are kept, and if there are none, everything.
    """
    whole = text.rfind("\n") + 1
    comments = scene.language.line_comments or ("\0",)
    found, found_within, begin = 0, 0, 0
    tries: list[tuple[int, int]] = []
    for line in scene.scanner.lines(text[:whole]):
        content = text[begin : line.offset].strip()
        if scene.language.name == "python" and content and not content.startswith(comments):
            tries = [one for one in tries if one[0] < line.indent]
            tries += [(line.indent, begin)] if _TRY.match(content) else []
        begin = line.offset + 1
        is_whole = line.is_complete and not (line.is_last or line.is_blank or line.opens_block)
        if is_whole and not content.startswith(comments):
            found_within = line.offset
            found = line.offset if line.depth <= 0 else found
    before_try = tries[0][1] if tries else found
    for end in (min(found, before_try), found, found_within, whole):
        num_chars = len(text[:end].rstrip())
        if num_chars:
            return num_chars
    return len(text)
