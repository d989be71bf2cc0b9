"""Prometheus' text format, version 0.0.4: families of samples in, text out. No registry, no globals.

    # HELP paceline_kv_bytes Memory of the KV cache.
    # TYPE paceline_kv_bytes gauge
    paceline_kv_bytes{model_name="small",state="used"} 4096

Written here and not taken from `prometheus_client`: its counters and histograms take a lock each
(0.25 and 0.6 us measured, some twenty a step), it would be a dependency of every server for the
forty lines below, and its default registry is one for the process, where we may hold many models.
It is the judge in the tests instead: its parser reads what we write.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""


class Sample(NamedTuple):
    """One line of a family."""

    labels: Labels
    value: float
    suffix: str = ""
    """Of a histogram: _bucket, _sum or _count."""


class Family(NamedTuple):
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[Sample]


class Histogram:
    """Counts of values up to each bound (inclusive, as Prometheus' `le`), and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert all(a < b for a, b in pairwise(bounds)), "bounds must rise"
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        """Not cumulative; the last one is of values above every bound."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self, labels: Labels) -> list[Sample]:
        """The buckets, cumulative, then sum and count."""
        ends = [*(repr(float(bound)) for bound in self.bounds), "+Inf"]
        sums = list(accumulate(self.counts))
        buckets = [
            Sample((*labels, ("le", end)), count, "_bucket")
            for end, count in zip(ends, sums, strict=True)
        ]
        return [*buckets, Sample(labels, self.total, "_sum"), Sample(labels, sums[-1], "_count")]


def render(families: Iterable[Family]) -> str:
    """Return the text; families of one name, say of several models, become one."""
    merged: dict[str, Family] = {}
    for family in families:
        if family.name in merged:
            merged[family.name].samples.extend(family.samples)
        else:
            merged[family.name] = family._replace(samples=list(family.samples))
    lines: list[str] = []
    for family in merged.values():
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines.extend(_line(family.name, sample) for sample in family.samples)
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_quote(value)}"' for key, value in sample.labels)
    return f"{name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {sample.value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"')
