"""How much is asked for. Callers choose for now; deciding it from syntax and rhythm comes later."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["single_line", "block_body", "multi_line"]
"""single_line: to the end of the line; block_body: to the end of the block; multi_line: a few lines."""

MODES: tuple[Mode, ...] = get_args(Mode)
