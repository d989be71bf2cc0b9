"""How a step changes a candidate. What was said about the text before (its flags) no longer holds."""

from __future__ import annotations

from msgspec.structs import replace

from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Drop


def cut(candidate: Candidate, end: int | None, *, if_empty: str = "") -> Candidate | Drop:
    """Keep the text before `end`; the text then ends where it should, whatever stopped the model.

    Args:
        end: None keeps all.
        if_empty: the reason to drop what has nothing but white space left; empty: keep even that.
    """
    if end is None or end >= len(candidate.text):
        return candidate
    text = candidate.text[: max(end, 0)]
    if if_empty and not text.strip():
        return Drop(if_empty)
    return replace(candidate, text=text, finish_reason="stop", flags=())


def cut_start(candidate: Candidate, start: int, *, if_empty: str) -> Candidate | Drop:
    """Keep the text from `start` on."""
    if not start:
        return candidate
    text = candidate.text[start:]
    if not text.strip():
        return Drop(if_empty)
    return replace(candidate, text=text, flags=())


def with_text(candidate: Candidate, text: str) -> Candidate:
    """The candidate with mended text."""
    return candidate if text == candidate.text else replace(candidate, text=text, flags=())


def flagged(candidate: Candidate, flag: str) -> Candidate:
    """The candidate with one more flag."""
    if flag in candidate.flags:
        return candidate
    return replace(candidate, flags=tuple(sorted({*candidate.flags, flag})))


def rest_of_line(candidate: Candidate, scene: Scene) -> str:
    """What stands after the candidate on its last line, once it is accepted; no trailing white space."""
    return scene.line_after[candidate.num_replaced_chars :]
