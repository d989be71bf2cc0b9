"""Does the document still parse at least as well?"""

from __future__ import annotations

from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import open_at_cursor, read
from paceline.complete.steps.cut import cut, flagged
from paceline.core.types import Candidate, Drop
from paceline.syntax.tree import SyntaxTree

_CLOSES = {"(": ")", "[": "]", "{": "}"}
FLAG = "parses_worse"
MAX_CHECKED_CHARS = 8_000
"""A longer candidate is not checked: no completion is that long."""


def check_parse(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut back to the last line break up to which the document parses as well as without; else flag.

    What the candidate opens and leaves open (a call to be continued, a block's header) is closed for the
    check: it is unfinished, not wrong.
    """
    tree = scene.tree
    if tree is None or not candidate.text.strip() or len(candidate.text) > MAX_CHECKED_CHARS:
        return candidate
    if not tree.covers(scene.cursor.offset):
        return candidate
    limit = tree.num_errors
    if num_errors_with(candidate.text, candidate.num_replaced_chars, scene, tree) <= limit:
        return candidate
    end = candidate.text.rstrip().rfind("\n")
    kept = candidate.text[: max(end, 0)].rstrip()
    if kept and num_errors_with(kept, candidate.num_replaced_chars, scene, tree) <= limit:
        return cut(candidate, len(kept))
    return flagged(candidate, FLAG)


def num_errors_with(text: str, num_replaced_chars: int, scene: Scene, tree: SyntaxTree) -> int:
    """ERROR and MISSING nodes of the document with `text` at the cursor.

    The lower of two counts: as it is, and with what it leaves open closed.
    """
    offset = scene.cursor.offset
    end = offset + num_replaced_chars
    num_errors = tree.replaced(offset, end, text).num_errors
    closers = _missing_closers(text, scene) if num_errors else ""
    if closers:
        num_errors = min(num_errors, tree.replaced(offset, end, text + closers).num_errors)
    return num_errors


def _missing_closers(text: str, scene: Scene) -> str:
    opened = open_at_cursor(scene)
    own = read(text, scene.language, opened).open
    new = own[len(opened) :] if own[: len(opened)] == opened else ()
    return "".join(_CLOSES.get(opener, "") for opener in reversed(new))
