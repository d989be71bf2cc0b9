"""The report of a replay: every figure with its interval, and each variant against what it is compared with.

Intervals are of a bootstrap over traces, since the keys of one trace resemble each other. Variants type the
same parts of the same traces, so differences are paired: both sides of one resample are of the same traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from paceline.complete.config import CompleteConfig
from paceline.evals.intervals import ClusterBootstrap, Interval, percentile_interval
from paceline.evals.replay.fit import GateFigures
from paceline.evals.replay.modes import LINE_STARTS, ModeFigures
from paceline.evals.replay.records import VariantResult
from paceline.evals.replay.variants import BASELINE, BRAIN
from paceline.traces.user import UserConfig

MIN_FINITE_SHARE = 0.95
"""Resamples in which a ratio exists, for its interval to be given; ours."""

Floats = npt.NDArray[np.float64]


class KeyFigure(NamedTuple):
    """A ratio of two sums over traces that the report compares."""

    name: str
    title: str
    top: str
    """A column of records.COLUMNS."""
    bottom: str
    is_more_better: bool = True
    is_share: bool = False
    is_signed: bool = False
    """May it be below 0? Then a change in percent says nothing."""


KEY_FIGURES = (
    KeyFigure(
        "kept_chars_per_opportunity",
        "characters saved per opportunity",
        "kept_chars",
        "opportunities",
    ),
    KeyFigure("spared_share", "keystrokes spared", "spared", "keys_and_spared", is_share=True),
    KeyFigure("kept_share", "share of shown text kept", "kept_chars", "shown_chars", is_share=True),
    KeyFigure("accepted_share", "taken, of those noticed", "taken", "seen", is_share=True),
    KeyFigure(
        "flickers_per_100_keys", "flickers per 100 keys", "flickers_100", "keys", is_more_better=False
    ),
    KeyFigure(
        "tokens_per_kept_char", "tokens per kept character", "tokens", "kept_chars", is_more_better=False
    ),
    KeyFigure(
        "net_ms_per_opportunity",
        "time saved less time read, ms per opportunity",
        "net_ms",
        "opportunities",
        is_signed=True,
    ),
    KeyFigure(
        "asked_per_opportunity",
        "generator runs per opportunity",
        "asked",
        "opportunities",
        is_more_better=False,
    ),
)  # fmt: skip
HEADLINE = KEY_FIGURES[0].name


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a variant less that of another, on the same traces."""

    difference: Interval
    relative: Interval | None
    """The ratio of the two, less 1."""

    @property
    def is_within_noise(self) -> bool:
        """Does the interval of the difference include 0?"""
        return self.difference.low <= 0 <= self.difference.high


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, with intervals."""

    result: VariantResult
    intervals: dict[str, Interval | None]
    """Of each key figure; None where there is nothing to divide by."""
    slice_intervals: dict[str, Interval | None]
    against: str = ""
    """Name of the variant that it is compared with."""
    differences: dict[str, Difference | None] = {}
    slice_differences: dict[str, Difference | None] = {}

    @property
    def name(self) -> str:
        """Of the variant."""
        return self.result.name


class GateBin(msgspec.Struct, frozen=True, kw_only=True):
    """Completions of about the same probability."""

    num_rows: int
    mean_probability: float
    kept: Interval
    """Share that was kept (Wilson)."""


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """How good the gate is, on all that the brain would show without one."""

    figures: GateFigures
    threshold: float
    shown_share: float
    kept_share_of_shown: float | None
    kept_chars_share: float | None
    """Of the characters that would have been kept: those that the gate shows."""
    bins: tuple[GateBin, ...]


class UserRows(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison under another user."""

    name: str
    config: UserConfig
    rows: tuple[Row, ...]


class StudyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is replayed, and what is compared."""

    source: str
    """In words, as the page shows it."""
    command: str = ""
    """What repeats it."""
    user: str = "typical"
    """A name in traces.user.USERS."""
    max_traces: int = 6
    """Of each package, repository or folder."""
    max_keys: int = 250
    """Of each trace, pressed or spared."""
    seed: int = 0
    has_baseline: bool = True
    is_ablated: bool = False
    is_capped: bool = False
    """Also with other limits on length."""
    is_user_swept: bool = False
    is_fitting: bool = False
    """Is a gate to be fitted? Then documented bodies are typed without a gate as well."""
    has_modes: bool = False
    num_mode_moments: int = 40
    """Of each trace, for the mode detector."""
    num_resamples: int = 2000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one replay."""

    config: StudyConfig
    user: UserConfig
    facts: dict[str, Any]
    """Versions, git sha, hash of the code, device, model."""
    warnings: tuple[str, ...]
    num_traces_by_project: dict[str, int]
    traces: tuple[str, ...]
    """Project and path of each, in the order of `by_trace`."""
    rows: tuple[Row, ...]
    documented: tuple[Row, ...] = ()
    """Baseline and brain on the keys that follow a comment or docstring, and on no others."""
    gate: GateReport | None = None
    modes: tuple[ModeFigures, ...] = ()
    users: tuple[UserRows, ...] = ()

    def row(self, name: str) -> Row | None:
        """The variant of that name."""
        return next((row for row in self.rows if row.name == name), None)

    def default_modes(self) -> ModeFigures | None:
        """The mode detector where lines start, at the threshold nearest to the shipped one."""
        shipped = CompleteConfig().multi_line_threshold
        at_starts = [one for one in self.modes if one.group == LINE_STARTS]
        return min(at_starts, key=lambda one: abs(one.threshold - shipped), default=None)


class Comparer:
    """Rows of variants that typed the same traces. One object, one set of resamples."""

    def __init__(self, num_traces: int, *, num_resamples: int, seed: int) -> None:
        clusters = [f"{number:06d}" for number in range(num_traces)]
        self._bootstrap = ClusterBootstrap(clusters, num_resamples=num_resamples, seed=seed)

    def rows(self, results: Sequence[VariantResult]) -> tuple[Row, ...]:
        """Each result, compared: the brain with the baseline, all others with the brain."""
        by_name = {result.name: result for result in results}
        return tuple(self._row(result, _opponent(result.name, by_name)) for result in results)

    def _row(self, result: VariantResult, other: VariantResult | None) -> Row:
        row = Row(
            result=result,
            intervals=self._intervals(result.by_trace),
            slice_intervals=self._intervals(result.slice_by_trace),
        )
        if other is None:
            return row
        return msgspec.structs.replace(
            row,
            against=other.name,
            differences=self._differences(result.by_trace, other.by_trace),
            slice_differences=self._differences(result.slice_by_trace, other.slice_by_trace),
        )

    def _intervals(self, columns: Mapping[str, Sequence[float]]) -> dict[str, Interval | None]:
        return {figure.name: interval_of(*self._ratios(columns, figure)) for figure in KEY_FIGURES}

    def _differences(
        self, columns: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]
    ) -> dict[str, Difference | None]:
        return {
            figure.name: difference_of(self._ratios(columns, figure), self._ratios(others, figure))
            for figure in KEY_FIGURES
        }

    def _ratios(
        self, columns: Mapping[str, Sequence[float]], figure: KeyFigure
    ) -> tuple[float, Floats]:
        """The ratio, and that of each resample; not a number where there is nothing to divide by."""
        top, bottom = columns[figure.top], columns[figure.bottom]
        whole = sum(bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = self._bootstrap.resampled_sums(top) / self._bootstrap.resampled_sums(bottom)
        return sum(top) / whole if whole else float("nan"), resampled


def interval_of(value: float, resampled: Floats) -> Interval | None:
    """The interval over the resamples in which there is a value; None if that is too few."""
    finite = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or finite.size < MIN_FINITE_SHARE * resampled.size:
        return None
    return percentile_interval(float(value), finite)


def difference_of(one: tuple[float, Floats], other: tuple[float, Floats]) -> Difference | None:
    """The difference of two figures with their resamples; None where either has no value."""
    (value, resampled), (other_value, other_resampled) = one, other
    with np.errstate(divide="ignore", invalid="ignore"):
        change = resampled / other_resampled - 1
        differences = resampled - other_resampled
    difference = interval_of(value - other_value, differences)
    if difference is None:
        return None
    relative = interval_of(value / other_value - 1, change) if other_value else None
    return Difference(difference=difference, relative=relative)


def _opponent(name: str, by_name: Mapping[str, VariantResult]) -> VariantResult | None:
    if name == BASELINE:
        return None
    return by_name.get(BASELINE if name == BRAIN else BRAIN)
