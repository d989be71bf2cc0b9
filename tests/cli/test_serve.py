"""`paceline serve` without a model: what its options become, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli import wiring
from paceline.cli.main import app
from paceline.cli.serve import parse_adapters
from paceline.cli.wiring import Served, engine_config
from paceline.complete.config import CompleteConfig
from paceline.core.errors import ConfigError
from paceline.engine.config import EngineConfig
from paceline.server import run

runner = CliRunner()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command would serve: (model, config, adapters, brain). Nothing is loaded and no signal touched."""
    calls: list[Any] = []

    @contextmanager
    def open_app(
        model: str | None,
        *,
        config: EngineConfig,
        brain: CompleteConfig,
        adapters: Mapping[str, Path],
    ) -> Generator[tuple[None, Served]]:
        calls.append((model, config, dict(adapters), brain))
        yield None, Served(("m", *(f"m:{name}" for name in adapters)), "native int8, 1 thread")

    monkeypatch.setattr(wiring, "open_app", open_app)
    monkeypatch.setattr(run, "serve", lambda app, listener: None)  # type: ignore[misc]
    monkeypatch.setattr(run, "stop_cleanly_on_signals", lambda: None)
    return calls


def test_defaults_are_the_engine_s(opened: list[Any]) -> None:
    result = runner.invoke(app, ["serve", "--port", "0"])
    assert result.exit_code == 0
    assert opened == [(None, EngineConfig(), {}, CompleteConfig())]
    assert result.stdout.startswith("Paceline serves m on http://127.0.0.1:")
    assert "with native int8, 1 thread" in result.stdout
    assert result.stdout.count("\n") == 1


def test_each_option_arrives(opened: list[Any]) -> None:
    options = ["--threads", "3", "--kv-cache-mb", "64", "--executor", "torch", "--no-speculation"]
    options += ["--adapter", "a=x/y", "--adapter", "b=z=1", "--model", "m"]
    result = runner.invoke(app, ["serve", "--port", "0", *options])
    assert result.exit_code == 0
    ((model, config, adapters, _),) = opened
    assert (model, adapters) == ("m", {"a": Path("x/y"), "b": Path("z=1")})
    assert (config.num_threads, config.kv_cache_bytes, config.executor) == (3, 64 * 2**20, "torch")
    assert not config.speculation.is_enabled
    assert "serves m, m:a, m:b on" in result.stdout


def test_the_brain_s_options_arrive(opened: list[Any]) -> None:
    options = ["--multi-line-threshold", "0.9", "--show-threshold", "0", "--trace-code"]
    options += ["--ignore", "*.sql", "--ignore", "docs/"]
    assert runner.invoke(app, ["serve", "--port", "0", *options]).exit_code == 0
    ((*_, brain),) = opened
    assert (brain.multi_line_threshold, brain.show_threshold) == (0.9, 0.0)
    assert (brain.is_code_in_traces, brain.ignored_globs) == (True, ("*.sql", "docs/"))


@pytest.mark.parametrize(
    "option",
    [
        "--show-threshold=2",
        "--threads=0",
        "--kv-cache-mb=0",
        "--executor=gpu",
        "--adapter",
        "--threads=x",
    ],
)
def test_values_out_of_range_are_usage_errors(opened: list[Any], option: str) -> None:
    assert runner.invoke(app, ["serve", "--port", "0", option]).exit_code == 2
    assert opened == []


@pytest.mark.parametrize("option", ["", "x", "=f", "a=", "a b=f", "../a=f", "a:b=f", "-a=f"])
def test_what_is_no_adapter(opened: list[Any], option: str) -> None:
    with pytest.raises(ConfigError, match="NAME=FOLDER"):
        parse_adapters([option])
    result = runner.invoke(app, ["serve", "--port", "0", f"--adapter={option}"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    with pytest.raises(ConfigError, match="twice"):
        parse_adapters(["a=x", "a=y"])


def test_settings_left_out_are_the_engine_s() -> None:
    config = engine_config(num_threads=None, kv_cache_mb=None, executor="auto", is_speculating=True)
    assert config == EngineConfig()


def test_serving_hands_the_lock_over_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def note(server: object, sockets: object) -> None:
        seen.append(sys.getswitchinterval())

    seen: list[float] = []
    monkeypatch.setattr(run.uvicorn.Server, "run", note)
    before = sys.getswitchinterval()
    try:
        with run.bind("127.0.0.1", 0) as listener:
            run.serve(None, listener)  # type: ignore[arg-type]
    finally:
        sys.setswitchinterval(before)
    assert seen == [pytest.approx(run.SWITCH_INTERVAL_S)]
