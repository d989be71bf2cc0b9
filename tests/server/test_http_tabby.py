"""Tabby's requests over the whole app."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.server.app import create_app
from paceline.server.dialects import tabby_events
from tests.fakes import FakeGenerator
from tests.server.fields.harness import RecordingStore
from tests.server.http import QUIET, client_of, error_of

BODY: dict[str, Any] = {
    "language": "python",
    "segments": {"prefix": "def f():\n    ", "suffix": "\n", "filepath": "a.py"},
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def test_a_completion() -> None:
    reply = client_of(FakeGenerator()).post("/v1/completions", json=BODY).json()
    assert reply["id"].startswith("cmpl-")
    assert reply["choices"] == [{"index": 0, "text": "return 1"}]
    assert reply["mode"] == "standard"


def test_it_only_inserts() -> None:
    body = {"segments": {"prefix": "def f(", "suffix": ")\n", "filepath": "a.py"}}
    reply = client_of(FakeGenerator(["a, b", "):", "\n"])).post("/v1/completions", json=body)
    text = reply.json()["choices"][0]["text"]
    assert text in ("", "a, b"), "`):` would stand twice"


def test_segments_tell_the_two_protocols_apart() -> None:
    client = client_of(FakeGenerator())
    ours = client.post("/v1/completions", json={"prompt": "x = ", "temperature": 0}).json()
    assert ours["object"] == "text_completion"
    wrong = error_of(client.post("/v1/completions", json={"segments": {"suffix": 1}}))
    assert wrong["param"] == "segments.prefix"
    assert error_of(client.post("/v1/completions", json={"n": "x", "prompt": "a"}))["param"] == "n"
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/v1/completions"]["post"]["requestBody"]
    names = [
        each["$ref"].rpartition("/")[2]
        for each in body["content"]["application/json"]["schema"]["oneOf"]
    ]
    assert names == ["CompletionRequest", "SegmentsRequest"]
    docs = client.get("/docs").text
    assert "<code>segments</code>" in docs and "<code>max_tokens</code>" in docs


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"segments": {"prefix": "", "suffix": ""}}, "segments.prefix"),
        ({"segments": None}, "segments"),
        ({"segments": {"prefix": "a", "filepath": "a\0"}}, "segments.filepath"),
        (BODY | {"mode": "next_edit_suggestion"}, "mode"),
        ({"debug_options": {"raw_prompt": ""}}, "debug_options.raw_prompt"),
        (BODY | {"temperature": 9}, "temperature"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    response = client_of(FakeGenerator()).post("/v1/completions", json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_what_the_agent_asks_first() -> None:
    client = client_of(FakeGenerator())
    health = client.get("/v1/health").json()
    assert client.post("/v1/health").json() == health
    assert {
        "model",
        "device",
        "arch",
        "cpu_info",
        "cpu_count",
        "cuda_devices",
        "models",
    } <= health.keys()
    version = health["version"]["git_describe"].removeprefix("v").split(".")
    assert [int(part) for part in version[:2]] >= [0, 9], "older servers are not asked for settings"
    assert client.get("/v1beta/models").json()["completion"] == ["fake"]
    assert client.get("/v1beta/server_setting").json() == {"disable_client_side_telemetry": True}
    ingested = client.post("/v1beta/ingestion", json={})
    assert ingested.status_code == 501
    error_of(ingested)


def recording(
    generator: FakeGenerator, config: CompleteConfig = QUIET
) -> tuple[TestClient, RecordingStore]:
    store = RecordingStore()
    app = create_app(generator, Service(generator, config), store=store)
    return TestClient(app, base_url="http://127.0.0.1:8012"), store


def event(completion_id: str, type_: str, **fields: Any) -> dict[str, Any]:
    return {"type": type_, "completion_id": completion_id, "choice_index": 0} | fields


def test_events_become_ours_and_are_stable() -> None:
    client, store = recording(FakeGenerator())
    completion_id = client.post("/v1/completions", json=BODY).json()["id"]
    for type_ in ("view", "view", "select", "dismiss"):
        body = event(completion_id, type_, view_id=f"view-{completion_id}-at-17", elapsed=900)
        reply = client.post("/v1/events", json=body)
        assert (reply.status_code, reply.content) == (200, b"")
    kinds = [each.kind for each in store.events]
    assert kinds == ["shown", "shown", "accepted", "rejected"]
    assert {each.request_id for each in store.events} == {completion_id}
    ids = [each.event_id for each in store.events]
    assert ids[0] == ids[1] and len(set(ids)) == 3


def test_a_line_is_a_part_unless_it_is_all() -> None:
    pieces = ("a = 1", "\n    b = 2", "\n    return a + b", "\n")
    client, store = recording(FakeGenerator(pieces), replace(QUIET, multi_line_threshold=0.0))
    body = {"segments": {"prefix": "def area(width, height):\n    ", "filepath": "a.py"}}
    reply = client.post("/v1/completions", json=body).json()
    first, *more = reply["choices"][0]["text"].split("\n")
    assert more, "several lines were offered"
    client.post("/v1/events?select_kind=line", json=event(reply["id"], "select"))
    whole, all_store = recording(FakeGenerator())
    single = whole.post("/v1/completions", json=BODY).json()
    whole.post("/v1/events", json=event(single["id"], "select", select_kind="line"))
    client.post("/v1/events?select_kind=line", json=event("cmpl-unknown", "select"))
    assert [(each.kind, each.num_chars) for each in store.events] == [
        ("partially_accepted", len(first)),
        ("partially_accepted", 0),
    ]
    assert [(each.kind, each.num_chars) for each in all_store.events] == [("accepted", 0)]


def test_only_the_newest_first_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabby_events, "MAX_FIRST_LINES", 2)
    service = Service(FakeGenerator())
    for name in ("one", "two", "three"):
        tabby_events.remember_first_line(service, name, "ab\ncd")
    lengths = [
        tabby_events.to_event(
            tabby_events.TabbyEvent.model_validate({"type": "select", "completion_id": name}),
            service,
            is_line=True,
        ).num_chars
        for name in ("one", "two", "three")
    ]
    assert lengths == [0, 2, 2]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (event("", "view"), "completion_id"),
        (event("cmpl-1", "blink"), "type"),
        (event("cmpl-1", "view", choice_index=-1), "choice_index"),
    ],
)
def test_wrong_events_are_refused_by_name(body: dict[str, Any], param: str) -> None:
    client, store = recording(FakeGenerator())
    response = client.post("/v1/events", json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert store.events == []


FUZZED = client_of(FakeGenerator())
SNIPPETS = st.lists(
    st.dictionaries(st.sampled_from(["filepath", "body", "score"]), ANY_JSON), max_size=2
)


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "segments": st.fixed_dictionaries(
                {"prefix": st.text(max_size=6)},
                optional={
                    "suffix": st.text(max_size=6),
                    "filepath": st.text(max_size=6)
                    | st.sampled_from(["../../x", "file://[", "\0"]),
                    "clipboard": ANY_JSON,
                    "declarations": SNIPPETS,
                    "relevant_snippets_from_changed_files": SNIPPETS,
                    "edit_history": ANY_JSON,
                },
            )
            | ANY_JSON
        },
        optional={
            "language": st.text(max_size=5) | ANY_JSON,
            "temperature": ANY_JSON,
            "seed": st.integers(-1, 2**70),
            "debug_options": st.dictionaries(
                st.sampled_from(["raw_prompt", "return_prompt", "return_snippets"]), ANY_JSON
            ),
        },
    )
)
def test_no_body_breaks_a_completion(body: dict[str, Any]) -> None:
    reply = FUZZED.post(
        "/v1/completions",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code < 500, reply.text


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["completion_id", "choice_index", "view_id", "elapsed", "select_kind"]),
        ANY_JSON,
    ),
    st.sampled_from(["view", "select", "dismiss"]) | ANY_JSON,
)
def test_no_event_breaks_the_server(body: dict[str, Any], type_: Any) -> None:
    reply = FUZZED.post(
        "/v1/events",
        content=json.dumps(body | {"type": type_}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code < 500, reply.text
