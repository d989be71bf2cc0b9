"""Settings: known ones are taken over, wrong ones are told and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.lsp.settings import Settings, read_settings

GIVEN: dict[str, Any] = {
    "enabled": False,
    "disabledLanguages": ["markdown"],
    "disabledGlobs": ["*.sql"],
    "multiLineThreshold": 1,
    "showThreshold": 0.25,
    "maxLatencyMs": 300,
    "model": "big",
    "invokedAlternatives": 2,
    "statusNotifications": True,
}
READ = Settings(
    is_enabled=False,
    disabled_languages=("markdown",),
    disabled_globs=("*.sql",),
    multi_line_threshold=1.0,
    show_threshold=0.25,
    max_latency_ms=300.0,
    model="big",
    invoked_alternatives=2,
    is_status_sent=True,
)


@pytest.mark.parametrize("given", [GIVEN, {"paceline": GIVEN, "other": {"x": 1}}])
def test_every_key_is_taken_over(given: object) -> None:
    assert read_settings(Settings(), given) == (READ, [])


@pytest.mark.parametrize("given", [None, [], "x", 1, {}, {"paceline": None}])
def test_nothing_changes_nothing(given: object) -> None:
    assert read_settings(READ, given) == (READ, [])


def test_what_is_not_named_stays() -> None:
    changed, _ = read_settings(READ, {"model": ""})
    assert changed.model == "" and changed.disabled_languages == ("markdown",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enabled", "yes"),
        ("multiLineThreshold", 1.5),
        ("maxLatencyMs", 0),
        ("invokedAlternatives", 4),
        ("disabledGlobs", "*.sql"),
    ],
)
def test_a_wrong_value_is_told_and_the_others_are_taken(key: str, value: object) -> None:
    changed, problems = read_settings(Settings(), {key: value, "model": "big"})
    assert changed == Settings(model="big")
    assert len(problems) == 1
    assert problems[0].startswith(f"Setting {key} is not used: expected")


def test_an_unknown_key_is_told_and_those_of_copilots_clients_are_known() -> None:
    changed, problems = read_settings(Settings(), {"modle": "x", "editorInfo": {"name": "x"}})
    assert problems == ["Setting 'modle' is unknown."]
    assert changed == Settings(is_status_sent=True)
