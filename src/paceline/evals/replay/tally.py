"""What a replay counts, and what follows from it. Sums only, so that parts can be added up."""

from __future__ import annotations

from collections import Counter
from statistics import quantiles

import msgspec
from msgspec.structs import replace


class Tally(msgspec.Struct, kw_only=True):
    """Counts of one variant over some traces."""

    num_moments: int = 0
    """Keystrokes after which the brain was asked for a completion."""
    num_opportunities: int = 0
    """Of these, where the user went on to type something."""
    num_chances: int = 0
    """The same, with those that were spared: of one trace, the same for every variant."""
    num_spared: int = 0
    """Keystrokes that were not needed, since what they type had been accepted."""
    num_asked: int = 0
    """Of these, where the generator had to work."""
    num_prefetched: int = 0
    """Requests sent ahead of the user."""
    num_shown: int = 0
    """Different ghost texts on screen; what stays while it is typed through counts once."""
    num_shown_chars: int = 0
    num_seen: int = 0
    """Of the shown, those on screen for long enough to be noticed."""
    num_accepted: int = 0
    num_partly_accepted: int = 0
    num_rejected: int = 0
    num_kept_chars: int = 0
    """Accepted and still there after the user has repaired what was wrong."""
    num_deleted_chars: int = 0
    """Accepted and taken away again."""
    num_flickers: int = 0
    """Ghost text that agreed with what was typed, and changed or went all the same."""
    num_tokens: int = 0
    """Decoded for what the user waited for."""
    num_ahead_tokens: int = 0
    """Decoded ahead of the user."""
    saved_ms: float = 0.0
    cost_ms: float = 0.0
    drops: Counter[str] = msgspec.field(default_factory=Counter[str])
    modes: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Of the shown."""
    sources: Counter[str] = msgspec.field(default_factory=Counter[str])
    latencies_ms: list[float] = []
    own_ms: list[float] = []
    spans_ms: dict[str, list[float]] = {}

    def counts(self) -> Tally:
        """The same without what was timed: light enough to be kept for each trace."""
        return replace(self, latencies_ms=[], own_ms=[], spans_ms={})

    def add(self, other: Tally) -> None:
        """Count `other`'s as well."""
        for name in self.__struct_fields__:
            if name not in ("spans_ms", "latencies_ms", "own_ms"):  # numbers and counters
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies_ms += other.latencies_ms
        self.own_ms += other.own_ms
        for span, values in other.spans_ms.items():
            self.spans_ms.setdefault(span, []).extend(values)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a tally says. None where there is nothing to divide by."""

    num_chances: int
    num_opportunities: int
    num_shown: int
    num_seen: int
    kept_chars_per_opportunity: float | None
    """Characters that did not have to be typed, by chance to offer any, as are all that follow so."""
    spared_share: float | None
    """Of all keystrokes: those that accepted text made needless."""
    kept_share: float | None
    """Of the shown characters."""
    accepted_share: float | None
    """Of the ghost texts that were seen, taken whole or in part."""
    flickers_per_100_keys: float | None
    tokens_per_kept_char: float | None
    saved_ms_per_opportunity: float | None
    """Typing spared."""
    net_ms_per_opportunity: float | None
    """The same, less the time spent reading."""
    asked_per_opportunity: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    own_p50_ms: float | None
    own_p95_ms: float | None


def figures_of(tally: Tally) -> Figures:
    """Divide."""
    num = tally.num_chances
    return Figures(
        num_chances=num,
        num_opportunities=tally.num_opportunities,
        num_shown=tally.num_shown,
        num_seen=tally.num_seen,
        kept_chars_per_opportunity=_ratio(tally.num_kept_chars, num),
        spared_share=_ratio(tally.num_spared, tally.num_spared + tally.num_moments),
        kept_share=_ratio(tally.num_kept_chars, tally.num_shown_chars),
        accepted_share=_ratio(tally.num_accepted + tally.num_partly_accepted, tally.num_seen),
        flickers_per_100_keys=_ratio(100 * tally.num_flickers, tally.num_moments),
        tokens_per_kept_char=_ratio(
            tally.num_tokens + tally.num_ahead_tokens, tally.num_kept_chars
        ),
        saved_ms_per_opportunity=_ratio(tally.saved_ms, num),
        net_ms_per_opportunity=_ratio(tally.saved_ms - tally.cost_ms, num),
        asked_per_opportunity=_ratio(tally.num_asked, num),
        latency_p50_ms=quantile(tally.latencies_ms, 50),
        latency_p95_ms=quantile(tally.latencies_ms, 95),
        own_p50_ms=quantile(tally.own_ms, 50),
        own_p95_ms=quantile(tally.own_ms, 95),
    )


def quantile(values: list[float], percent: int) -> float | None:
    """A percentile of 1 to 99; None of nothing."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
