"""What a post-processing step is, and what is remembered of each."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Drop

Step = Callable[[Candidate, Scene], Candidate | Drop]
"""Pure and quick. It may cut the text, mend its indentation, widen `num_replaced_chars`, add flags, or
drop the candidate; it never touches what stands before the cursor. The step's name is its `__name__`."""


class StepNote(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did to one candidate: no text, only sizes, so that it may be kept and shown."""

    step: str
    num_chars_before: int
    num_chars_after: int
    drop_reason: str = ""
    """Empty if it was not dropped."""
    flags: tuple[str, ...] = ()
    """Kinds of the flags that it added, without the names in them."""
    is_failed: bool = False
    """Did a bug end it? Then the text stayed as it was, or was dropped where the step guards the user."""


class Judged(msgspec.Struct, frozen=True):
    """The outcome of post-processing, and its story."""

    result: Candidate | Drop
    trail: tuple[StepNote, ...]
    """Of the steps that changed something, in order."""
