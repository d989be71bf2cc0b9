"""The policy finds what brute force finds, and changes its mind when the world does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from paceline.core.errors import ConfigError
from paceline.engine.draft import Source
from paceline.engine.speculation import SpeculationConfig, SpeculationPolicy, StepCosts

Curve = Callable[[int], float]
CONFIG = SpeculationConfig(min_gain_tokens=0.0)


def rate(chances: Sequence[float], curve: Curve, others: int, count: int) -> float:
    """Tokens per millisecond with `count` drafts."""
    expected = sum(math.prod(chances[:k]) for k in range(1, count + 1))
    return (others + 1 + expected) / curve(others + 1 + count)


def share_of_best(
    answers: Sequence[int], chances: Sequence[float], curve: Curve, others: int
) -> float:
    """Mean rate of the answers, as a share of the best rate that brute force finds."""
    best = max(rate(chances, curve, others, count) for count in range(9))
    return sum(rate(chances, curve, others, count) for count in answers) / len(answers) / best


def live(
    policy: SpeculationPolicy,
    chances: Sequence[float],
    curve: Curve,
    others: int,
    *,
    num_steps: int,
    seed: int = 0,
) -> list[int]:
    """Steps of one sequence among `others`; the answers of the policy."""
    chance = random.Random(seed)
    answers: list[int] = []
    for _ in range(num_steps):
        count = policy.num_draft_tokens(Source.PREVIOUS, others)
        accepted = 0
        while accepted < count and chance.random() < chances[accepted]:
            accepted += 1
        policy.record(Source.PREVIOUS, count, accepted)
        rows = others + 1 + count
        policy.record_step(rows, curve(rows) * chance.choice([0.95, 1.0, 1.05]))
        answers.append(count)
    return answers


CURVES: dict[str, Curve] = {
    "flat": lambda rows: 1.0,
    "gentle": lambda rows: 1 + 0.05 * rows,
    "steep": lambda rows: 0.2 + rows,
    "cliff after 4": lambda rows: 1 + 0.02 * rows if rows <= 4 else 2.5 + 0.05 * rows,
}
CHANCES = {
    "sure": [0.95] * 8,
    "fading": [0.9, 0.8, 0.7, 0.5, 0.3, 0.2, 0.1, 0.1],
    "rare": [0.15] * 8,
}


@pytest.mark.parametrize("others", [0, 3, 20])
@pytest.mark.parametrize("chances", CHANCES.values(), ids=CHANCES)
@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_it_converges_to_the_best_number(curve: Curve, chances: list[float], others: int) -> None:
    policy = SpeculationPolicy(CONFIG)
    policy.seed_costs({rows: curve(rows) for rows in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)})
    answers = live(policy, chances, curve, others, num_steps=600)
    assert share_of_best(answers[-300:], chances, curve, others) >= 0.95, answers[-300:]


def test_costs_are_learnt_without_a_warm_up() -> None:
    curve = CURVES["cliff after 4"]
    policy = SpeculationPolicy(CONFIG)
    answers = live(policy, CHANCES["sure"], curve, 0, num_steps=1500)
    assert share_of_best(answers[-300:], CHANCES["sure"], curve, 0) >= 0.95, answers[-300:]


def test_it_switches_off_and_on_again() -> None:
    config = SpeculationConfig()
    policy = SpeculationPolicy(config)
    policy.seed_costs({rows: 1 + 0.1 * rows for rows in range(1, 13)})
    curve = CURVES["gentle"]
    never = live(policy, [0.0] * 8, curve, 0, num_steps=400)
    late = never[100:]
    assert late.count(0) >= 0.95 * len(late)
    assert max(late) == config.probe_tokens
    always = live(policy, [1.0] * 8, curve, 0, num_steps=600)
    assert always[-100:].count(config.max_draft_tokens) >= 95, always
    again = live(policy, [0.0] * 8, curve, 0, num_steps=200)
    assert again[-31:].count(0) >= 30


def test_a_change_of_cost_changes_the_answer() -> None:
    policy = SpeculationPolicy(CONFIG)
    for name in ("flat", "steep", "flat", "cliff after 4"):
        answers = live(policy, CHANCES["sure"], CURVES[name], 0, num_steps=1500)
        assert share_of_best(answers[-300:], CHANCES["sure"], CURVES[name], 0) >= 0.95, name


def test_the_same_calls_give_the_same_answers() -> None:
    runs = [
        live(SpeculationPolicy(CONFIG), CHANCES["fading"], CURVES["gentle"], 2, num_steps=200)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_sources_are_judged_apart_and_counted() -> None:
    policy = SpeculationPolicy(SpeculationConfig())
    policy.seed_costs({1: 1.0, 16: 1.5})
    for _ in range(40):
        policy.record(Source.PREVIOUS, 8, 8)
        policy.record(Source.DOCUMENT, 4, 0)
        policy.record(Source.DOCUMENT_SHORT, 0, 0)
    assert policy.num_draft_tokens(Source.PREVIOUS, 0) == 8
    assert policy.num_draft_tokens(Source.DOCUMENT, 0) == 0
    counts = policy.counts()
    assert counts[Source.PREVIOUS] == (40, 320, 320)
    assert counts[Source.DOCUMENT] == (40, 160, 0)
    assert counts[Source.DOCUMENT_SHORT] == (0, 0, 0)


def test_a_draft_cut_by_a_stop_is_not_held_against_its_source() -> None:
    policies = [SpeculationPolicy(SpeculationConfig()) for _ in range(2)]
    for policy, is_cut in zip(policies, (True, False), strict=True):
        policy.seed_costs({1: 1.0, 16: 2.0})
        for _ in range(50):
            policy.record(Source.PREVIOUS, 8, 1, is_cut=is_cut)
    cut, wrong = (policy.num_draft_tokens(Source.PREVIOUS, 0) for policy in policies)
    assert cut > wrong


def test_switched_off_is_off() -> None:
    policy = SpeculationPolicy(SpeculationConfig(is_enabled=False))
    assert policy.max_draft_tokens == 0
    assert {policy.num_draft_tokens(source, 0) for source in Source for _ in range(100)} == {0}


def test_costs_are_interpolated_and_a_spike_is_no_news() -> None:
    costs = StepCosts(0.1)
    assert costs.ms_of(9) > costs.ms_of(1) > 0
    costs.record(4, 2.0)
    assert costs.ms_of(1) == pytest.approx(2.0 * 17 / 20)
    costs.seed({1: 1.0, 4: 2.5, 5: 3.0, 8: 3.0, 0: 9.0, 2: math.nan})
    assert [costs.ms_of(rows) for rows in (1, 2, 3, 4)] == pytest.approx([1.0, 1.5, 2.0, 2.5])
    assert costs.ms_of(24) == pytest.approx(3.0 * (16 + 24) / (16 + 8))
    costs.record(4, 1000.0)
    assert costs.ms_of(4) == pytest.approx(2.5 * 1.1)
    for rows, ms in ((0, 1.0), (1, math.nan), (1, 0.0), (1, math.inf), (10_000, 1.0)):
        costs.record(rows, ms)
    assert [costs.ms_of(1), costs.ms_of(4)] == pytest.approx([1.0, 2.5 * 1.1])


@pytest.mark.parametrize("num_rows", [1, 2, 5, 7, 9, 100, 512])
def test_what_is_measured_again_and_again_is_the_estimate(num_rows: int) -> None:
    costs = StepCosts(0.1)
    costs.seed({1: 1.0, 16: 2.0})
    for _ in range(200):
        costs.record(num_rows, 9.0)
    assert costs.ms_of(num_rows) == pytest.approx(9.0, rel=1e-3)
    for _ in range(200):
        costs.record(num_rows, 0.5)
    assert costs.ms_of(num_rows) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_draft_tokens", 0),
        ("min_gain_tokens", -1.0),
        ("min_gain_tokens", math.nan),
        ("probe_interval_steps", 0),
        ("probe_tokens", 0),
        ("half_life_drafts", 0),
        ("step_weight", 0.0),
        ("step_weight", math.nan),
    ],
)
def test_a_setting_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        SpeculationConfig(**{field: value})  # pyright: ignore[reportArgumentType]
