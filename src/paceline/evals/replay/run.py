"""Replays traces through variants of the brain with one generator, and gathers what a report needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from paceline.complete.gate import Gate
from paceline.complete.service import Service
from paceline.core.progress import Progress
from paceline.core.types import Cursor, Document
from paceline.evals.replay.clock import ReplayClock
from paceline.evals.replay.drive import Driver, GateRow, Windows
from paceline.evals.replay.memo import MemoGenerator
from paceline.evals.replay.tally import Tally
from paceline.evals.replay.variants import Variant
from paceline.generate.types import TextGenerator
from paceline.prompt.context.types import EditorContext
from paceline.syntax.languages import language_of
from paceline.syntax.place import place_at
from paceline.syntax.tree import TreeCache
from paceline.traces.types import Trace
from paceline.traces.user import UserConfig

MAX_OPEN_DOCUMENTS = 5


class ReplayTrace(NamedTuple):
    """A trace, the project it is from, and documents that are open beside it."""

    project: str
    trace: Trace
    open_documents: tuple[Document, ...] = ()


class Outcome(NamedTuple):
    """What one variant did."""

    variant: str
    total: Tally
    slice: Tally
    """After a comment or docstring that says what the body is to do."""
    by_project: dict[str, Tally]
    rows: list[GateRow]
    by_trace: list[Tally]
    """Counts alone, in the order of the traces."""
    slice_by_trace: list[Tally]


class Replayer:
    """Keeps what the generator said, so that many variants cost little more than one."""

    def __init__(
        self,
        generator: TextGenerator,
        user: UserConfig,
        *,
        gate: Gate | None = None,
        windows: Windows | None = None,
        clock: ReplayClock | None = None,
    ) -> None:
        """
        Args:
            user: may be set to another one between two runs, as may `windows`.
            gate: None loads the shipped weights.
            windows: None asks about every key.
        """
        self._clock = clock or ReplayClock()
        self.memo = MemoGenerator(generator, self._clock)
        self.user, self.windows, self._gate = user, windows, gate

    def run(self, variant: Variant, traces: Sequence[ReplayTrace], progress: Progress) -> Outcome:
        """Type all `traces` through `variant`."""
        outcome = Outcome(variant.name, Tally(), Tally(), {}, [], [], [])
        with (
            progress.task(variant.name, total=len(traces), unit="traces") as task,
            asyncio.Runner() as runner,
        ):
            for number, item in enumerate(traces):
                driver = runner.run(self._type(variant, item, str(number)))
                outcome.total.add(driver.tally)
                outcome.slice.add(driver.slice)
                outcome.by_project.setdefault(item.project, Tally()).add(driver.tally)
                outcome.rows.extend(driver.rows)
                outcome.by_trace.append(driver.tally.counts())
                outcome.slice_by_trace.append(driver.slice.counts())
                task.advance(1, note=f"{outcome.total.num_chances} opportunities")
        return outcome

    async def _type(self, variant: Variant, item: ReplayTrace, session_id: str) -> Driver:
        service = Service(
            self.memo,
            variant.config,
            gate=self._gate,
            now_ms=self._clock.now_ms,
            sleep=self._clock.sleep,
        )
        driver = Driver(
            service,
            self._clock,
            self.user,
            session_id=session_id,
            context=EditorContext(open_documents=item.open_documents[:MAX_OPEN_DOCUMENTS]),
            is_sliced=documented_bodies(),
        )
        num_before = self.memo.num_tokens
        try:
            await driver.run(item.trace, self._windows_of(session_id, item.trace))
        finally:
            await service.close()
        driver.tally.num_ahead_tokens = self.memo.num_tokens - num_before - driver.tally.num_tokens
        return driver

    def _windows_of(self, session_id: str, trace: Trace) -> Windows | None:
        """The windows, each trace with its own phase: the same for every variant."""
        if self.windows is None:
            return None
        return self.windows.over(len(trace.keystrokes), random.Random(session_id))


def documented_bodies() -> Callable[[Cursor], bool]:
    """Is a cursor where a comment or docstring has said what comes next, and nothing of it is there yet?"""
    trees = TreeCache()

    def is_documented(cursor: Cursor) -> bool:
        document = cursor.document
        language = language_of(document)
        tree = trees.tree(document.path, document.text, language, around=cursor.offset)
        return place_at(cursor, language, tree).is_after_documentation

    return is_documented


__all__ = ["Outcome", "ReplayTrace", "Replayer", "documented_bodies"]
