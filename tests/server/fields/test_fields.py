"""Every field of every dialect: what its note says is what happens. How it works: harness.py."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from paceline.server.config import ServerConfig
from paceline.server.dialects.notes import FieldStatus
from tests.server.fields.harness import (
    FieldCase,
    fields_of,
    outcomes_of,
    schema_of_model,
    schema_of_route,
    stage_for,
)
from tools.protocol_table import read_notes

HERE = Path(__file__).parent


def read_cases() -> tuple[dict[str, FieldCase], dict[str, Any]]:
    """CASES and MODELS of every cases_*.py."""
    cases: dict[str, FieldCase] = {}
    models: dict[str, Any] = {}
    for path in sorted(HERE.glob("cases_*.py")):
        module = importlib.import_module(f"tests.server.fields.{path.stem}")
        assert cases.keys().isdisjoint(module.CASES), path.name
        cases |= module.CASES
        models |= getattr(module, "MODELS", {})
    return cases, models


NOTES = read_notes()
CASES, MODELS = read_cases()
STATUS: dict[str, FieldStatus] = {
    f"{request} {field.name}": field.status
    for request, notes in NOTES.items()
    for field in notes.fields
}


@pytest.mark.parametrize("key", CASES)
def test_field(key: str) -> None:
    case, status = CASES[key], STATUS[key]
    request, _, field = key.rpartition(" ")
    base, changed = outcomes_of(case, request)
    assert base.status < 400, base.replies[-1]
    if status == "ignored":
        assert changed == base
    elif status == "honoured":
        assert changed != base
    else:
        assert changed.status in (400, 422), changed.replies[-1]
        assert field in str(changed.replies[-1]), changed.replies[-1]


@pytest.mark.parametrize("request_name", NOTES)
def test_fields_that_do_something_have_a_case(request_name: str) -> None:
    keys = [key for key in STATUS if key.rpartition(" ")[0] == request_name]
    assert [key for key in keys if STATUS[key] != "ignored" and key not in CASES] == []


@pytest.mark.parametrize("request_name", NOTES)
def test_fields_that_are_read_are_noted_and_the_reverse(request_name: str) -> None:
    openapi = stage_for(ServerConfig()).openapi
    model = MODELS.get(request_name)
    schema = schema_of_route(openapi, request_name) if model is None else schema_of_model(model)
    leaves, containers = fields_of(schema or {})
    noted = {field.name: field.status for field in NOTES[request_name].fields}
    in_body = {name for name in noted if name[0] not in "?{"}  # not of the query or the path
    assert leaves - noted.keys() == set()
    assert {name for name in in_body - leaves - containers if noted[name] == "honoured"} == set()
