"""`paceline replay` from end to end, with a generator that knows the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli import wiring
from paceline.cli.main import app
from paceline.core.errors import UnknownModelError
from paceline.evals.replay.publish import load_report
from paceline.evals.replay.records import RESULTS_NAME
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.evals.replay.scripts import FILE, Oracle, always_right

OTHER = FILE.replace("circle", "disc").replace("square_area", "quad_area")


class Generator(Oracle):
    """Knows both files. Ends as if by Ctrl-C once `stop_at` is there."""

    stop_at = Path()

    def _chunks(self, parts: PromptParts, params: GenerateParams) -> list[TextChunk]:
        if self.stop_at.is_file():
            raise KeyboardInterrupt
        return super()._chunks(parts, params)


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """In place of every model but those that do not exist."""
    found = Generator([FILE, OTHER], always_right)

    @contextlib.contextmanager
    def open_generator(name: str | None) -> Iterator[Generator]:
        if name is not None:
            raise UnknownModelError(model_id=name, known=("fake",))
        yield found

    monkeypatch.setattr(wiring, "open_generator", open_generator)
    return found


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with two files."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "shapes.py").write_text(FILE)
    (folder / "discs.py").write_text(OTHER)
    return folder


def invoke(code: Path, *arguments: str) -> Result:
    out = str(code.parent / "out")
    return CliRunner().invoke(
        app, ["replay", "--files", str(code), "--keys", "40", "--out", out, *arguments]
    )


@pytest.mark.usefixtures("generator")
def test_files_from_end_to_end(code: Path) -> None:
    result = invoke(code, "--modes")
    assert result.exit_code == 0, result.output
    for word in ("baseline", "brain", "keystrokes spared", "report.html"):
        assert word in result.output
    report = load_report(code.parent / "out")
    assert report.config.source == "files of code"
    assert report.num_traces_by_project == {"code": 2}
    base = report.row("baseline")
    assert base is not None
    assert base.result.figures.spared_share is not None
    assert base.result.figures.spared_share > 0.5
    assert report.modes
    page = (code.parent / "out" / "report.html").read_text(encoding="utf-8")
    assert str(code.parent) not in page


def test_after_a_stop_the_same_command_goes_on(code: Path, generator: Generator) -> None:
    results = code.parent / "out" / RESULTS_NAME
    generator.stop_at = results
    stopped = invoke(code)
    assert stopped.exit_code == 130, stopped.output
    assert "goes on with the one under way" in stopped.output
    finished = results.read_bytes()
    assert finished.count(b"\n") == 1
    generator.stop_at = Path()
    result = invoke(code)
    assert result.exit_code == 0, result.output
    assert results.read_bytes().startswith(finished)
    assert "baseline:" not in result.output.split("brain:")[0], "the baseline is not typed again"


@pytest.mark.usefixtures("generator")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--user", "nobody"], "Unknown user 'nobody'"),
        (["--git", "."], "not both"),
        (["--model", "no-such"], "Unknown model 'no-such'"),
        (["--fit-gate", "gate.json"], "too few to fit a gate"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    code: Path, arguments: list[str], sentence: str
) -> None:
    result = invoke(code, *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("generator")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--recipe", "no-such"], "Unknown recipe 'no-such'"),
        (["--half", "both"], "it must be tune or report"),
        (["--fit-gate", "gate.json"], "add --half tune"),
        (["--git", "no-such-folder"], "git cannot read the history"),
        (["--files", "no-such-folder"], "no file or folder"),
    ],
)
def test_sources_that_do_not_exist(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["replay", *arguments])
    assert result.exit_code == 2, result.output
    assert sentence in result.output.replace("\n", " ")


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["replay", "--help"])
    assert result.exit_code == 0
    assert "paceline replay --half tune" in result.output
