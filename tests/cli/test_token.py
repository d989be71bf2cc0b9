"""`paceline token`: what it prints, what it keeps, and its line in the audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli.main import app
from paceline.core.folders import state_folder
from paceline.server.auth.authority import Authority
from paceline.server.auth.meter import month_of
from paceline.server.auth.tokens import TOKEN_PATTERN


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("PACELINE_HOME", str(folder))
    return folder


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["token", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_create_list_revoke(home: Path) -> None:
    assert "no tokens" in run("list").stdout
    created = run("create", "ada", "--tier", "free", "--concurrent", "3", "--expires-days", "2")
    token = created.stdout.strip()
    assert TOKEN_PATTERN.fullmatch(
        token
    )  # alone on its stream: `TOKEN=$(paceline token create ada)`
    assert "only time" in created.stderr
    with Authority.open(home) as authority:
        caller = authority.authenticate(token)
        assert (caller.user_id, caller.scopes) == ("ada", {"complete", "events"})
        record = authority.store.records()[0]
        authority.store.add_usage({(caller.token_id, month_of(record.created_s)): 1234})
    shown = json.loads(run("list", "--json").stdout)
    assert shown[0]["quotas"] == {
        "requests_per_minute": 240, "max_concurrent": 3, "tokens_per_month": 5_000_000,
    }  # fmt: skip
    assert (shown[0]["state"], shown[0]["tokens_this_month"]) == ("active", 1234)
    table = run("list").stdout
    for word in (
        "ada",
        "complete events",
        "free",
        "1,234 of 5,000,000",
        token[-4:],
        caller.token_id,
    ):
        assert word in table
    assert token not in table + json.dumps(shown)
    assert "revoked" in run("revoke", caller.token_id).stdout
    assert json.loads(run("list", "--json").stdout)[0]["state"] == "revoked"
    lines = [json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["token_create", "token_revoke"]
    assert lines[0]["user"] == "ada" and lines[0]["tier"] == "free"
    assert token[11:] not in (home / "audit.jsonl").read_text()


def test_json_of_a_new_token(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    made = json.loads(
        run("create", "root", "--scope", "admin", "--json", "--state", str(folder)).stdout
    )
    assert made["scopes"] == ["admin"]
    assert TOKEN_PATTERN.fullmatch(made["token"])
    assert json.loads(run("list", "--json", "--state", str(folder)).stdout)[0]["user"] == "root"
    assert run("list", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "a b"), "user name"),
        (("create", "ada", "--tier", "gold"), "--tier 'gold' is none of unlimited, team, free"),
        (("create", "ada", "--scope", "root"), "--scope 'root' is none of"),
        (("revoke", "00000000"), "paceline token list"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments, code=2)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_used(home: Path) -> None:
    home.write_text("a file")
    assert "token file cannot be used" in run("create", "ada", code=6).stderr


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"PACELINE_HOME": "/p"}, "/p"),
        ("linux", {"XDG_STATE_HOME": "/x"}, "/x/paceline"),
        ("linux", {}, "/h/.local/state/paceline"),
        ("darwin", {}, "/h/Library/Application Support/paceline"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/paceline"),
    ],
)
def test_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("PACELINE_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (variables | {"HOME": "/h"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert state_folder() == Path(expected)
