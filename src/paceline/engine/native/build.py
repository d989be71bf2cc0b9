"""Compile the C++ sources of this folder for this processor, once; the result lies in the user's cache.

The library's folder is named by a hash of everything that decides its content: sources, flags,
compiler and processor. So a home directory may be shared between machines, and nothing ever needs
to be cleaned or rebuilt by hand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from paceline.engine.native.errors import NativeUnavailableError

SOURCE_FOLDER = Path(__file__).parent
FLAGS = (
    "-O3",
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-pthread",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-w",
)
"""No -ffast-math and no contraction: the order of float operations is part of the design."""
COMPILE_TIMEOUT_S = 300


def build_library(target: str | None = None, cache_folder: Path | None = None) -> Path:
    """Return the shared library's path, compiling it if no earlier call has.

    Processes that build at the same time do not disturb each other.

    Args:
        target: value for -march; None means this processor.
        cache_folder: where libraries are kept; None means the user's cache folder.

    Raises:
        NativeUnavailableError: there is no C++ compiler, or it fails.
    """
    compiler = find_compiler()
    flags = (*FLAGS, f"-march={target}" if target else _native_flag())
    key = _key(compiler, flags)
    for folder in (cache_folder or _user_cache(), Path(tempfile.gettempdir()) / _temporary_name()):
        library = folder / key / "libpaceline.so"
        if library.is_file() and _is_ours(library):
            return library
        try:
            library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _is_ours(library.parent) and os.access(library.parent, os.W_OK):
                return _compile(compiler, flags, library)
        except OSError:
            continue  # read-only or full: the next folder
    raise NativeUnavailableError(
        f"No folder can be written to keep the compiled engine, neither {_user_cache()} nor the temporary one; set XDG_CACHE_HOME."
    )


def find_compiler() -> list[str]:
    """The command of a C++ compiler: $CXX, c++, g++, clang++, or the ziglang package's.

    Raises:
        NativeUnavailableError: there is none.
    """
    chosen = os.environ.get("CXX", "").split()
    if chosen and shutil.which(chosen[0]):
        return chosen
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return [path]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    raise NativeUnavailableError(
        "No C++ compiler was found for the native engine; install g++ or clang++, or `pip install ziglang`, or set CXX."
    )


def _compile(compiler: list[str], flags: tuple[str, ...], library: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=library.parent, suffix=".so.part")
    os.close(handle)
    fresh = Path(name)
    try:
        sources = sorted(str(path) for path in SOURCE_FOLDER.glob("*.cpp"))
        command = [*compiler, *flags, *sources, "-o", str(fresh)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as cause:
            raise NativeUnavailableError(
                f"The C++ compiler {compiler[0]} could not be run ({cause}); install another or set CXX."
            ) from cause
        if done.returncode != 0:
            first = next(
                (line for line in done.stderr.splitlines() if "error" in line), "no message"
            )
            raise NativeUnavailableError(
                f"The C++ compiler {compiler[0]} failed on the native engine ({first.strip()}); install g++ 10 or clang 12 or newer, or set CXX."
            )
        fresh.chmod(0o700)
        return fresh.replace(library)
    finally:
        fresh.unlink(missing_ok=True)


def _key(compiler: list[str], flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCE_FOLDER.iterdir()):
        if path.suffix in (".cpp", ".h"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for part in (*compiler, _version(compiler), *flags, _processor()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _version(compiler: list[str]) -> str:
    try:
        return subprocess.run(
            [*compiler, "--version"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].strip() in wanted}))


def _native_flag() -> str:
    return "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"


def _user_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "paceline" / "native"


def _temporary_name() -> str:
    return f"paceline-native-{os.getuid()}"


def _is_ours(path: Path) -> bool:
    """Code is loaded only if no other user could have put it there."""
    return path.stat().st_uid == os.getuid()
