"""The show/hide gate: its features, its decisions, and what fitting it recovers."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.gate import (
    DEFAULT_WEIGHTS,
    Gate,
    GateMetadata,
    GateWeights,
    is_exempt_id,
    load_weights,
    save_weights,
)
from paceline.complete.gate_features import FEATURE_NAMES, GateFeatures, features_of
from paceline.complete.gate_fit import fit
from paceline.complete.gate_measure import auc, choose_threshold, ece, fit_isotonic
from paceline.complete.history import Recent
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.core.errors import ArtifactError, ConfigError
from paceline.core.types import Candidate, Cursor, Document
from paceline.syntax.place import Place

METADATA = GateMetadata(fitted=True, source="synthetic rows of this test")
TRUE_WEIGHTS = {"mean_logprob": 1.2, "log_lines": -0.8, "accepted_share": 0.5}
TRUE_BIAS = -0.6
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def synthetic(num_rows: int, seed: int) -> tuple[list[list[float]], list[bool], list[float]]:
    """Rows of standard normal features, labels drawn from a known model, and its probabilities."""
    rng = random.Random(seed)
    rows, labels, truth = [], [], []
    for _ in range(num_rows):
        row = [rng.gauss(0, 1) for _ in FEATURE_NAMES]
        score = TRUE_BIAS + sum(
            weight * row[FEATURE_NAMES.index(name)] for name, weight in TRUE_WEIGHTS.items()
        )
        truth.append(1 / (1 + math.exp(-score)))
        rows.append(row)
        labels.append(rng.random() < truth[-1])
    return rows, labels, truth


def scene_of(text: str) -> Scene:
    """A scene at the mark `|`, with a place of no features."""
    offset = text.index("|")
    document = Document(path="a.py", text=text.replace("|", "", 1), language="python")
    scene = Scene(Cursor(document=document, offset=offset))
    scene.__dict__["place"] = Place()
    return scene


@pytest.fixture(scope="module")
def fitted() -> GateWeights:
    """Weights from 2,500 synthetic rows."""
    rows, labels, _ = synthetic(2_500, seed=1)
    return fit(rows, labels, metadata=METADATA)


def probabilities_of(weights: GateWeights, rows: list[list[float]]) -> list[float]:
    gate = Gate(weights)
    return [
        gate.probability(GateFeatures(**dict(zip(FEATURE_NAMES, row, strict=True)))) for row in rows
    ]


def test_fitting_recovers_known_weights(fitted: GateWeights) -> None:
    assert fitted.bias == pytest.approx(TRUE_BIAS, abs=0.15)
    for feature in fitted.features:
        per_unit = feature.weight / feature.scale
        assert per_unit == pytest.approx(TRUE_WEIGHTS.get(feature.name, 0.0), abs=0.2), feature.name


def test_it_is_calibrated_on_rows_it_has_not_seen(fitted: GateWeights) -> None:
    rows, labels, truth = synthetic(2_000, seed=2)
    guessed = probabilities_of(fitted, rows)
    assert ece(guessed, labels) < 0.04
    assert auc(guessed, labels) > auc(truth, labels) - 0.02


def test_the_calibration_curve_repairs_overconfidence(fitted: GateWeights) -> None:
    """Three times the weights rank the same and lie; the curve makes them honest."""
    loud = msgspec.structs.replace(
        fitted,
        bias=3 * fitted.bias,
        features=tuple(msgspec.structs.replace(f, weight=3 * f.weight) for f in fitted.features),
    )
    rows, labels, _ = synthetic(2_000, seed=3)
    curve = fit_isotonic(probabilities_of(loud, rows), labels)
    honest = msgspec.structs.replace(loud, calibration=curve)
    rows, labels, _ = synthetic(2_000, seed=4)
    before, after = probabilities_of(loud, rows), probabilities_of(honest, rows)
    assert ece(before, labels) > 0.1
    assert ece(after, labels) < 0.05
    assert auc(after, labels) > auc(before, labels) - 0.01


@given(PROBABILITIES, st.randoms(use_true_random=False), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_the_calibration_curve_ascends(
    probabilities: list[float], rng: random.Random, min_block: int
) -> None:
    labels = [rng.random() < 0.5 for _ in probabilities]
    curve = fit_isotonic(probabilities, labels, min_block=min_block)
    assert all(x < next_x and y <= next_y for (x, y), (next_x, next_y) in pairwise(curve))
    assert all(0 <= value <= 1 for point in curve for value in point)
    assert curve
    msgspec.structs.replace(load_weights(), calibration=curve)


def slow_auc(probabilities: list[float], labels: list[bool]) -> float:
    """By comparing every pair."""
    pairs = [
        (p > q) + (p == q) / 2
        for p, kept in zip(probabilities, labels, strict=True)
        for q, other in zip(probabilities, labels, strict=True)
        if kept and not other
    ]
    return sum(pairs) / len(pairs) if pairs else 0.5


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), max_size=20))
@settings(max_examples=60, deadline=None)
def test_auc_is_what_all_pairs_say(rows: list[tuple[float, bool]]) -> None:
    probabilities, labels = [p for p, _ in rows], [label for _, label in rows]
    assert auc(probabilities, labels) == pytest.approx(slow_auc(probabilities, labels))


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 9)), min_size=1, max_size=20
    )
)
@settings(max_examples=60, deadline=None)
def test_the_threshold_is_the_best_of_all(rows: list[tuple[float, int]]) -> None:
    probabilities, saved = [p for p, _ in rows], [float(s) for _, s in rows]
    choice = choose_threshold(probabilities, saved, [3.0] * len(rows))

    def value(threshold: float) -> float:
        return sum(s - 3.0 for p, s in rows if p >= threshold) / len(rows)

    assert value(choice.threshold) == pytest.approx(choice.value_per_row)
    assert choice.value_per_row == pytest.approx(max(map(value, (0, 0.2, 0.4, 0.6, 1.1))))
    shown = sum(p >= choice.threshold for p in probabilities) / len(rows)
    assert choice.shown_share == pytest.approx(shown)


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([], []),
        ([[0.0] * len(FEATURE_NAMES)] * 2, [True]),
        ([[0.0] * len(FEATURE_NAMES)] * 2, [True, True]),
        ([[0.0]] * 2, [True, False]),
        ([[math.nan] * len(FEATURE_NAMES)] * 2, [True, False]),
    ],
)
def test_what_cannot_be_fitted_is_refused(rows: list[list[float]], labels: list[bool]) -> None:
    with pytest.raises(ConfigError):
        fit(rows, labels, metadata=METADATA)


def test_constant_and_separable_features_do_no_harm() -> None:
    rows = [[float(i % 2)] + [7.0] * (len(FEATURE_NAMES) - 1) for i in range(40)]
    weights = fit(rows, [i % 2 == 1 for i in range(40)], metadata=METADATA)
    assert [f.weight for f in weights.features[1:]] == [0.0] * (len(FEATURE_NAMES) - 1)
    assert 0.5 < weights.features[0].weight < 20


def test_the_exempt_share_is_small_and_always_the_same() -> None:
    ids = [f"cmpl-{number}" for number in range(20_000)]
    exempt = [one for one in ids if is_exempt_id(one, 0.02)]
    assert 300 < len(exempt) < 500
    assert exempt == [one for one in ids if is_exempt_id(one, 0.02)]
    assert not any(is_exempt_id(one, 0.0) for one in ids[:100])
    assert all(is_exempt_id(one, 1.0) for one in [*ids[:100], "\ud800"])


def test_decisions() -> None:
    gate = Gate.load(exempt_share=0.0)
    features = GateFeatures(has_logprob=1.0, mean_logprob=-4.0, sum_logprob=-40.0)
    hidden = gate.decide(features, 0.5, request_id="a")
    assert (hidden.is_shown, hidden.is_exempt) == (False, False)
    assert hidden.reasons[0].startswith("sum_logprob-")
    assert gate.decide(features, 0.0, request_id="a").is_shown
    assert gate.decide(features, 1.0, request_id="a", is_invoked=True).is_shown
    exempt = Gate.load(exempt_share=1.0).decide(features, 1.0, request_id="a")
    assert (exempt.is_shown, exempt.is_exempt) == (True, True)
    likely = GateFeatures(has_logprob=1.0, mean_logprob=-0.05, sum_logprob=-0.3)
    assert gate.probability(likely) > gate.probability(features)


@given(st.floats(), st.floats(), st.floats())
@settings(max_examples=60, deadline=None)
def test_any_number_gives_a_probability(a: float, b: float, c: float) -> None:
    features = GateFeatures(mean_logprob=a, log_chars=b, accepted_share=c)
    assert 0 <= Gate.load().decide(features, 0.5, request_id="x").probability <= 1


def test_features() -> None:
    scene = scene_of("x = foo(|)\n")
    candidate = Candidate(
        text="a, b",
        num_tokens=4,
        logprob=-2.0,
        finish_reason="length",
        num_replaced_chars=1,
        flags=("unknown_module:m", "unknown_name:n", "unparsable"),
    )
    pace = Pace(median_gap_ms=240.0, high_gap_ms=300.0, last_gap_ms=800.0, num_recent=3)
    recent = Recent(num_single_line=4, accepted_single_line=0.5, num_rejected_in_a_row=1)
    got = features_of(scene, candidate, pace=pace, recent=recent, num_changing_steps=2)
    assert (got.mean_logprob, got.sum_logprob, got.is_after_open_bracket) == (-0.5, -2.0, 1.0)
    assert (got.log_gap, got.is_after_pause, got.is_cut, got.is_replacing) == (0.0, 1.0, 1.0, 1.0)
    assert got.accepted_share == pytest.approx(0.2)
    assert got.log_unknown_modules == got.log_unknown_names == got.log_other_flags == math.log(2)
    assert (got.has_code_after, got.is_in_word, got.log_lines) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("a.|", "is_after_dot"),
        ("a = |", "is_after_operator"),
        ("    |", "is_after_newline"),
        ("foo|", "is_in_word"),
        ("f([|", "is_after_open_bracket"),
        ("|foo", "has_code_after"),
    ],
)
def test_features_of_the_line(text: str, feature: str) -> None:
    here = features_of(scene_of(text), Candidate(text="x"))
    elsewhere = features_of(scene_of("x )|"), Candidate(text="x"))
    assert (getattr(here, feature), getattr(elsewhere, feature)) == (1.0, 0.0)


@given(st.text(max_size=30), st.text(max_size=20), st.integers(-5, 5), st.floats())
@settings(max_examples=60, deadline=None)
def test_features_of_anything(before: str, text: str, num_tokens: int, logprob: float) -> None:
    scene = scene_of(before.replace("|", "") + "|")
    candidate = Candidate(text=text, num_tokens=num_tokens, logprob=logprob, flags=(":", ""))
    features_of(scene, candidate, num_changing_steps=-1, num_typed_since=-1)


def test_the_shipped_weights_say_what_they_are() -> None:
    weights = load_weights()
    assert weights.metadata.source
    assert weights.metadata.fitted == bool(weights.metadata.num_rows)
    if weights.metadata.fitted:
        assert {"auc_cross_fitted", "ece_cross_fitted"} <= set(weights.metadata.figures)


def test_weights_are_written_as_they_are_read(tmp_path: Path, fitted: GateWeights) -> None:
    save_weights(fitted, tmp_path / "w.json")
    assert load_weights(tmp_path / "w.json") == fitted
    assert Gate.load(tmp_path / "w.json").weights == fitted


def damaged(change: str) -> bytes:
    """The shipped weights with one thing wrong."""
    raw = json.loads(DEFAULT_WEIGHTS.read_bytes())
    if change == "feature":
        raw["features"][0]["name"] = "has_luck"
    elif change == "missing":
        del raw["features"][0]
    elif change == "unknown":
        raw["colour"] = 1
    elif change == "scale":
        raw["features"][0]["scale"] = 0
    elif change == "format":
        raw["format"] = 2
    elif change == "curve":
        raw["calibration"] = [[0.5, 0.5], [0.4, 0.6]]
    elif change == "range":
        raw["calibration"] = [[0.5, 1.5]]
    elif change == "threshold":
        raw["threshold"] = -0.1
    return json.dumps(raw).encode()[: 40 if change == "truncated" else None]


@pytest.mark.parametrize(
    "change",
    [
        "feature",
        "missing",
        "unknown",
        "scale",
        "format",
        "curve",
        "range",
        "threshold",
        "truncated",
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(damaged(change))
    with pytest.raises(ArtifactError, match=r"w\.json"):
        load_weights(path)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Cannot read"):
        Gate.load(tmp_path / "none.json")
    with pytest.raises(ConfigError):
        Gate.load(exempt_share=2.0)
