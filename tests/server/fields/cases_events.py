"""Fields of POST /v1/events: each changes what is kept."""

from __future__ import annotations

from typing import Any

from paceline.artifacts.events import EventBatch
from tests.server.fields.harness import FieldCase

EVENT: dict[str, Any] = {"event_id": "e-1", "request_id": "cmpl-1", "kind": "shown"}
OTHERS: dict[str, Any] = {
    "event_id": "e-2",
    "request_id": "cmpl-2",
    "kind": "rejected",
    "at_s": 5.5,
    "num_chars": 7,
    "after_s": 30.0,
    "alternative": 1,
    "client": "vim 9",
}

CASES: dict[str, FieldCase] = {
    f"POST /v1/events events[].{name}": FieldCase(
        base={"events": [EVENT]}, changed={"events": [EVENT | {name: value}]}
    )
    for name, value in OTHERS.items()
}
MODELS: dict[str, Any] = {"POST /v1/events": EventBatch}
