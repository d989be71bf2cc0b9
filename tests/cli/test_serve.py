"""`paceline serve` without a model: what its options become, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from paceline.cli import wiring
from paceline.cli.doors import DoorOptions, Doors, open_doors
from paceline.cli.main import app
from paceline.cli.serve import parse_adapters
from paceline.cli.wiring import Served, engine_config
from paceline.complete.config import CompleteConfig
from paceline.core.errors import ConfigError, StorageError
from paceline.engine.config import EngineConfig
from paceline.server import run
from paceline.server.config import ServerConfig
from paceline.server.doors import install_doors

runner = CliRunner()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command would serve: (model, config, adapters, brain). Nothing is loaded and no signal touched."""
    calls: list[Any] = []

    @contextmanager
    def open_app(
        model: str | None,
        doors: Doors,
        *,
        config: EngineConfig,
        brain: CompleteConfig,
        adapters: Mapping[str, Path],
    ) -> Generator[tuple[None, Served]]:
        calls.append((model, config, dict(adapters), brain))
        yield None, Served(("m", *(f"m:{name}" for name in adapters)), "native int8, 1 thread")

    monkeypatch.setattr(wiring, "open_app", open_app)
    monkeypatch.setattr(run, "serve", lambda app, listener, tls: None)  # type: ignore[misc]
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
    served = FastAPI()
    install_doors(served, ServerConfig(), None)
    try:
        with run.bind("127.0.0.1", 0) as listener:
            run.serve(served, listener)
    finally:
        sys.setswitchinterval(before)
    assert seen == [pytest.approx(run.SWITCH_INTERVAL_S)]


def test_doors_as_the_options_say(tmp_path: Path) -> None:
    options = DoorOptions(
        "127.0.0.1", 0, ["box.example"], ["https://a.example"], state=tmp_path / "state"
    )
    with open_doors(options) as doors:
        assert doors.address == f"http://127.0.0.1:{doors.listener.getsockname()[1]}"
        assert (doors.authority, doors.tls) == (None, None)
        assert doors.config.allowed_hosts == ("box.example",)
        assert doors.config.allowed_origins == ("https://a.example",)
        assert (tmp_path / "state" / "events").is_dir()


def test_two_servers_of_one_user_keep_their_events_apart(tmp_path: Path) -> None:
    options = DoorOptions("127.0.0.1", 0, state=tmp_path)
    with open_doors(options) as one, open_doors(options) as two:
        assert one.store is not None and two.store is not None
    assert {path.name for path in tmp_path.iterdir()} == {"events", "events-2"}


def test_an_address_that_others_reach_demands_a_token(tmp_path: Path) -> None:
    options = DoorOptions("0.0.0.0", 0, state=tmp_path)
    with pytest.raises(ConfigError, match="paceline token create"), open_doors(options):
        pass
    created = runner.invoke(app, ["token", "create", "ada", "--state", str(tmp_path)])
    assert created.exit_code == 0
    with open_doors(options) as doors:
        assert doors.authority is not None
        assert doors.address == f"http://localhost:{doors.listener.getsockname()[1]}"
    with open_doors(options._replace(allow_host=["code.example"])) as doors:
        assert doors.address == f"http://code.example:{doors.listener.getsockname()[1]}"


def test_a_state_folder_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    with (
        pytest.raises(StorageError),
        open_doors(DoorOptions("127.0.0.1", 0, state=file / "state")),
    ):
        pass
    monkeypatch.setenv("PACELINE_HOME", str(file / "state"))
    with open_doors(DoorOptions("127.0.0.1", 0)) as doors:
        assert doors.store is None
    assert "is not kept" in capsys.readouterr().err


def test_half_of_the_tls_options_is_refused(tmp_path: Path) -> None:
    options = DoorOptions("127.0.0.1", 0, tls_cert=tmp_path / "cert.pem")
    with pytest.raises(ConfigError, match="go together"), open_doors(options):
        pass
