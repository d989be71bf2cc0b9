"""Counts work without a clock: the same number on every machine, busy or not.

from tests.work import lines_run
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of Python run in `function`: what C does within a line does not count."""
    num_lines = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal num_lines
        num_lines += event == "line"
        return trace

    before, was_enabled = sys.gettrace(), gc.isenabled()
    gc.disable()  # what it would finalise, whenever that is, is not this function's work
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
        if was_enabled:
            gc.enable()
    return num_lines
