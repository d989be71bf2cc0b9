"""Fits the show/hide gate from replayed completions, and says how good it is on rows it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from paceline.complete.gate import Gate, GateMetadata, GateWeights
from paceline.complete.gate_fit import fit
from paceline.complete.gate_measure import auc, choose_threshold, ece, fit_isotonic
from paceline.core.errors import ConfigError
from paceline.evals.replay.drive import GateRow

NUM_FOLDS = 2
MIN_ROWS = 400
"""Fewer leave a fold empty (see _fold_of)."""


class GateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How well a gate tells what is kept, on some rows."""

    num_rows: int
    kept_share: float
    auc: float
    ece: float


def fit_gate(rows: Sequence[GateRow], *, source: str, fitted_at: str, key_ms: float) -> GateWeights:
    """Weights, calibration curve and threshold from `rows`.

    Every second row of the odd half calibrates what the even half was fitted on, and the other way round;
    the shipped weights are fitted on all. The threshold is that of the greatest time saved less time
    read, on probabilities that are not of the row's own fit.

    Args:
        key_ms: time of one keystroke, to count reading in characters.

    Raises:
        ConfigError: too few rows, or all of one kind.
    """
    num_kept = sum(row.is_kept for row in rows)
    if len(rows) < MIN_ROWS or num_kept in (0, len(rows)):
        raise ConfigError(
            f"{len(rows)} completions, of which {num_kept} were kept, are too few to fit a gate to (it needs "
            f"{MIN_ROWS}, some kept and some not); replay more files or more keys."
        )
    values = [msgspec.structs.astuple(row.features) for row in rows]
    labels = [row.is_kept for row in rows]
    metadata = GateMetadata(fitted=True, source=source, fitted_at=fitted_at, num_rows=len(rows))
    raw = [0.0] * len(rows)
    for fold in range(NUM_FOLDS):
        train = [at for at in range(len(rows)) if _fold_of(at) != fold]
        part = fit([values[at] for at in train], [labels[at] for at in train], metadata=metadata)
        gate = Gate(part)
        for at in range(len(rows)):
            if _fold_of(at) == fold:
                raw[at] = gate.probability(rows[at].features)
    curve = fit_isotonic(raw, labels)
    weights = fit(values, labels, metadata=metadata, calibration=curve)
    calibrated = [_on_curve(curve, value) for value in raw]
    chosen = choose_threshold(
        calibrated,
        [row.saved_ms / key_ms for row in rows],
        [row.cost_ms / key_ms for row in rows],
    )
    figures = {
        "auc_cross_fitted": round(auc(raw, labels), 4),
        "ece_cross_fitted": round(ece(calibrated, labels), 4),
        "kept_share": round(sum(labels) / len(labels), 4),
        "shown_share_at_threshold": round(chosen.shown_share, 4),
    }
    return replace(
        weights,
        threshold=round(chosen.threshold, 4),
        metadata=replace(metadata, figures=figures),
    )


def gate_figures(gate: Gate, rows: Sequence[GateRow]) -> GateFigures:
    """How good `gate` is on `rows`."""
    probabilities = [gate.probability(row.features) for row in rows]
    labels = [row.is_kept for row in rows]
    return GateFigures(
        num_rows=len(rows),
        kept_share=sum(labels) / max(len(labels), 1),
        auc=auc(probabilities, labels),
        ece=ece(probabilities, labels),
    )


def _fold_of(index: int) -> int:
    """Runs of rows are of one trace, so whole runs go into one fold."""
    return index // 200 % NUM_FOLDS


def _on_curve(curve: Sequence[tuple[float, float]], raw: float) -> float:
    before = [point for point in curve if point[0] <= raw]
    after = [point for point in curve if point[0] > raw]
    if not before or not after:
        return (after[0] if after else curve[-1])[1]
    (x0, y0), (x1, y1) = before[-1], after[0]
    return y0 + (y1 - y0) * (raw - x0) / (x1 - x0)
