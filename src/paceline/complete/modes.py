"""How much is asked for, and why the brain is asked at all. Names only; intent.py decides."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["single_line", "block_body", "multi_line"]
"""single_line: to the end of the line, or the next line where the cursor's is finished.
block_body: to the end of the innermost block: its body, never a following `else` or sibling.
multi_line: to the end of the enclosing function or declaration; at top level, one whole declaration."""

MODES: tuple[Mode, ...] = get_args(Mode)

Trigger = Literal["automatic", "invoked"]
"""automatic: a key was pressed; invoked: the user asked, so limits and the gate do not apply."""
