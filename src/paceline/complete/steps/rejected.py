"""Text that the user has just turned down at this very place."""

from __future__ import annotations

from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Drop


def drop_rejected(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Drop text that was rejected or deleted here, also if only white space differs."""
    if not scene.rejected:
        return candidate
    text = "".join(candidate.text.split())
    is_rejected = any(text == "".join(rejected.split()) for rejected in scene.rejected)
    return Drop("rejected_here") if is_rejected else candidate
