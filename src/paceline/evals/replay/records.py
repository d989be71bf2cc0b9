"""What is kept of a replayed variant, and the file in which finished variants wait for the rest.

OUT/results.jsonl    one line for each finished variant; a line is used again if all that it depends on is the
                     same: what is typed, by which user, with which model, config and code

A replay that was stopped goes on after its last whole line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import paceline
from paceline.evals.replay.drive import GateRow
from paceline.evals.replay.run import Outcome
from paceline.evals.replay.tally import Figures, Tally, figures_of, quantile
from paceline.evals.replay.variants import Variant

RESULTS_NAME = "results.jsonl"
PRESENTATION = frozenset(
    {"html.py", "plots.py", "report.py", "ablation.py", "summary.py", "publish.py"}
)
"""Modules of this room on which no count depends."""

COLUMNS: Mapping[str, Callable[[Tally], float]] = {
    "keys": lambda tally: tally.num_moments,
    "keys_and_spared": lambda tally: tally.num_moments + tally.num_spared,
    "spared": lambda tally: tally.num_spared,
    "opportunities": lambda tally: tally.num_chances,
    "asked": lambda tally: tally.num_asked,
    "shown": lambda tally: tally.num_shown,
    "seen": lambda tally: tally.num_seen,
    "taken": lambda tally: tally.num_accepted + tally.num_partly_accepted,
    "shown_chars": lambda tally: tally.num_shown_chars,
    "kept_chars": lambda tally: tally.num_kept_chars,
    "flickers_100": lambda tally: 100 * tally.num_flickers,
    "tokens": lambda tally: tally.num_tokens + tally.num_ahead_tokens,
    "net_ms": lambda tally: tally.saved_ms - tally.cost_ms,
}
"""What is kept of each trace, so that intervals can be drawn."""


class SpanFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage took."""

    num: int
    p50_ms: float | None
    p95_ms: float | None
    total_ms: float


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report needs of one variant under one user."""

    name: str
    user: str
    config: dict[str, Any]
    figures: Figures
    slice: Figures
    """Right after a comment or docstring that says what comes next."""
    counts: dict[str, float]
    """Of everything."""
    drops: dict[str, int]
    modes: dict[str, int]
    sources: dict[str, int]
    spans: dict[str, SpanFigures]
    by_project: dict[str, Figures]
    by_trace: dict[str, tuple[float, ...]]
    """Each of COLUMNS, a value for each trace."""
    slice_by_trace: dict[str, tuple[float, ...]]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file."""

    key: str
    result: VariantResult
    rows: list[GateRow] = []
    """Only of a variant that shows everything: what a gate is fitted to and judged by."""


def result_of(outcome: Outcome, variant: Variant, user: str) -> VariantResult:
    """Condense an outcome."""
    total = outcome.total
    counts: dict[str, Any] = msgspec.to_builtins(total.counts())
    return VariantResult(
        name=variant.name,
        user=user,
        config=msgspec.json.decode(msgspec.json.encode(variant.config, order="deterministic")),
        figures=figures_of(total),
        slice=figures_of(outcome.slice),
        counts={name: value for name, value in counts.items() if isinstance(value, int | float)},
        drops=dict(total.drops.most_common()),
        modes=dict(total.modes.most_common()),
        sources=dict(total.sources.most_common()),
        spans={name: _span(values) for name, values in total.spans_ms.items()},
        by_project={name: figures_of(tally) for name, tally in outcome.by_project.items()},
        by_trace=columns_of(outcome.by_trace),
        slice_by_trace=columns_of(outcome.slice_by_trace),
    )


def columns_of(tallies: Sequence[Tally]) -> dict[str, tuple[float, ...]]:
    """The columns of these traces."""
    return {
        name: tuple(float(value(tally)) for tally in tallies) for name, value in COLUMNS.items()
    }


class RecordFile:
    """Finished variants of one folder, by key."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS_NAME
        self._records = {record.key: record for record in _read(self.path)}

    def get(self, key: str) -> Record | None:
        """The record of that key."""
        return self._records.get(key)

    def add(self, record: Record) -> None:
        """Keep it, at once and on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_cut = self.path.is_file() and self.path.read_bytes()[-1:] not in (b"\n", b"")
        with self.path.open("ab") as file:
            file.write(b"\n" * is_cut + msgspec.json.encode(record) + b"\n")
        self._records[record.key] = record


def key_of(**parts: Any) -> str:
    """A hash of all that a result depends on, and of the code that makes it."""
    raw = msgspec.json.encode({**parts, "code": code_sha256()}, order="deterministic")
    return hashlib.sha256(raw).hexdigest()


@cache
def code_sha256() -> str:
    """Of every module and data file that a replay's counts can depend on."""
    root = Path(paceline.__file__).parent
    found = hashlib.sha256()
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.json"))):
        name = path.relative_to(root)
        if _is_of_replay(name):
            found.update(name.as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _is_of_replay(name: Path) -> bool:
    room, *rest = name.parts
    if room == "evals":
        return rest[0] == "replay" and name.name not in PRESENTATION
    return room not in ("cli", "server", "train", "corpus", "recipes")


def _read(path: Path) -> list[Record]:
    """The whole lines; one that was cut off, or of an older form, is as if it had not been."""
    if not path.is_file():
        return []
    decoder = msgspec.json.Decoder(Record)
    found: list[Record] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, ValueError):
            continue
    return found


def _span(values: list[float]) -> SpanFigures:
    return SpanFigures(
        num=len(values),
        p50_ms=quantile(values, 50),
        p95_ms=quantile(values, 95),
        total_ms=sum(values),
    )
