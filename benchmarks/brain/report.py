"""Figures of a run, as numbers for the record and as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from benchmarks.brain.measure import Sample
from benchmarks.keystrokes.stats import p50, p95

GOAL_MEDIAN_MS = 5.0
GOAL_P95_MS = 15.0
NUM_BROKEN = 4


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of some milliseconds."""

    median: float
    p95: float
    max: float
    num: int


class FileFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    language: str
    path: str
    num_lines: int
    num_keystrokes: int
    num_rounds: int
    first_keystroke_ms: float
    """In the first round, after `warm_up`: nothing is known of any document. Not in the figures below."""
    own: Figures
    """The goal's figure, in CPU time: each keystroke by its median over the rounds."""
    wall: Figures
    """By the wall clock, with an instant model: every keystroke of every round, the machine's noise included."""
    asked: Figures
    """`own` of keystrokes whose answer was asked from the model."""
    with_instant_model: Figures
    """With `generate`: streaming from a model that takes no time, and asking at each token whether the end is reached."""
    stages: dict[str, Figures]
    sources: dict[str, int]
    broken: Figures
    """`own` in the same file with something missing in NUM_BROKEN places at once, most of them unclosed brackets."""
    parse_ms: float
    """The file, from nothing, with tree-sitter: median."""
    plain: Figures
    """`own` with everything switched off."""

    @property
    def median_per_parse(self) -> float:
        """So many parses from nothing is one keystroke."""
        return self.own.median / self.parse_ms

    @property
    def median_per_plain(self) -> float:
        """So many times the plain brain's."""
        return self.own.median / self.plain.median


def figures(values: Sequence[float]) -> Figures:
    """Nearest-rank percentiles."""
    return Figures(
        median=_rounded(p50(values)),
        p95=_rounded(p95(values)),
        max=_rounded(max(values, default=0.0)),
        num=len(values),
    )


def typical(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Each keystroke by its median over the rounds, which all did the same work."""
    return [statistics.median(values) for values in zip(*rounds, strict=True)]


def stages_of(rounds: Sequence[Sequence[Sample]]) -> dict[str, Figures]:
    """Each stage over the keystrokes that reached it, dearest first."""
    values: dict[str, list[float]] = {}
    for samples in zip(*rounds, strict=True):
        for name in samples[0].stages:
            values.setdefault(name, []).append(
                statistics.median(sample.stages.get(name, 0.0) for sample in samples)
            )
    found = {name: figures(ms) for name, ms in values.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].median * item[1].num))


def lines_of(one: FileFigures) -> list[str]:
    """The tables of one file, in Markdown."""
    rows = {
        "**own**": one.own,
        "own, answers asked from the model": one.asked,
        "with an instant model's stream": one.with_instant_model,
        "the same by the wall clock, all rounds": one.wall,
        f"own, file broken in {NUM_BROKEN} places": one.broken,
        "own, everything switched off": one.plain,
    }
    rows |= {f"stage `{name}`": found for name, found in one.stages.items()}
    sources = ", ".join(f"{name} {count}" for name, count in one.sources.items())
    return [
        f"## {one.language}: {one.path}, {one.num_lines:,} lines",
        "",
        "| ms | median | p95 | max | keystrokes |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {found.median:.2f} | {found.p95:.2f} | {found.max:.2f} | {found.num:,} |"
            for name, found in rows.items()
        ),
        "",
        f"Goal (median {GOAL_MEDIAN_MS:g} ms, p95 {GOAL_P95_MS:g} ms): {verdict(one)}. Parsing the file from nothing: "
        f"{one.parse_ms:.2f} ms; the median is {one.median_per_parse:.2f} times that, and {one.median_per_plain:.1f} "
        f"times the plain brain's. First keystroke of all: {one.first_keystroke_ms:.1f} ms. "
        f"Answers: {sources}.",
        "",
    ]


def verdict(one: FileFigures) -> str:
    """Is the goal met?"""
    is_met = one.own.median <= GOAL_MEDIAN_MS and one.own.p95 <= GOAL_P95_MS
    return "met" if is_met else "**not met**"


def _rounded(value: float) -> float:
    return round(value, 3)
