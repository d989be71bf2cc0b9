"""Progress of long work: a bar with rate and ETA on a terminal, plain lines otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress


class ProgressTask:
    """One counter. `advance` may be called as often as you like."""

    def __init__(
        self, name: str, total: int, unit: str, rich: RichProgress | None, every_s: float
    ) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._rich, self._every_s = rich, every_s
        self._done, self._started = 0, time.monotonic()
        self._next_line_at = self._started + every_s
        self._task: TaskID | None = (
            rich.add_task(name, total=total, note="", unit=unit) if rich else None
        )

    def advance(self, count: int, *, note: str = "") -> None:
        """Count `count` more units done; `note` is shown beside them."""
        self._done += count
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, advance=count, note=note)
        elif time.monotonic() >= self._next_line_at or self._done >= self._total:
            self._print_line(note)

    def _print_line(self, note: str) -> None:
        now = time.monotonic()
        self._next_line_at = now + self._every_s
        rate = self._done / max(now - self._started, 1e-9)
        left_s = (self._total - self._done) / max(rate, 1e-9)
        sys.stderr.write(
            f"{self._name}: {self._done}/{self._total} {self._unit}, {rate:.3g}/s, "
            f"{left_s:.0f} s left{'; ' + note if note else ''}\n"
        )
        sys.stderr.flush()


class Progress:
    """Opens tasks on stderr."""

    def __init__(self, *, every_s: float = 15.0) -> None:
        self._every_s = every_s
        self._console = Console(stderr=True)

    @contextlib.contextmanager
    def task(
        self, name: str, *, total: int, unit: str, done: int = 0
    ) -> Generator[ProgressTask, None, None]:
        """Yield a counter of `total` units, of which `done` were done in an earlier run."""
        if not self._console.is_terminal:
            task = ProgressTask(name, total - done, unit, None, self._every_s)
            yield task
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with RichProgress(*columns, console=self._console) as rich:
            yield ProgressTask(name, total - done, unit, rich, self._every_s)
