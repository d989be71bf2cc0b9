"""The 8-bit product against its slow twin, other instruction sets, and building the library."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.native.build import build_library, find_compiler
from paceline.engine.native.errors import NativeUnavailableError
from paceline.engine.native.library import linear, load_library, open_library, slow_linear
from tests.engine.native_models import in_steps, relative_error, runner_of
from tests.engine.tiny import prompt

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


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # pyright: ignore
    with pytest.raises(NativeUnavailableError, match=r"install g\+\+"):
        find_compiler()


def test_a_failing_compiler_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'vec.h:1: error: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(NativeUnavailableError, match=r"vec\.h:1: error: no"):
        build_library(cache_folder=tmp_path)
    assert not list(tmp_path.rglob("*.so*"))


def test_an_unwritable_cache_falls_back_to_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "copying"  # stands for a compiler: writes its last argument
    compiler.write_text(
        '#!/bin/sh\nfor last; do :; done\n[ "$last" = --version ] || echo library > "$last"\n'
    )
    compiler.chmod(0o755)
    (tmp_path / "file").touch()
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = build_library(cache_folder=tmp_path / "file")
    assert path.is_relative_to(tmp_path)
    assert path.read_text() == "library\n"
    with pytest.raises(NativeUnavailableError, match="cannot be loaded"):
        open_library(path)


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
