"""What is kept of the last seconds of an engine: steps and events of requests, in a bounded ring. Numbers only.

`chrome_trace.py` draws it. Records are structs that the garbage collector does not track, so that
keeping tens of thousands of them makes its rounds no longer.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from paceline.core.errors import ConfigError
from paceline.engine.observe.stats import StepStats

STEP_BYTES, ENTRY_BYTES, EVENT_BYTES = 600, 220, 200
"""Memory of a kept step without its entries, of an entry, of an event; rounded up."""


class TraceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept for `/debug/trace`; the oldest goes first."""

    max_records: int = 40_000
    """Steps and events of requests together; 0 keeps none."""
    max_bytes: int = 32_000_000

    def __post_init__(self) -> None:
        if min(self.max_records, self.max_bytes) < 0:
            raise ConfigError("trace.max_records and trace.max_bytes must not be negative.")


class RequestEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that befell one request, between steps or in one."""

    sequence_id: int
    what: Literal["queued", "admitted", "preempted", "finished"]
    at_s: float
    num_tokens: int = 0
    """queued: of the prompt; admitted: cached; finished: produced."""
    word: str = ""
    """queued: the lane; finished: the reason."""

    @property
    def end_s(self) -> float:
        return self.at_s


Record = StepStats | RequestEvent


class TraceRing:
    """The newest records within both limits. Not locked: the observer is."""

    def __init__(self, config: TraceConfig) -> None:
        self._config = config
        self._records: deque[Record] = deque()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Keep `record`; forget the oldest ones beyond the limits."""
        records, config = self._records, self._config
        records.append(record)
        self.num_bytes += _size(record)
        while len(records) > config.max_records or self.num_bytes > config.max_bytes:
            self.num_bytes -= _size(records.popleft())

    def copy(self) -> list[Record]:
        """All records, oldest first."""
        return list(self._records)


def _size(record: Record) -> int:
    if isinstance(record, StepStats):
        return STEP_BYTES + ENTRY_BYTES * len(record.entries)
    return EVENT_BYTES
