"""`paceline upstream` without a server: what its options become, how it fails, and what it never imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli import wiring
from paceline.cli.doors import Doors
from paceline.cli.main import app
from paceline.cli.wiring import Served
from paceline.complete.config import CompleteConfig
from paceline.generate.remote.setup import UpstreamConfig
from paceline.server import run

runner = CliRunner()
NOBODY = "http://127.0.0.1:9"
"""The port of the discard service, which nobody runs."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command would serve: (config, brain). Nobody is asked and no signal touched."""
    calls: list[Any] = []

    @contextmanager
    def open_upstream_app(
        config: UpstreamConfig, doors: Doors, *, brain: CompleteConfig
    ) -> Generator[tuple[None, Served]]:
        calls.append((config, brain))
        yield None, Served(("m",), "vLLM 1 at http://127.0.0.1:8000")

    monkeypatch.setattr(wiring, "open_upstream_app", open_upstream_app)
    monkeypatch.setattr(run, "serve", lambda app, listener, tls: None)  # type: ignore[misc]
    monkeypatch.setattr(run, "stop_cleanly_on_signals", lambda: None)
    return calls


def test_defaults(opened: list[Any]) -> None:
    result = runner.invoke(app, ["upstream", NOBODY, "--port", "0"])
    assert result.exit_code == 0, result.output
    assert opened == [(UpstreamConfig(url=NOBODY), CompleteConfig())]
    assert "Paceline serves m on http://127.0.0.1:" in result.stdout
    assert "with vLLM 1 at http://127.0.0.1:8000" in result.stdout


def test_each_option_arrives(opened: list[Any]) -> None:
    options = ["--kind", "llama.cpp", "--model", "m", "--template", "qwen", "--fim", "infill"]
    options += ["--context-tokens", "2048", "--max-running", "3", "--show-threshold", "0"]
    result = runner.invoke(app, ["upstream", NOBODY, "--port", "0", *options])
    assert result.exit_code == 0, result.output
    ((config, brain),) = opened
    assert config == UpstreamConfig(
        url=NOBODY, kind="llama.cpp", model="m", template="qwen", fim="infill",
        context_tokens=2048, max_running=3,
    )  # fmt: skip
    assert brain.show_threshold == 0.0


def test_it_needs_no_torch_and_a_dead_upstream_ends_it_with_a_sentence() -> None:
    """Everything that serves is imported before the upstream is asked."""
    code = "import sys; sys.modules['torch'] = None; from paceline.cli.main import main; main()"
    command = [sys.executable, "-c", code, "upstream", NOBODY, "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 7, result.stderr
    assert result.stderr == (
        f"Error: The upstream server at {NOBODY} does not answer; start it, or check the address.\n"
    )
    assert result.stdout == ""
