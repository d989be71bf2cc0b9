"""The 8-bit product against its slow twin, other instruction sets, and building the library."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.engine.config import EngineConfig
from paceline.engine.executors import open_executor
from paceline.engine.native.build import build_library, find_compiler
from paceline.engine.native.errors import NativeUnavailableError
from paceline.engine.native.library import linear, load_library, open_library, slow_linear
from paceline.engine.threads import most_threads
from tests.engine.native_models import in_steps, relative_error, runner_of
from tests.engine.tiny import prompt, tiny_model

TARGETS = ("x86-64-v3", "x86-64") if platform.machine() == "x86_64" else ()
"""AVX2, and plain C++."""


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 140),
    st.integers(1, 200),
    st.integers(1, 20),
    st.sampled_from([None, *TARGETS]),
    st.floats(1e-20, 1e10),
)
def test_products_equal_the_slow_twin(
    n: int, k: int, rows: int, target: str | None, scale: float
) -> None:
    generator = torch.Generator().manual_seed(n * 1000 + k)
    weight_NK = torch.randn(n, k, generator=generator)
    x_RK = torch.randn(rows, k, generator=generator) * scale
    out_RN, bytes_RK = linear(load_library(target), weight_NK, x_RK)
    wanted_RN, wanted_bytes_RK = slow_linear(weight_NK, x_RK)
    assert torch.equal(bytes_RK, wanted_bytes_RK)
    assert torch.allclose(out_RN.double(), wanted_RN, rtol=1e-5, atol=1e-5 * scale)


def test_a_weight_half_way_between_two_bytes_rounds_as_in_the_slow_twin() -> None:
    # Row 5 of this matrix holds a weight that is -22.5 of its scale once 127 / largest is rounded to float32.
    weight_NK = torch.randn(20, 192, generator=torch.Generator().manual_seed(20192))
    out_RN, _ = linear(load_library(), weight_NK, torch.eye(192))
    assert torch.allclose(out_RN.double(), slow_linear(weight_NK, torch.eye(192))[0], atol=1e-5)


def test_zero_rows_and_zero_weights_give_zero() -> None:
    library = load_library()
    assert not linear(library, torch.randn(5, 70), torch.zeros(2, 70))[0].any()
    assert not linear(library, torch.zeros(5, 70), torch.randn(2, 70))[0].any()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["qwen3", "starcoder2", "odd"])
def test_other_instruction_sets_agree(name: str, target: str) -> None:
    ids = [i % 131 for i in prompt(70)]
    here_TV = in_steps(runner_of(name), ids, [33])
    there = runner_of(name, 1, target)
    there_TV = in_steps(there, ids, [33])
    assert relative_error(there_TV, here_TV) < 0.01
    assert torch.equal(in_steps(there, ids, [1] * 70), there_TV)


def test_the_library_is_compiled_once() -> None:
    path = build_library()
    stamp = path.stat().st_mtime_ns
    assert build_library() == path
    assert path.stat().st_mtime_ns == stamp
    assert open_library(path).pl_target() in (b"avx512-vnni", b"avx2", b"generic")


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, and $CXX that stands for a compiler: it writes its last argument."""
    text = 'for last; do :; done\n[ "$last" = --version ] || echo library > "$last"\n'
    monkeypatch.setenv("CXX", script(tmp_path / "copying", text))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return tmp_path / "cache"


def take_compilers_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # pyright: ignore


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    take_compilers_away(monkeypatch)
    with pytest.raises(NativeUnavailableError, match=r"install g\+\+"):
        find_compiler()


def test_without_a_compiler_a_kept_library_is_used(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    path = build_library(cache_folder=cache)
    take_compilers_away(monkeypatch)
    assert build_library(cache_folder=cache) == path
    with pytest.raises(NativeUnavailableError, match="No C\\+\\+ compiler"):
        build_library("other-flags", cache_folder=cache)
    path.write_bytes(b"")
    with pytest.raises(NativeUnavailableError, match="No C\\+\\+ compiler"):
        build_library(cache_folder=cache)


@pytest.mark.parametrize("damage", [b"", b"lib", b"garbage of some length"])
def test_a_damaged_library_is_not_loaded_but_built_again(cache: Path, damage: bytes) -> None:
    path = build_library(cache_folder=cache)
    path.write_bytes(damage)
    with pytest.raises(NativeUnavailableError, match="damaged"):
        open_library(path)
    assert build_library(cache_folder=cache) == path
    assert path.read_text() == "library\n"


def test_a_library_without_a_hash_is_built_again(cache: Path) -> None:
    path = build_library(cache_folder=cache)
    bare = path.rename(path.with_name("libpaceline.so"))
    assert build_library(cache_folder=cache) == path
    assert path.read_bytes() == bare.read_bytes()


def test_a_truncated_real_library_is_an_error_and_no_crash(tmp_path: Path) -> None:
    real = build_library()
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    copy = folder / real.name
    copy.write_bytes(real.read_bytes()[:70_000])
    copy.chmod(0o700)
    with pytest.raises(NativeUnavailableError, match="damaged"):
        open_library(copy)


def test_compiling_is_announced_where_a_terminal_shows_it(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_library(cache_folder=cache)
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING  # what is shown before logging is configured
    assert record.name == "paceline.engine" and "Compiling" in record.getMessage()
    build_library(cache_folder=cache)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'vec.h:1: error: no' >&2; echo note >&2; exit 1", r"status 1: vec\.h:1: error: no;"),
        ("echo start >&2; echo 'No space left' >&2; exit 4", "status 4: No space left; install"),
        ("exit 3", "status 3 and printed nothing; install g"),
    ],
)
def test_a_failing_compiler_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, does: str, said: str
) -> None:
    compiler = script(tmp_path / "broken", f'[ "$1" = --version ] && exit 0\n{does}\n')
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(NativeUnavailableError, match=said):
        build_library(cache_folder=cache)
    assert not list(tmp_path.rglob("*.so*"))


