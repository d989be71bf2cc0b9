"""Fetch pinned wheels with pip, which knows the user's index, proxy and certificates.

pip checks each file against the SHA-256 of the recipe; nothing of a package is ever executed,
because wheels are only unpacked. Files that are already in the folder with the right hash are kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from paceline.artifacts.manifest import sha256_of
from paceline.core.errors import DownloadError

PIP_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--implementation=py",
    "--abi=none",
    "--platform=any",
    "--python-version=3.13",
    "--require-hashes",
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
)


class PinnedWheel(Protocol):
    """What a recipe must say about a wheel."""

    @property
    def name(self) -> str:
        """Of the package."""
        ...

    @property
    def version(self) -> str:
        """Of the package."""
        ...

    @property
    def artifact(self) -> str:
        """File name of the wheel."""
        ...

    @property
    def sha256(self) -> str:
        """Of the file."""
        ...


def fetch_wheel(package: PinnedWheel, folder: Path) -> Path:
    """Return the path of the package's wheel in `folder`, downloading it if needed.

    Raises:
        DownloadError: it cannot be had, or its hash is not the recipe's.
    """
    path = folder / package.artifact
    if path.is_file() and sha256_of(path) == package.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch.", suffix=".partial") as scratch:
        _run_pip(package, Path(scratch))
        fetched = Path(scratch) / package.artifact
        if not fetched.is_file():
            raise DownloadError(
                f"pip fetched no file {package.artifact} for {package.name} {package.version}; "
                "the recipe's artifact name is wrong."
            )
        fetched.replace(path)
    return path


def _run_pip(package: PinnedWheel, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS]
    run = subprocess.run(
        [*command, "-d", str(folder), "-r", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return
    what = f"{package.name} {package.version}"
    if "DO NOT MATCH THE HASHES" in run.stderr:
        raise DownloadError(
            f"{what} does not match the SHA-256 in the recipe; the file was changed at its source."
        )
    if "No module named pip" in run.stderr:
        raise DownloadError(f"pip is missing beside {sys.executable}; install it and try again.")
    if "Retrying (" in run.stderr:
        raise DownloadError(
            f"The package index cannot be reached, so {what} was not fetched; check the network (or "
            "pip's index settings) and run the same command again: finished downloads are kept."
        )
    if "from versions: none" in run.stderr:
        raise DownloadError(
            f"The package index shows no file of {what}: it cannot be reached or does not have it; check "
            "the network and pip's index settings, then run the same command again."
        )
    last = next((line for line in reversed(run.stderr.splitlines()) if "ERROR" in line), "")
    raise DownloadError(f"pip could not download {what}: {last.removeprefix('ERROR: ')[:300]}")
