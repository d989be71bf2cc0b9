"""The document's tree with a candidate at the cursor, parsed once for all steps that ask."""

from __future__ import annotations

from functools import lru_cache

from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import open_at_cursor, read
from paceline.core.types import Candidate
from paceline.syntax.tree import SyntaxTree

_CLOSES = {"(": ")", "[": "]", "{": "}"}


def tree_with(candidate: Candidate, scene: Scene) -> SyntaxTree | None:
    """The tree of the document as it would be; None without a grammar, or if the cursor is not in what was parsed.

    What the candidate opens and leaves open (a call to be continued) is closed behind it: it is unfinished, not wrong.
    """
    tree, offset = scene.tree, scene.cursor.offset
    if tree is None or not tree.covers(offset):
        return None
    opened = open_at_cursor(scene)
    own = read(candidate.text, scene.language, opened).open
    new = own[len(opened) :] if own[: len(opened)] == opened else ()
    closers = "".join(_CLOSES.get(opener, "") for opener in reversed(new))
    return replaced_tree(
        tree, offset, offset + candidate.num_replaced_chars, candidate.text + closers
    )


@lru_cache(maxsize=8)
def replaced_tree(tree: SyntaxTree, start: int, end: int, text: str) -> SyntaxTree:
    """`tree.replaced(...)`, remembered for the next step that asks for the same."""
    return tree.replaced(start, end, text)
