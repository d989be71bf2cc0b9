"""How many drafted ids a step should carry. No torch, no clock, no randomness: the same calls give the
same answers, and no answer changes the output (engine/sampler.py).

A drafted id is a row more in the step. It pays if it is likely to be right and rows are cheap:

    k drafts after m other rows give      m + 1 + p1 + p1 p2 + .. + p1..pk     tokens
    and take                              cost(m + 1 + k)                      milliseconds

where pi is the measured chance that draft i is right once those before it are, and each other row is
taken to be worth a token. The policy takes the k of most tokens per millisecond; where that is 0 it
still drafts a little now and then, so that it notices when drafting pays again. Source: the expectation
is that of Leviathan et al. 2023, arXiv:2211.17192, with a measured chance for each position.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import NamedTuple

import msgspec

from paceline.core.errors import ConfigError
from paceline.engine.draft import Source

BUCKETS = (*range(1, 17), 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Numbers of rows whose cost is kept: all where a few drafts decide between kernels. A step in between
counts for both neighbours."""
FIXED_ROWS = 16
"""Of a step never measured: what it costs whatever its rows, in rows. Reading the weights is most of it."""
MAX_RISE = 2.0
"""One measurement counts at most as this many times the present estimate: a pause of the process is no
news of the model."""
MAX_MISSED_STEPS = 16
PRIOR_CHANCE = {
    Source.PREVIOUS: 0.8,
    Source.REALIGNED: 0.6,
    Source.DOCUMENT: 0.6,
    Source.DOCUMENT_SHORT: 0.3,
}
PRIOR_WEIGHT = 2.0
POSITION_WEIGHT = 4.0
"""Drafts that the average of all positions counts for in the estimate of one."""
DECISION_STEPS = 8
"""Steps for which a decision is kept."""


class SpeculationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of drafting."""

    is_enabled: bool = True
    max_draft_tokens: int = 8
    """Drafted ids of one sequence in one step."""
    min_gain_tokens: float = 0.05
    """A step must be expected to gain as many tokens by its drafts, their cost deducted."""
    probe_interval_steps: int = 32
    """Every so many decisions of a source it drafts another number than pays best, to learn: more, and
    where drafting pays, every other time one number after the other."""
    probe_tokens: int = 2
    """How many more."""
    half_life_drafts: int = 24
    """After so many drafts what was learnt of a source counts half."""
    step_weight: float = 0.1
    """Share of the newest step in the average cost of its number of rows; more, up to that of
    MAX_MISSED_STEPS steps, if that number of rows has not been seen for a while."""

    def __post_init__(self) -> None:
        for name in (
            "max_draft_tokens",
            "probe_interval_steps",
            "probe_tokens",
            "half_life_drafts",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"speculation.{name} must be at least 1.")
        if not (math.isfinite(self.min_gain_tokens) and self.min_gain_tokens >= 0):
            raise ConfigError("speculation.min_gain_tokens must be 0 or more.")
        if not 0 < self.step_weight <= 1:
            raise ConfigError("speculation.step_weight must be above 0 and at most 1.")


class DraftCounts(NamedTuple):
    """Totals of one source since the start."""

    num_steps: int
    num_proposed: int
    num_accepted: int


class StepCosts:
    """Milliseconds of a step by its number of rows: moving averages at BUCKETS, interpolated.

    Until a step is measured, or set by `seed`, only ratios mean anything.
    """

    def __init__(self, step_weight: float) -> None:
        self._step_weight = step_weight
        self._ms = [float(FIXED_ROWS + rows) for rows in BUCKETS]
        self._is_measured = False
        self._num_recorded = 0
        self._recorded_at = [0] * len(BUCKETS)

    def seed(self, ms_by_rows: Mapping[int, float]) -> None:
        """Set the averages from measured steps, interpolated; what lies outside is extrapolated."""
        rows = sorted(n for n, ms in ms_by_rows.items() if n >= 1 and 0 < ms < math.inf)
        if rows:
            ms = [ms_by_rows[n] for n in rows]
            self._ms = [_interpolate(rows, ms, bucket) for bucket in BUCKETS]
            self._is_measured = True

    def record(self, num_rows: int, ms: float) -> None:
        """Move the two averages around `num_rows` towards a measured step; nonsense is ignored."""
        if not (1 <= num_rows <= BUCKETS[-1] and 0 < ms < math.inf):
            return
        expected = self.ms_of(num_rows)
        if not self._is_measured:
            self._ms = [value * ms / expected for value in self._ms]
            self._is_measured = True
            return
        self._num_recorded += 1
        high = bisect_left(BUCKETS, num_rows)
        low = high if BUCKETS[high] == num_rows else high - 1
        age = min(self._num_recorded - self._recorded_at[high], MAX_MISSED_STEPS)
        weight = 1 - (1 - self._step_weight) ** age
        factor = 1 + weight * (min(ms / expected, MAX_RISE) - 1)
        for bucket in {low, high}:
            self._ms[bucket] *= factor
            self._recorded_at[bucket] = self._num_recorded

    def ms_of(self, num_rows: int) -> float:
        """The estimate for a step of `num_rows` rows."""
        return _interpolate(BUCKETS, self._ms, num_rows)


def _interpolate(rows: Items[int], ms: Items[float], num_rows: int) -> float:
    """Linear between `rows`; outside of them in proportion to FIXED_ROWS + num_rows."""
    at = bisect_left(rows, num_rows)
    if at < len(rows) and rows[at] == num_rows:
        return ms[at]
    if 0 < at < len(rows):
        share = (num_rows - rows[at - 1]) / (rows[at] - rows[at - 1])
        return ms[at - 1] + share * (ms[at] - ms[at - 1])
    at = min(at, len(rows) - 1)
    return ms[at] * (FIXED_ROWS + num_rows) / (FIXED_ROWS + rows[at])


class _Acceptance:
    """How often drafts of one source are right, by position in the draft; older ones count less."""

    def __init__(self, prior_chance: float, config: SpeculationConfig) -> None:
        self._prior_chance = prior_chance
        self._keep = 0.5 ** (1 / config.half_life_drafts)
        self._tried = [0.0] * config.max_draft_tokens
        self._right = [0.0] * config.max_draft_tokens
        self.num_asked = 0
        self.counts = DraftCounts(0, 0, 0)

    def record(self, num_proposed: int, num_accepted: int, is_cut: bool) -> None:
        """Ids after the first wrong one say nothing; nor does the one where a stop cut the draft."""
        steps, proposed, accepted = self.counts
        self.counts = DraftCounts(steps + 1, proposed + num_proposed, accepted + num_accepted)
        keep = self._keep
        self._tried = [count * keep for count in self._tried]
        self._right = [count * keep for count in self._right]
        num_tried = num_accepted if is_cut else min(num_accepted + 1, num_proposed)
        for position in range(min(num_tried, len(self._tried))):
            self._tried[position] += 1
            self._right[position] += position < num_accepted

    def chances(self) -> list[float]:
        """For each position: the chance that it is right if those before it are."""
        right = sum(self._right) + PRIOR_WEIGHT * self._prior_chance
        average = right / (sum(self._tried) + PRIOR_WEIGHT)
        return [
            (right + POSITION_WEIGHT * average) / (tried + POSITION_WEIGHT)
            for right, tried in zip(self._right, self._tried, strict=True)
        ]


class SpeculationPolicy:
    """Decides, and learns from what came of it. Only the engine's thread may call it."""

    def __init__(self, config: SpeculationConfig) -> None:
        self._config = config
        self._costs = StepCosts(config.step_weight)
        self._accepted = {source: _Acceptance(PRIOR_CHANCE[source], config) for source in Source}
        self._decisions: dict[tuple[Source, int], int] = {}
        self._num_steps = 0

    @property
    def max_draft_tokens(self) -> int:
        """As many ids as are worth proposing; 0 where drafting is switched off."""
        return self._config.max_draft_tokens if self._config.is_enabled else 0

    def seed_costs(self, ms_by_rows: Mapping[int, float]) -> None:
        """Set what steps of so many rows cost, as measured while warming up."""
        self._costs.seed(ms_by_rows)
        self._decisions.clear()

    def record_step(self, num_rows: int, ms: float) -> None:
        """Take into account that a step of `num_rows` rows took `ms` milliseconds."""
        self._costs.record(num_rows, ms)
        self._num_steps += 1
        if self._num_steps % DECISION_STEPS == 0:
            self._decisions.clear()

    def record(
        self, source: Source, num_proposed: int, num_accepted: int, *, is_cut: bool = False
    ) -> None:
        """Take into account what became of a draft that was in a step.

        `is_cut`: the sequence ended before a drafted id was found wrong.
        """
        assert 0 <= num_accepted <= num_proposed, (num_accepted, num_proposed)
        if num_proposed:
            self._accepted[source].record(num_proposed, num_accepted, is_cut)

    def num_draft_tokens(self, source: Source, num_other_rows: int) -> int:
        """How many ids of a draft a sequence should add to a step of `num_other_rows` other rows."""
        config = self._config
        if not config.is_enabled:
            return 0
        key = (source, num_other_rows)
        count = self._decisions.get(key)
        if count is None:
            count = self._decisions[key] = self._best(source, num_other_rows)
        record = self._accepted[source]
        record.num_asked += 1
        num_probes, rest = divmod(record.num_asked, config.probe_interval_steps)
        if rest:
            return count
        if count and num_probes % 2:
            return num_probes // 2 % (config.max_draft_tokens + 1)
        return min(count + config.probe_tokens, config.max_draft_tokens)

    def counts(self) -> dict[Source, DraftCounts]:
        """Totals of each source, for metrics."""
        return {source: record.counts for source, record in self._accepted.items()}

    def _best(self, source: Source, num_other_rows: int) -> int:
        """The number of most tokens per millisecond; 0 if what it gains is not worth the trouble."""
        num_rows = num_other_rows + 1
        plain_ms = self._costs.ms_of(num_rows)
        plain_rate = best_rate = num_rows / plain_ms
        best, gain = 0, 0.0
        expected, reached = 0.0, 1.0
        for count, chance in enumerate(self._accepted[source].chances(), 1):
            reached *= chance
            expected += reached
            ms = self._costs.ms_of(num_rows + count)
            if (num_rows + expected) / ms > best_rate:
                best, best_rate = count, (num_rows + expected) / ms
                gain = expected - plain_rate * (ms - plain_ms)
        return best if gain >= self._config.min_gain_tokens else 0
