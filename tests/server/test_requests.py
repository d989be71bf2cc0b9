"""Traces over HTTP: what is listed, what is told, and what is never told."""

from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace

from paceline.complete import answering, failures
from tests.fakes import FakeGenerator
from tests.server.http import QUIET, client_of, error_of

SHOWING = replace(QUIET, show_threshold=0.0)
BODY = {"input_prefix": "secret_name = ", "filename": "secret_folder/a.py"}


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    client = client_of(FakeGenerator(["sorted", "\n"]), SHOWING)
    assert client.get("/v1/requests").json() == {"requests": []}
    ids = [
        client.post("/infill", json={"input_prefix": f"x{n} = "}).json()["paceline"]["request_id"]
        for n in range(3)
    ]
    listed = client.get("/v1/requests", params={"limit": 2}).json()["requests"]
    assert [row["request_id"] for row in listed] == [ids[2], ids[1]]
    assert listed[0]["outcome"] == "shown"
    assert listed[0]["is_ahead"] is False
    for limit in ("0", "201", "-1", "many"):
        assert client.get("/v1/requests", params={"limit": limit}).status_code == 400


def test_a_trace_tells_the_story_and_neither_code_nor_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_of(FakeGenerator(["'secret_text'", "\n"]), SHOWING)
    with caplog.at_level(logging.DEBUG):
        reply = client.post("/infill", json=BODY).json()
    trace = client.get(f"/v1/requests/{reply['paceline']['request_id']}/trace")
    story = trace.json()
    assert (story["outcome"], story["source"], story["failed"]) == ("shown", "network", [])
    assert story["own_ms"] >= 0
    assert {span["name"] for span in story["spans"]} >= {"look", "generate", "steps"}
    assert "secret" not in trace.text + client.get("/v1/requests").text + caplog.text


def test_a_server_that_may_keep_code_tells_it() -> None:
    client = client_of(
        FakeGenerator(["'secret_text'", "\n"]), replace(SHOWING, is_code_in_traces=True)
    )
    request_id = client.post("/infill", json=BODY).json()["paceline"]["request_id"]
    story = client.get(f"/v1/requests/{request_id}/trace").json()
    assert story["path"] == "secret_folder/a.py"
    assert story["candidates"][0]["text"] == "'secret_text'"


@pytest.mark.parametrize("request_id", ["nope", "%00", "%0A", "%FF", "a%2Fb", "%2e%2e", "[x]", "é"])
def test_an_id_that_is_nobodys_is_not_found(request_id: str) -> None:
    response = client_of(FakeGenerator()).get(f"/v1/requests/{request_id}/trace")
    assert response.status_code == 404
    error_of(response)


def test_a_long_id_is_refused() -> None:
    assert client_of(FakeGenerator()).get(f"/v1/requests/{'x' * 129}/trace").status_code == 400


def test_a_bug_in_a_rule_is_no_error_of_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("".join(["secret", "_name"]))

    monkeypatch.setattr(failures, "_reported", set[tuple[str, str]]())
    monkeypatch.setattr(answering, "reason_to_decline", fail)
    client = client_of(FakeGenerator(["sorted", "\n"]), SHOWING)
    replies = [client.post("/infill", json=BODY) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    note = replies[0].json()["paceline"]
    assert (replies[0].json()["content"], note["drop_reason"]) == ("", "internal_error")
    story = client.get(f"/v1/requests/{note['request_id']}/trace").json()
    assert story["failed"] == ["look"]
    bugs = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(bugs) == 1
    assert "secret_name" not in caplog.text
