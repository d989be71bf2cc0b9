"""Counters that a server exports in Prometheus text: read before and after, subtracted."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})?\s+(\S+)", re.MULTILINE)


def parse(text: str) -> dict[str, float]:
    """Sum of the samples of each name, over all labels."""
    totals: dict[str, float] = {}
    for name, _, value in _SAMPLE.findall(text):
        totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def read(port: int) -> dict[str, float]:
    """What `/metrics` says now; empty if there is no such page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            return parse(reply.read().decode())
    except (urllib.error.URLError, OSError, ValueError):
        return {}


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Growth of the counters (names that end with `_total`)."""
    return {
        name: value - before.get(name, 0.0)
        for name, value in after.items()
        if name.endswith("_total")
    }


def first_with(counters: Mapping[str, float], part: str) -> float | None:
    """The sum of the counters whose name contains `part`; None if there is none."""
    found = [value for name, value in counters.items() if part in name]
    return sum(found) if found else None
