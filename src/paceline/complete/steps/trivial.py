"""Text that is not worth a look."""

from __future__ import annotations

import re

from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut, rest_of_line
from paceline.core.types import Candidate, Drop

_WORD = re.compile(r"\w")
_CLOSERS_ONLY = re.compile(r"[\s)\]}>\"'`;:,]*")
_STRING = re.compile(r"([\"'`]).+\1[;,]?")
MIN_USEFUL_CHARS = 2
"""Taking ghost text costs a key of its own, so one character saves nothing. (Tabby asks for 4.)"""


def trim_end(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut white space at the end, unless it separates the text from the rest of the line."""
    end = len(candidate.text.rstrip())
    return candidate if rest_of_line(candidate, scene) or not end else cut(candidate, end)


def drop_blank(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Drop text of white space only."""
    if candidate.text.strip():
        return candidate
    return Drop("deadline" if candidate.finish_reason == "deadline" else "blank")


def drop_trivial(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Drop closing brackets and stops alone, and single characters; not when the user asked for something."""
    if scene.trigger == "invoked":
        return candidate
    text = candidate.text.strip()
    is_closers = _CLOSERS_ONLY.fullmatch(text) is not None and not _STRING.fullmatch(text)
    return Drop("trivial") if is_closers or len(text) < MIN_USEFUL_CHARS else candidate
