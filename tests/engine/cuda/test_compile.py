"""Kernels go through the real compiler, for a GPU that is not here; and the room opens without Triton."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paceline.core.errors import ConfigError
from paceline.engine.cuda.choose import load_operators

HAS_TRITON = importlib.util.find_spec("triton") is not None
SCRIPT = Path(__file__).with_name("compile_kernels.py")


def run_python(*arguments: str) -> str:
    """Run a fresh interpreter without TRITON_INTERPRET, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_every_launch_compiles_for_an_h100_without_spilling():
    lines = run_python(str(SCRIPT), "90").splitlines()
    assert {line.split()[0] for line in lines} == {
        "norm.add_norm_kernel",
        "rotation.rotate_and_store_kernel",
        "attention.attend_kernel",
        "attention.join_kernel",
        "activation.activate_kernel",
        "sampling.pick_kernel",
        "sampling.join_kernel",
    }
    for line in lines:
        assert "STACK:0 LOCAL:0" in line, f"registers are spilled: {line}"
        assert ("tensor cores:True" in line) == ("attend_kernel" in line), line


def test_the_runner_is_imported_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from paceline.engine.cuda import runner; from paceline.engine.cuda.choose import load_operators\n"
        "print(load_operators('auto', torch.device('cpu')).attend.__module__)"
    )
    assert run_python("-c", code).strip() == "paceline.engine.cuda.reference"


def test_asking_for_triton_where_it_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ConfigError, match="Triton is not installed"):
        load_operators("triton", torch.device("cpu"))


@pytest.mark.slow
def test_the_benchmark_runs_and_says_where_it_cannot():
    script = str(Path(__file__).parents[3] / "benchmarks" / "cuda_steps.py")
    if not torch.cuda.is_available():
        assert "nothing was measured" in run_python(script)
    shown = run_python(script, "--rehearse")
    assert "no figure below means anything" in shown
    assert "decode B=64" in shown
    assert "attention prefill" in shown
