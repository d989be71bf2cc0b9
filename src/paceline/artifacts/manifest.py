"""The manifest that every artifact carries: what made it, from what, and the hash of each file.

An artifact is a folder. It is written under another name and renamed when it is whole, so a folder
with the final name is always complete; `manifest.json` inside it lists every other file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from paceline import __version__
from paceline.core.errors import ArtifactError

MANIFEST_NAME = "manifest.json"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an artifact."""

    name: str
    num_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Lineage of one artifact."""

    kind: str
    """corpus, tokenizer, checkpoint, eval-report."""
    schema_version: int = 1
    paceline_version: str = __version__
    git_sha: str = ""
    created_at_s: int = 0
    config: dict[str, Any] = {}
    """The resolved configuration of the run."""
    parents: dict[str, str] = {}
    """Role of each input artifact, and the sha256 of its manifest."""
    stats: dict[str, Any] = {}
    files: tuple[FileEntry, ...] = ()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_git_sha() -> str:
    """The commit of the source tree Paceline runs from, with `-dirty`; empty for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return ""
    run = ["git", "-C", str(root)]
    try:
        sha = subprocess.run(
            [*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            [*run, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return sha.stdout.strip() + ("-dirty" if dirty.stdout.strip() else "")


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` into `folder`, listing and hashing every file that is in it."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
    entries = tuple(
        FileEntry(
            name=path.relative_to(folder).as_posix(),
            num_bytes=path.stat().st_size,
            sha256=sha256_of(path),
        )
        for path in paths
    )
    sealed = msgspec.structs.replace(
        manifest, files=entries, git_sha=current_git_sha(), created_at_s=int(time.time())
    )
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=1))
    return sealed


@contextlib.contextmanager
def atomic_folder(final: Path) -> Generator[Path, None, None]:
    """Yield a scratch folder beside `final`; rename it to `final` if the block succeeds.

    An existing `final` is replaced only after the new one is whole. On any error the scratch folder
    is removed and `final` is as it was.
    """
    scratch = final.with_name(f"{final.name}.{os.getpid()}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        old = final.with_name(f"{final.name}.{os.getpid()}.old.partial")
        if final.exists():
            final.rename(old)
        scratch.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_manifest(
    folder: Path, kind: str, *, error: type[ArtifactError] = ArtifactError
) -> Manifest:
    """Read and check the kind of an artifact's manifest.

    Raises:
        ArtifactError (or `error`): the folder has no manifest, or one of another kind or form.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise error(f"{folder} has no {MANIFEST_NAME}: it is no complete {kind}; build it again.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.MsgspecError, OSError) as cause:
        raise error(f"{path} cannot be read ({cause}); build the {kind} again.") from cause
    if manifest.kind != kind:
        raise error(f"{folder} holds a {manifest.kind}, not a {kind}.")
    return manifest


def verify_files(
    folder: Path,
    manifest: Manifest,
    *,
    is_hashed: bool = False,
    error: type[ArtifactError] = ArtifactError,
) -> None:
    """Check that every listed file is there with its size and, if `is_hashed`, its SHA-256.

    Raises:
        ArtifactError (or `error`): names the first file that is missing, truncated or changed.
    """
    for entry in manifest.files:
        path = folder / entry.name
        if not path.is_file():
            raise error(f"{path} is missing; build or copy the {manifest.kind} again.")
        size = path.stat().st_size
        if size != entry.num_bytes:
            raise error(
                f"{path} has {size} bytes instead of {entry.num_bytes}: it is truncated or changed; "
                f"build or copy the {manifest.kind} again."
            )
        if is_hashed and sha256_of(path) != entry.sha256:
            raise error(
                f"{path} does not match its SHA-256; build or copy the {manifest.kind} again."
            )
