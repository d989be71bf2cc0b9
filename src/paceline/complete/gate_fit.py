"""Fits the gate's weights from what became of shown completions. Offline; plain Python, no numpy.

rows (features) + labels (kept?)    ──fit──> logistic regression, standardised, with L2
calibration rows (gate_measure.py)  ──fit_isotonic──> curve    ──choose_threshold──> threshold

A few thousand rows take a second or two; the sums run inside map(), column by column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul, sub

from paceline.complete.gate import FORMAT, FeatureWeight, GateMetadata, GateWeights
from paceline.complete.gate_features import FEATURE_NAMES
from paceline.core.errors import ConfigError

MAX_ITERATIONS = 50
MIN_GAIN = 1e-9
"""Of the penalised log-likelihood per row: less is no progress."""
MIN_SCALE = 1e-9
"""A feature that varies less is constant, and gets scale 1 and weight 0."""

Row = Sequence[float]


def fit(
    rows: Sequence[Row],
    labels: Sequence[bool],
    *,
    metadata: GateMetadata,
    l2: float = 1.0,
    calibration: Sequence[tuple[float, float]] = (),
    threshold: float = 0.0,
) -> GateWeights:
    """Logistic regression by Newton's method (iteratively reweighted least squares) with halved steps.

    Args:
        rows: values in the order of FEATURE_NAMES.
        labels: was it kept?
        l2: penalty on the squared weights of standardised features, in rows; not on the bias.

    Raises:
        ConfigError: there are no rows, lengths differ, a value is not finite, or all labels are equal.
    """
    _check(rows, labels)
    columns, means, scales = _standardise(rows)
    weights = _newton(columns, [float(label) for label in labels], l2)
    features = tuple(
        FeatureWeight(name=name, mean=mean, scale=scale, weight=weight)
        for name, mean, scale, weight in zip(FEATURE_NAMES, means, scales, weights[1:], strict=True)
    )
    return GateWeights(
        format=FORMAT,
        metadata=metadata,
        bias=weights[0],
        features=features,
        calibration=tuple(calibration),
        threshold=threshold,
    )


def _check(rows: Sequence[Row], labels: Sequence[bool]) -> None:
    if not rows or len(rows) != len(labels):
        raise ConfigError(
            f"{len(rows)} rows and {len(labels)} labels; give one label for each row."
        )
    if any(len(row) != len(FEATURE_NAMES) for row in rows):
        raise ConfigError(f"Every row needs {len(FEATURE_NAMES)} values, one for each feature.")
    if not all(map(math.isfinite, (value for row in rows for value in row))):
        raise ConfigError("Features must be finite numbers.")
    if len(set(map(bool, labels))) < 2:
        raise ConfigError("All labels are equal: nothing can be learned from them.")


def _standardise(rows: Sequence[Row]) -> tuple[list[list[float]], list[float], list[float]]:
    """Columns of mean 0 and deviation 1, a first one of ones aside; with the means and scales."""
    num_rows = len(rows)
    columns: list[list[float]] = [[1.0] * num_rows]
    means: list[float] = []
    scales: list[float] = []
    for raw in zip(*rows, strict=True):
        mean = math.fsum(raw) / num_rows
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in raw) / num_rows)
        scale = spread if spread > MIN_SCALE else 1.0
        is_constant = spread <= MIN_SCALE
        columns.append([0.0 if is_constant else (value - mean) / scale for value in raw])
        means.append(mean)
        scales.append(scale)
    return columns, means, scales


def _newton(columns: list[list[float]], labels: list[float], l2: float) -> list[float]:
    """Maximise the penalised log-likelihood; the first column is the bias and bears no penalty."""
    penalties = [0.0] + [l2] * (len(columns) - 1)
    weights = [0.0] * len(columns)
    scores = [0.0] * len(labels)
    value = _objective(scores, labels, weights, penalties)
    for _ in range(MAX_ITERATIONS):
        probabilities = [1.0 / (1.0 + math.exp(-max(min(s, 500.0), -500.0))) for s in scores]
        residuals = list(map(sub, labels, probabilities))
        variances = [max(p * (1 - p), 1e-12) for p in probabilities]
        gradient = [
            sum(map(mul, column, residuals)) - penalty * weight
            for column, penalty, weight in zip(columns, penalties, weights, strict=True)
        ]
        step = _solve(_hessian(columns, variances, penalties), gradient)
        size, better = 1.0, value
        candidate, new_scores = weights, scores
        while size > 1e-6:
            candidate = [w + size * s for w, s in zip(weights, step, strict=True)]
            new_scores = _scores(columns, candidate)
            better = _objective(new_scores, labels, candidate, penalties)
            if better > value:
                break
            size /= 2
        if better - value <= MIN_GAIN * len(labels):
            return candidate if better > value else weights
        weights, scores, value = candidate, new_scores, better
    return weights


def _scores(columns: list[list[float]], weights: list[float]) -> list[float]:
    scores = [0.0] * len(columns[0])
    for column, weight in zip(columns, weights, strict=True):
        if weight:
            scores = [score + weight * x for score, x in zip(scores, column, strict=True)]
    return scores


def _objective(
    scores: list[float], labels: list[float], weights: list[float], penalties: list[float]
) -> float:
    """Log-likelihood minus the penalty."""
    fitted = math.fsum(
        label * score
        - (score + math.log1p(math.exp(-score)) if score > 0 else math.log1p(math.exp(score)))
        for score, label in zip(scores, labels, strict=True)
    )
    return fitted - sum(p * w * w for p, w in zip(penalties, weights, strict=True)) / 2


def _hessian(
    columns: list[list[float]], variances: list[float], penalties: list[float]
) -> list[list[float]]:
    """Of the negative objective: symmetric, positive; a constant feature without penalty is held at 0."""
    size = len(columns)
    matrix = [[0.0] * size for _ in range(size)]
    for i, column in enumerate(columns):
        weighted = list(map(mul, column, variances))
        for j in range(i, size):
            matrix[i][j] = matrix[j][i] = sum(map(mul, weighted, columns[j]))
    for i, penalty in enumerate(penalties):
        matrix[i][i] = max(matrix[i][i] + penalty, 1e-9)
    return matrix


def _solve(matrix: list[list[float]], target: list[float]) -> list[float]:
    """Gaussian elimination with row pivots. A singular direction gets no step."""
    size = len(target)
    rows = [[*row, value] for row, value in zip(matrix, target, strict=True)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k, i=i: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        if abs(rows[i][i]) < 1e-12:
            continue
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            if factor:
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    solution = [0.0] * size
    for i in reversed(range(size)):
        if abs(rows[i][i]) >= 1e-12:
            rest = sum(map(mul, rows[i][i + 1 : size], solution[i + 1 :]))
            solution[i] = (rows[i][size] - rest) / rows[i][i]
    return solution
