"""Where a candidate can be cut so that only whole statements are left."""

from __future__ import annotations

from paceline.complete.scene import Scene
from paceline.core.types import Candidate


def end_of_statements_before(candidate: Candidate, scene: Scene, offset: int) -> int:
    """Where in the candidate its last whole statement ends that lies before the line of `offset`; 0 if none does.

    A block's header alone is no whole statement, nor is a line within brackets or a string.
    """
    limit = candidate.text.rfind("\n", 0, max(offset, 0)) + 1
    found = 0
    for line in scene.scanner.lines(candidate.text[:limit]):
        is_whole = line.is_complete and line.depth <= 0 and not line.opens_block
        if is_whole and not line.is_blank and line.offset < limit:
            found = line.offset
    return found if candidate.text[:found].strip() else 0
