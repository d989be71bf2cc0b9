"""Compile the C++ sources of this folder for this processor, once; the result lies in the user's cache.

A library's folder is named by a hash of what decides how it computes: sources, flags and processor.
Its file is named by the compiler and by a hash of its own bytes. So a home directory may be shared
between machines, a damaged file is noticed before it is loaded, a library is of use after its
compiler is gone, and nothing ever needs to be cleaned or rebuilt by hand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from paceline.engine.native.errors import NativeUnavailableError

_LOG = logging.getLogger("paceline.engine")

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

    Processes that build at the same time do not disturb each other. Without a compiler, a library
    that any compiler has made of these sources for this processor will do.

    Args:
        target: value for -march; None means this processor.
        cache_folder: where libraries are kept; None means the user's cache folder.

    Raises:
        NativeUnavailableError: there is no library and no C++ compiler, or it fails.
    """
    flags = (*FLAGS, f"-march={target}" if target else _native_flag())
    roots = (cache_folder or _user_cache(), Path(tempfile.gettempdir()) / _temporary_name())
    folders = [root / _hash(*_sources(), *flags, _processor()) for root in roots]
    try:
        compiler = find_compiler()
    except NativeUnavailableError:
        if library := _find(folders, "*"):
            return library
        raise
    maker = _hash(*compiler, _version(compiler))[:16]
    return _find(folders, maker) or _build(compiler, flags, folders, maker)


def open_verified(library: Path) -> int:
    """A file descriptor of a library that `build_library` returned; it reads the bytes that were compiled.

    Raises:
        OSError: the file is gone or damaged, or another user could have written it.
    """
    _must_be_ours(library.parent)
    handle = os.open(library, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not _is_ours(os.fstat(handle), stat.S_ISREG):
            raise OSError(f"{library} could have been written by another user")
        with open(handle, "rb", closefd=False) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != library.stem.split("-")[-1]:
                raise OSError(f"{library} is damaged")
    except BaseException:
        os.close(handle)
        raise
    return handle


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


def _find(folders: list[Path], maker: str) -> Path | None:
    for folder in folders:
        for library in sorted(folder.glob(f"libpaceline-{maker}-*.so")):
            try:
                os.close(open_verified(library))
            except OSError:
                continue  # damaged or not ours: as if it were not there
            return library
    return None


def _build(compiler: list[str], flags: tuple[str, ...], folders: list[Path], maker: str) -> Path:
    reasons: list[str] = []
    for folder in folders:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(exist_ok=True, mode=0o700)
            _must_be_ours(folder)
            return _compile(compiler, flags, folder, maker)
        except OSError as cause:  # read-only, full or not ours: the next folder
            reasons.append(str(cause))
    raise NativeUnavailableError(
        f"No folder can keep the compiled engine ({'; '.join(reasons)}); set XDG_CACHE_HOME to one of yours that nobody else can write."
    )


def _compile(compiler: list[str], flags: tuple[str, ...], folder: Path, maker: str) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, suffix=".so.part")
    os.close(handle)
    fresh = Path(name)
    try:
        _LOG.warning("Compiling the CPU executor for this processor, once, about 5 s ...")
        sources = sorted(str(path) for path in SOURCE_FOLDER.glob("*.cpp"))
        _run([*compiler, *flags, *sources, "-o", str(fresh)])
        fresh.chmod(0o700)
        digest = hashlib.sha256(fresh.read_bytes()).hexdigest()
        return fresh.replace(folder / f"libpaceline-{maker}-{digest}.so")
    finally:
        fresh.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise NativeUnavailableError(
            f"The C++ compiler {command[0]} could not be run ({cause}); install another or set CXX."
        ) from cause
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = next((line for line in lines if "error" in line), lines[-1] if lines else "")
    raise NativeUnavailableError(
        f"The C++ compiler {command[0]} failed on the native engine with exit status {done.returncode}"
        f"{': ' + said if said else ' and printed nothing'}; install g++ 10 or clang 12 or newer, or set CXX to one, "
        "or TMPDIR to a folder that it can write."
    )


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return digest.hexdigest()


def _sources() -> list[str | bytes]:
    """Names and contents, in turn."""
    paths = sorted(path for path in SOURCE_FOLDER.iterdir() if path.suffix in (".cpp", ".h"))
    return [part for path in paths for part in (path.name, path.read_bytes())]


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


def _must_be_ours(folder: Path) -> None:
    """Code is loaded only from where no other user could have put it: a library's folder and the one above.

    Raises:
        OSError: another user owns or can write one of them, or it is a link or not there.
    """
    for path in (folder.parent, folder):
        if not _is_ours(path.lstat(), stat.S_ISDIR):
            raise OSError(f"{path} is not a folder that only you can write")


def _is_ours(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return (
        is_kind(status.st_mode)
        and status.st_uid == os.getuid()
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
