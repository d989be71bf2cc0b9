"""Bugs in rules stay inside: the user gets a completion without that rule, or none, and the trace names it.

What the generator raises is not caught here: that an engine is broken, clients and operators must hear.
"""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

from paceline.complete.trace import RequestTrace
from paceline.core.errors import PacelineError

INTERNAL_ERROR = "internal_error"
"""Drop reason where nothing can be shown because a rule failed."""

log = logging.getLogger("paceline.complete")
_reported: set[tuple[str, str]] = set()


def report(stage: str, error: Exception) -> None:
    """Log a bug, once for each stage and kind of error in a process.

    Without the error's message: it may quote the text that the stage read.
    """
    kind = type(error).__name__
    if (stage, kind) in _reported:
        return
    _reported.add((stage, kind))
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error(
        "%s failed (%s), completions go on without it; not logged again.\n%s", stage, kind, places
    )


def note(trace: RequestTrace, stage: str, error: Exception) -> None:
    """Report a bug, and name the stage in the trace of the request that met it."""
    report(stage, error)
    if stage not in trace.failed:
        trace.failed += (stage,)


class contained:  # noqa: N801 - used like a function, but its type says that it may swallow
    """Leave the block where a bug strikes; what it should have set stays as it was before.

    Expected failures, which have their own answer to the client, pass through.
    """

    def __init__(self, trace: RequestTrace, stage: str) -> None:
        self._trace, self._stage = trace, stage

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, PacelineError):
            return False
        note(self._trace, self._stage, error)
        return True
