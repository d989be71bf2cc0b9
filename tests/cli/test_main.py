"""The command line without a model: help, versions, bad arguments, one sentence for each failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline import __version__
from paceline.artifacts import registry
from paceline.cli.complete import cursor_at
from paceline.cli.main import COMMANDS, app
from paceline.core.errors import DocumentError, InputError
from tests.artifacts.test_registry import write_model

runner = CliRunner()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty root, and no other."""
    root = tmp_path / "models"
    root.mkdir()
    monkeypatch.setattr(registry, "model_roots", lambda: (root,))
    return root


def run_isolated(code: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | env,
    )


def test_help_groups_the_commands() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for word in ("serve", "complete", "models", "Complete code", "Make a model"):
        assert word in result.output


@pytest.mark.parametrize("name", ["serve", "complete"])
def test_each_help_has_an_example(name: str) -> None:
    result = runner.invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"paceline {name}" in result.output


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output == f"paceline {__version__}\n"


def test_unknown_command() -> None:
    assert runner.invoke(app, ["surve"]).exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from paceline.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'fastapi', 'uvicorn', 'tokenizers', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for args in (["--help"], ["serve", "--help"], ["models", "list"]):
        result = run_isolated(code, *args)
        assert result.returncode == 0, result.stderr


def test_a_missing_extra_is_one_sentence() -> None:
    code = "import sys\nsys.modules['uvicorn'] = None\nfrom paceline.cli.main import main\nmain()"
    result = run_isolated(code, "serve")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "pip install -e '.[serve]'" in result.stderr


def test_every_line_of_the_table_has_its_module_or_is_skipped() -> None:
    assert len({line.name for line in COMMANDS}) == len(COMMANDS)
    assert all(line.module.startswith("paceline.cli.") for line in COMMANDS)


def test_models_list(models: Path) -> None:
    assert "paceline train" in runner.invoke(app, ["models", "list"]).output
    folder = write_model(models, "m")
    result = runner.invoke(app, ["models", "list"])
    assert result.exit_code == 0
    assert "ok" in result.output
    (folder / "model.safetensors").write_bytes(b"")
    assert "damaged" in runner.invoke(app, ["models", "list"]).output
    (entry,) = json.loads(runner.invoke(app, ["models", "list", "--json"]).output)
    assert entry["model_id"] == "m"
    assert "truncated" in entry["problem"]


def test_cursor_at_splits_from_the_right(tmp_path: Path) -> None:
    for name in ("a.py", "C:odd:1:name.py", "a b.py"):
        path = tmp_path / name
        path.write_text("ab\ncd\n")
        cursor = cursor_at(f"{path}:2:3")
        assert (cursor.prefix, cursor.suffix) == ("ab\ncd", "\n")


@pytest.mark.parametrize(
    "place",
    ["", "a.py", "a.py:1", "a.py:x:1", ":1:1", "a.py:1:-1", "a.py:¹:1", f"a.py:{'9' * 5000}:1"],
)
def test_what_is_no_place(place: str) -> None:
    with pytest.raises(InputError, match="FILE:LINE:COL"):
        cursor_at(place)


def test_bad_places_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("ab\n")
    binary = tmp_path / "b.bin"
    binary.write_bytes(b"\0\1")
    latin = tmp_path / "c.py"
    latin.write_bytes(b"\xe9")
    for place in (f"{path}:9:1", f"{path}:1:9", f"{path}:0:1", f"{binary}:1:1", f"{latin}:1:1",
                  f"{tmp_path}:1:1", f"{tmp_path}/none.py:1:1", "nonsense"):  # fmt: skip
        with pytest.raises((DocumentError, InputError)):
            cursor_at(place)
        result = runner.invoke(app, ["complete", place])
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


def test_unknown_model_and_no_model(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    result = runner.invoke(app, ["complete", f"{path}:1:1"])
    assert (result.exit_code, "paceline train" in result.stderr) == (3, True)
    result = runner.invoke(app, ["complete", f"{path}:1:1", "--model", "nope"])
    assert (result.exit_code, "Unknown model 'nope'" in result.stderr) == (2, True)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_DEBUG", "1")
    result = runner.invoke(app, ["complete", "nonsense"])
    assert isinstance(result.exception, InputError)


def test_an_unusable_folder_is_one_sentence(tmp_path: Path) -> None:
    """A file where a folder must be made stands for every way in which a disk can refuse."""
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "paceline.cli.main", "corpus", "build"]
    run = subprocess.run(
        [*command, "--out", str(tmp_path / "corpus"), "--downloads", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 6
    assert run.stderr.count("\n") == 1
    assert "Cannot use" in run.stderr
    assert "file" in run.stderr
