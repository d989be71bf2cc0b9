"""Is the user in acceleration or in exploration, and so: how much is offered? Every answer has reasons.

Source: Barke, James, Polikarpova 2023 (OOPSLA), "Grounded Copilot": the two modes of users.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.complete.history import Recent
from paceline.complete.modes import Mode
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene

Intent = Literal["acceleration", "exploration"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and why."""

    mode: Mode
    intent: Intent
    score: float
    """0 to 1: how sure it is that more than a line is wanted; compared with the threshold."""
    reasons: tuple[str, ...]
    """Names of the facts that counted, strongest first: `empty_block_start`, `typing_steadily`, ..."""


def decide(scene: Scene, pace: Pace, recent: Recent, *, multi_line_threshold: float) -> Decision:
    """Choose the mode for a request whose client named none.

    Args:
        multi_line_threshold: 0 to 1, the user's own setting; higher gives single lines more often, 1 always.
    """
    raise NotImplementedError
