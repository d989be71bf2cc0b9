"""Cut where a completion ends: the rules of ending.py, which stop the model too."""

from __future__ import annotations

from paceline.complete.ending import certain_end, finished_end
from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut
from paceline.core.types import Candidate, Drop


def end_by_mode(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut where the mode says that a completion ends."""
    return cut(candidate, certain_end(candidate.text, scene))


def end_at_whole_statement(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut a last statement that ran out of tokens or time, if there is a whole one before it."""
    if candidate.finish_reason not in ("length", "deadline") or scene.mode == "single_line":
        return candidate
    return cut(candidate, finished_end(candidate.text, scene) or None)
