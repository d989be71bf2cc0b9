"""How long to wait before asking, from the user's own rhythm and the measured latency.

Asking at once is free for whoever types slower than answers come: each is seen before the next key. Faster
typists never see most answers; each of those costs the server, and flickers. Waiting a little tells whether the
next key is about to come. Let

    S(t)   probability that the next key comes later than t after this one
    L      latency: from asking to the answer
    d      the delay, chosen from 0 to max_delay_ms

An answer is seen if no key comes before it does, and is worth less the later it comes; a request is made if
no key comes before the delay is over. The delay is the one that maximises

    usefulness(d) = S(d + L) * exp(-(d + L) / patience_ms)  -  request_cost * S(d)

S is a mixture: with `pause_share`, the user stops to think or read (no key for long); else the gap is
log-normal, fitted through the median and the 80th percentile of the user's own gaps (rhythm.py), which have no
pauses in them. Log-normal is an excellent fit of gaps in typing (González, Calot, Ierache, Hasperué 2021,
Heliyon 7).

That waiting pays is measured: in two months with professional developers, acceptance went from 4.9 % without
a delay to 15.4 % with a fixed and 18.6 % with an adaptive one, rejections without reading from 8.3 % to
0.36 %, and 75 % of the inferences were saved (arXiv 2511.18842, abstract). That rule follows the acceptance
rate; this one needs no label, and waits for nothing where answers come quickly.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from paceline.complete.rhythm import Pace
from paceline.core.errors import ConfigError

HIGH_QUANTILE_Z = 0.8416
"""How many standard deviations the 80th percentile of a normal distribution is above its median."""
MIN_SPREAD, MAX_SPREAD = 0.05, 1.5
"""Bounds of the standard deviation of the gaps' logarithm: a few gaps may all be equal."""
MIN_LATENCIES = 3
"""Fewer say nothing yet: the first answers of a process are slow."""
STEP_MS = 20.0
"""Delays that are compared: a screen shows a new picture every 16.7 ms."""
MAX_LATENCY_MS = 60_000.0
"""A longer one is a machine that slept."""


class DebounceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What waiting and asking are worth. One seen answer that comes at once is worth 1."""

    max_delay_ms: float = 400.0
    """Between Copilot's none and Continue's 350 ms on one side and Tabby's 1,000 ms on the other
    (facts/clients.md section 2.1)."""
    request_cost: float = 0.2
    """Of one request, seen or not: about one shown answer in four or five is taken in published figures
    (facts/clients.md section 4), so a request that costs more than this is worth less than it brings."""
    pause_share: float = 0.15
    """Gaps that are pauses: one in about seven keys, the length of a word with the space after it."""
    patience_ms: float = 1_500.0
    """An answer that comes so late is worth 37 %; the project's own target is none over a second."""
    num_latencies: int = 9
    """Answers whose median is the latency."""
    decay: float = 0.9
    """From one answer to the next the estimate falls at most to this share: slow servers are often slow
    again. It rises as soon as the median does."""

    def __post_init__(self) -> None:
        if self.max_delay_ms < 0 or self.request_cost < 0:
            raise ConfigError("max_delay_ms and request_cost must not be negative.")
        if not 0 <= self.pause_share <= 1 or not 0 < self.decay <= 1:
            raise ConfigError("pause_share must be 0 to 1, and decay above 0 and at most 1.")
        if self.patience_ms <= 0 or self.num_latencies < 1:
            raise ConfigError("patience_ms must be above 0 and num_latencies at least 1.")


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for another key before asking, and why."""

    delay_ms: float
    reasons: tuple[str, ...]
    """The deciding one first: `cached`, `faster_than_typing`, `waits_for_pause`, ..."""
    probability_seen: float | None = None
    """That no key comes before the answer does; None if rhythm or latency is unknown."""


class Debouncer:
    """Of one model on one server: it measures the latency; the rhythm comes with each question."""

    def __init__(self, config: DebounceConfig | None = None) -> None:
        self.config = config or DebounceConfig()
        self._latencies_ms: deque[float] = deque(maxlen=self.config.num_latencies)
        self._latency_ms: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """What the next answer is expected to take; None before there are MIN_LATENCIES."""
        return self._latency_ms

    def record_latency(self, latency_ms: float) -> None:
        """An answer was computed (not taken from a cache) and took this long from asking to the end.

        Times that no answer can take are ignored.
        """
        if not 0 <= latency_ms <= MAX_LATENCY_MS:
            return
        self._latencies_ms.append(latency_ms)
        if len(self._latencies_ms) < MIN_LATENCIES:
            return
        ordered = sorted(self._latencies_ms)
        median_ms = ordered[len(ordered) // 2]
        floor_ms = 0.0 if self._latency_ms is None else self._latency_ms * self.config.decay
        self._latency_ms = max(median_ms, floor_ms)

    def delay(
        self,
        pace: Pace,
        *,
        is_invoked: bool = False,
        is_cached: bool = False,
        is_agreeing: bool = False,
    ) -> Delay:
        """How long to wait after this key.

        Args:
            is_invoked: did the user ask?
            is_cached: is the answer there already?
            is_agreeing: does a running request's text agree with what was typed? Then it answers this one.
        """
        if is_invoked:
            return Delay(delay_ms=0.0, reasons=("invoked",))
        if is_cached:
            return Delay(delay_ms=0.0, reasons=("cached",))
        if is_agreeing:
            return Delay(delay_ms=0.0, reasons=("running_request_agrees",))
        if pace.median_gap_ms is None:
            return Delay(delay_ms=0.0, reasons=("rhythm_unknown",))
        if self._latency_ms is None:
            return Delay(delay_ms=0.0, reasons=("latency_unknown",))
        return self._by_rhythm(pace, pace.median_gap_ms, self._latency_ms)

    def _by_rhythm(self, pace: Pace, median_ms: float, latency_ms: float) -> Delay:
        gaps = _Gaps(median_ms, pace.high_gap_ms, self.config.pause_share)
        if pace.is_deleting:
            delay_ms = min(gaps.high_ms, self.config.max_delay_ms)
            reasons = ("deleting",)
        elif latency_ms < gaps.median_ms:
            delay_ms, reasons = 0.0, ("faster_than_typing",)
        else:
            delay_ms = self._best_delay_ms(gaps, latency_ms)
            reasons = ("waits_for_pause",) if delay_ms else ("asking_at_once_is_best",)
        return Delay(
            delay_ms=delay_ms,
            reasons=reasons,
            probability_seen=gaps.probability_longer(delay_ms + latency_ms),
        )

    def _best_delay_ms(self, gaps: _Gaps, latency_ms: float) -> float:
        """The delay of the greatest usefulness; of equal ones the shortest."""
        num_steps = int(self.config.max_delay_ms // STEP_MS)
        delays_ms = [step * STEP_MS for step in range(num_steps + 1)]
        return max(delays_ms, key=lambda delay_ms: self.usefulness(gaps, delay_ms, latency_ms))

    def usefulness(self, gaps: _Gaps, delay_ms: float, latency_ms: float) -> float:
        """The formula of the module's docstring."""
        answered_ms = delay_ms + latency_ms
        seen = gaps.probability_longer(answered_ms) * math.exp(
            -answered_ms / self.config.patience_ms
        )
        return seen - self.config.request_cost * gaps.probability_longer(delay_ms)


class _Gaps:
    """Distribution of the time to the next key."""

    def __init__(self, median_ms: float, high_ms: float | None, pause_share: float) -> None:
        self.median_ms = max(median_ms, 1.0)
        self.high_ms = max(high_ms or self.median_ms, self.median_ms)
        self._pause_share = pause_share
        spread = math.log(self.high_ms / self.median_ms) / HIGH_QUANTILE_Z
        self._spread = min(max(spread, MIN_SPREAD), MAX_SPREAD)

    def probability_longer(self, than_ms: float) -> float:
        """S of the module's docstring."""
        if than_ms <= 0:
            return 1.0
        z = (math.log(than_ms) - math.log(self.median_ms)) / self._spread
        return self._pause_share + (1 - self._pause_share) * math.erfc(z / math.sqrt(2)) / 2
