"""`paceline why` against servers that answer well, badly, and not at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from paceline.cli.main import app
from tests.fakes import FakeGenerator
from tests.server.http import QUIET, client_of

runner = CliRunner()
SERVER = "http://127.0.0.1:8012"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the whole app; what the command would fetch over the network is asked of it."""
    client = client_of(FakeGenerator(["sorted", "\n"]), replace(QUIET, show_threshold=0.0))

    def get(url: str, **_: object) -> httpx.Response:
        response = client.get(url.removeprefix(SERVER))
        return httpx.Response(response.status_code, content=response.content)

    monkeypatch.setattr(httpx, "get", get)
    return client


def ask(client: Any, **body: object) -> str:
    reply = client.post("/infill", json={"input_prefix": "x = ", "filename": "a.py"} | body)
    return reply.json()["paceline"]["request_id"]


def test_the_newest_are_listed(served: Any) -> None:
    assert "no request yet" in runner.invoke(app, ["why"]).stdout
    shown, secret = ask(served), ask(served, filename=".env")
    first, second, third = runner.invoke(app, ["why"], env={"COLUMNS": "60"}).stdout.splitlines()
    assert first.split() == ["request", "mode", "from", "outcome", "ms"]
    assert second.split()[:4] == [secret, "-", "-", "secret_file"]
    assert third.split()[:4] == [shown, "single_line", "network", "shown"]


def test_a_story_names_each_stage_and_no_code(served: Any) -> None:
    result = runner.invoke(app, ["why", ask(served, prompt="secret_name = ")])
    assert result.exit_code == 0
    for word in ("shown", "automatic, python", "mode ", "wrote ", "gate ", "generate"):
        assert word in result.stdout
    assert "secret_name" not in result.stdout
    assert "sorted" not in result.stdout
    assert "a.py" not in result.stdout
    nothing = runner.invoke(app, ["why", ask(served, filename=".env")]).stdout
    assert nothing.startswith("nothing: secret_file ")


def test_the_trace_is_told_as_json(served: Any) -> None:
    request_id = ask(served)
    trace = json.loads(runner.invoke(app, ["why", request_id, "--json"]).stdout)
    assert (trace["request_id"], trace["outcome"]) == (request_id, "shown")
    listed = json.loads(runner.invoke(app, ["why", "--json"]).stdout)
    assert [row["request_id"] for row in listed["requests"]] == [request_id]


def test_names_from_clients_are_text_and_move_no_cursor(served: Any) -> None:
    request_id = ask(served, language="[/][red]\x1b[2J", trigger="invoked")
    result = runner.invoke(app, ["why", request_id])
    assert result.exit_code == 0
    assert "[/][red]" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    "request_id", ["nope", "a/b", "../../health", "%", "\n", "x" * 500, "é\U0001f600"]
)
def test_an_unknown_id_is_one_sentence(served: Any, request_id: str) -> None:
    result = runner.invoke(app, ["why", request_id])
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: ")
    assert result.stderr.strip().count("\n") == 0


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "notaurl", "http://[", ""])
def test_no_server_is_one_sentence(server: str) -> None:
    result = runner.invoke(app, ["why", "--server", server])
    assert result.exit_code == 4
    assert "start one with `paceline serve`" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize("request_id", [[], ["cmpl-1"]])
@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"[]"),
        httpx.Response(200, content=b"{}"),
        httpx.Response(200, content=b'{"requests": 3, "outcome": 1}'),
        httpx.Response(200, content=b'{"requests": [{}]}'),
        httpx.Response(500, content=b'{"error": "broken"}'),
        httpx.Response(404, content=b'{"error": {"message": null}}'),
    ],
)
def test_another_kind_of_server_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, response: httpx.Response, request_id: list[str]
) -> None:
    monkeypatch.setattr(httpx, "get", lambda url, **_: response)
    result = runner.invoke(app, ["why", *request_id])
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: ")


def test_a_bug_is_named(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = {**served.get(f"/v1/requests/{ask(served)}/trace").json(), "failed": ["trim_end"]}
    monkeypatch.setattr(
        httpx, "get", lambda url, **_: httpx.Response(200, content=msgspec.json.encode(trace))
    )
    assert "failed   trim_end" in runner.invoke(app, ["why", "cmpl-1"]).stdout
