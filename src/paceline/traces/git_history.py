"""Changes of a local git repository, commit by commit, oldest first. Nothing is checked out.

Merges, renames, new and removed files, links and submodules are left out. The repository may be bare.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from paceline.artifacts.wheels import decode_source
from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.changes import MAX_FILE_BYTES, Change

FILE_MODES = frozenset({"100644", "100755"})
COMMIT_MARK = "\x01"


class HistoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which commits, and which of their files."""

    revisions: str = "HEAD"
    """As `git log` takes them: `main`, `v1.0..v2.0`."""
    max_commits: int = 200
    """The newest of them, merges not counted."""
    file_suffixes: tuple[str, ...] = (".py",)
    paths: tuple[str, ...] = ()
    """Only files that match one of these git pathspecs; empty: all."""

    def __post_init__(self) -> None:
        if self.max_commits < 1:
            raise ConfigError("max_commits must be at least 1.")
        if not self.file_suffixes:
            raise ConfigError("file_suffixes must name at least one ending, such as .py.")


class _Blobs(NamedTuple):
    """A file of a commit, by the names of its contents."""

    commit: str
    date: str
    path: str
    before: str
    after: str


def git_changes(repository: Path, config: HistoryConfig = HistoryConfig()) -> Iterator[Change]:
    """Yield the changed files of each commit, oldest commit first.

    Raises:
        ConfigError: git is missing, the folder is no repository, or the revisions do not exist.
    """
    found = list(_changed_blobs(repository, config))
    command = ["git", "-C", str(repository), "cat-file", "--batch"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for blobs in found:
            old, new = (
                _read_blob(name, process.stdin, process.stdout)
                for name in (blobs.before, blobs.after)
            )
            if old is not None and new is not None and old != new:
                yield Change(
                    document=Document(path=blobs.path, text=old),
                    after=new,
                    origin=f"git:{blobs.commit}",
                    date=blobs.date,
                )


def _changed_blobs(repository: Path, config: HistoryConfig) -> Iterator[_Blobs]:
    """Modified files of each commit."""
    log = _run_git(
        repository,
        "log",
        "--no-merges",
        "--reverse",
        f"--max-count={config.max_commits}",
        "--find-renames",
        "--diff-filter=M",
        "--raw",
        "--no-abbrev",
        "-z",
        f"--format={COMMIT_MARK}%H %cI",
        "--end-of-options",
        config.revisions,
        "--",
        *config.paths,
    )
    commit = date = ""
    fields = iter(log.split("\0"))
    for field in fields:
        header = field.lstrip("\n")
        if header.startswith(COMMIT_MARK):
            commit, _, date = header.removeprefix(COMMIT_MARK).strip().partition(" ")
        elif header.startswith(":"):
            old_mode, new_mode, before, after, _ = header.removeprefix(":").split(" ")
            path = next(fields, "")
            if {old_mode, new_mode} <= FILE_MODES and path.endswith(config.file_suffixes):
                yield _Blobs(commit, date, path, before, after)


def _run_git(repository: Path, *arguments: str) -> str:
    try:
        run = subprocess.run(
            ["git", "-C", str(repository), "-c", "log.showSignature=false", *arguments],
            capture_output=True,
            check=False,
        )
    except OSError as cause:
        raise ConfigError("git cannot be run; install it to replay a history.") from cause
    if run.returncode != 0:
        lines = run.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[0].removeprefix("fatal: ") if lines else f"exit status {run.returncode}"
        raise ConfigError(f"git cannot read the history of {repository}: {reason}.")
    return run.stdout.decode("utf-8", "replace")


def _read_blob(name: str, requests: IO[bytes], answers: IO[bytes]) -> str | None:
    """Its text with LF line ends; None if it is missing, too large or no text."""
    try:
        requests.write(name.encode() + b"\n")
        requests.flush()
    except BrokenPipeError:
        return None
    header = answers.readline().split()
    if len(header) != 3:
        return None
    num_bytes = int(header[2])
    raw = b""
    if num_bytes <= MAX_FILE_BYTES:
        raw = answers.read(num_bytes)
    else:
        _skip(answers, num_bytes)
    answers.read(1)
    return decode_source(raw) if num_bytes <= MAX_FILE_BYTES else None


def _skip(answers: IO[bytes], num_bytes: int) -> None:
    while num_bytes > 0:
        num_bytes -= len(answers.read(min(num_bytes, 1 << 20))) or num_bytes
