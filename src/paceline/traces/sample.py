"""Some of the changes of a source, as traces: how much of it a replay types."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from paceline.core.errors import ConfigError
from paceline.traces.changes import Change, typed_changes
from paceline.traces.retype import RetypeConfig, type_edits
from paceline.traces.types import Trace


class TypedChange(NamedTuple):
    """A change and the keystrokes that make it."""

    change: Change
    trace: Trace


def sample_traces(
    changes: Iterable[Change],
    max_traces: int,
    *,
    seed: int,
    config: RetypeConfig = RetypeConfig(),
) -> Iterator[TypedChange]:
    """Yield traces of at most `max_traces` changes that are worth a replay, chosen by `seed`.

    They keep their order. Sample each package by itself, so that no large one rules the result.

    Raises:
        ConfigError: `max_traces` is below 1.
    """
    if max_traces < 1:
        raise ConfigError("max_traces must be at least 1.")
    found = list(typed_changes(changes))
    chosen = random.Random(seed).sample(range(len(found)), min(max_traces, len(found)))
    for index in sorted(chosen):
        change, edits = found[index]
        yield TypedChange(change, type_edits(change.document, edits, seed, config))
