"""`paceline serve` with the real engine and the shipped model, but steps that take STEP_S while a file exists.

python -m tests.e2e.throttled_server FLAG_FILE serve ...      The rest is paceline's own command line.

The shipped model writes a completion in 20 ms on some machines, too quickly for a client to be killed meanwhile.
Everything is counted by the engine itself (/metrics); only the executor's forward pass waits longer.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from paceline.cli.main import main
from paceline.engine.config import EngineConfig
from paceline.engine.step import Executor
from paceline.fleet import local
from paceline.model.decoder import CausalLm

STEP_S = 0.05


def throttle(flag: Path) -> None:
    """Make every executor that is opened from now on slow while `flag` exists."""
    open_executor = local.open_executor

    def open_slowly(model: CausalLm, config: EngineConfig) -> Executor:
        executor: Any = open_executor(model, config)
        forward = executor.forward

        def wait_and_forward(*args: Any) -> Any:
            if flag.exists():
                time.sleep(STEP_S)
            return forward(*args)

        executor.forward = wait_and_forward
        return executor

    local.open_executor = open_slowly


if __name__ == "__main__":
    throttle(Path(sys.argv.pop(1)))
    main()