def test_an_unwritable_cache_falls_back_to_the_temporary_folder(
    tmp_path: Path, cache: Path
) -> None:
    cache.touch()
    path = build_library(cache_folder=cache)
    assert path.is_relative_to(tmp_path / "temporary")
    assert path.read_text() == "library\n"
    assert [folder.stat().st_mode & 0o777 for folder in path.parents[:2]] == [0o700, 0o700]
    assert build_library(cache_folder=cache) == path
    with pytest.raises(NativeUnavailableError, match="cannot be loaded"):
        open_library(path)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("how", ["writable", "link"])
def test_a_folder_that_others_could_fill_is_not_used(cache: Path, level: int, how: str) -> None:
    path = build_library(cache_folder=cache)
    folder = path.parents[level]
    if how == "writable":
        folder.chmod(0o777)
    else:
        folder.rename(folder.with_name("elsewhere"))
        folder.symlink_to(folder.with_name("elsewhere"))
    with pytest.raises(NativeUnavailableError, match="only you can write"):
        open_library(path)
    assert not build_library(cache_folder=cache).is_relative_to(cache)


def test_a_file_that_others_could_write_is_not_used(cache: Path) -> None:
    path = build_library(cache_folder=cache)
    path.chmod(0o777)
    with pytest.raises(NativeUnavailableError, match="another user"):
        open_library(path)
    assert build_library(cache_folder=cache).stat().st_mode & 0o777 == 0o700


def test_folders_of_another_user_are_refused(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    build_library(cache_folder=cache)
    stranger = os.getuid() + 1
    monkeypatch.setattr("os.getuid", lambda: stranger)
    with pytest.raises(NativeUnavailableError, match=r"only you can write.*XDG_CACHE_HOME"):
        build_library(cache_folder=cache)


def test_libraries_that_are_loaded_together_stay_apart() -> None:
    paths = [build_library(target) for target in (None, *TARGETS)]
    found = [open_library(path).pl_target() for path in (*paths, *paths)]
    assert found[: len(paths)] == found[len(paths) :]
    if TARGETS:
        assert found[1:3] == [b"avx2", b"generic"]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() in path.name for path in paths)


def test_more_threads_than_cores_are_lowered_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = torch.get_num_threads()
    try:
        for count in (most_threads(), most_threads() + 97):
            config = EngineConfig(executor="torch", dtype="float32", num_threads=count)
            executor = open_executor(tiny_model(), config)
            assert executor.num_threads == most_threads()
    finally:
        torch.set_num_threads(before)
    (message,) = caplog.messages
    assert f"{most_threads() + 97} threads" in message and f"using {most_threads()}" in message


@pytest.mark.parametrize(
    ("config", "fix"),
    [
        (EngineConfig(executor="cuda"), "use --executor auto"),
        (EngineConfig(device="cuda"), "set engine.device to auto"),
    ],
)
def test_cuda_without_a_device_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, config: EngineConfig, fix: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"no CUDA device here; {fix}"):
        open_executor(tiny_model(), config)


def test_a_library_that_computes_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "paceline.engine.native.library.slow_linear",
        lambda weight_NK, x_RK: (
            torch.zeros(len(x_RK), len(weight_NK)).double(),
            slow_linear(weight_NK, x_RK)[1],
        ),
    )
    with pytest.raises(NativeUnavailableError, match="wrong products"):
        open_library(build_library())


def test_a_fork_is_refused_instead_of_hanging() -> None:
    code = """
import os, torch
from tests.engine.native_models import runner_of
from paceline.engine.step import Rows
runner = runner_of("qwen3", 2)
runner.warm_up()
child = os.fork()
if child == 0:
    try:
        runner.warm_up()
    except ValueError as error:
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
