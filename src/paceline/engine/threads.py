"""How many CPU threads a forward pass should use. Free of torch.

A thread beyond the free cores makes a step slower, not faster: every operation waits for the thread
that was descheduled (2 threads were 2.3x slower than 1 on a busy machine; shared facts, serving §1).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

MAX_THREADS = 8
"""Models of this size do not gain from more."""


def available_cores() -> set[int]:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical_cores(logical: set[int]) -> int:
    """Distinct physical cores among `logical`; each logical one counts where that is unknown."""
    groups: set[str] = set()
    for core in logical:
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        try:
            groups.add(path.read_text())
        except OSError:
            groups.add(str(core))
    return max(1, len(groups))


def quota_cores() -> float:
    """CPU seconds per second that the control group allows; infinite if it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return float("inf")


def most_threads() -> int:
    """Threads that can run at once: logical cores of this process, as far as its quota goes."""
    return max(1, math.ceil(min(len(available_cores()), quota_cores())))


def free_threads() -> int:
    """Physical cores less the load of the last minute; between 1 and MAX_THREADS."""
    cores = min(physical_cores(available_cores()), quota_cores())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(MAX_THREADS, int(cores - load + 0.5)))
