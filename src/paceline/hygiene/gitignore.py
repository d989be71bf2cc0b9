"""What git ignores in one folder: its nested `.gitignore` files and `.git/info/exclude`. Runs no git, writes nothing."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from pathlib import Path

from pathspec import GitIgnoreSpec

MAX_FILE_BYTES = 1_000_000
"""A longer `.gitignore` is not one; it is not read."""

MAX_KNOWN_FILES = 2_000
"""`.gitignore` files kept, present or missing; the least recently asked one goes first."""

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size in bytes."""


class GitIgnore:
    """The ignore rules below one folder, read when asked for and again when their files change.

    As git does, it follows no symbolic link named `.gitignore`, and nothing can be re-included below an ignored
    folder. Rules of folders above `root` and the user's global ones are not asked.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._known: OrderedDict[str, tuple[Stamp | None, GitIgnoreSpec | None]] = OrderedDict()

    def is_ignored(self, relative_path: str) -> bool:
        """Would git ignore the file at `relative_path` (parted by `/`, below the root)?"""
        parts = [part for part in relative_path.split("/") if part not in ("", ".")]
        specs: list[tuple[int, GitIgnoreSpec]] = []
        self._add_spec(specs, 0, f"{self.root}/.git/info/exclude")
        folder = self.root
        for depth in range(len(parts)):
            self._add_spec(specs, depth, f"{folder}/.gitignore")
            is_folder = depth + 1 < len(parts)
            if _verdict(specs, parts[: depth + 1], is_folder):
                return True
            folder = f"{folder}/{parts[depth]}"
        return False

    def _add_spec(self, specs: list[tuple[int, GitIgnoreSpec]], depth: int, path: str) -> None:
        spec = self._spec(path)
        if spec is not None:
            specs.append((depth, spec))

    def _spec(self, path: str) -> GitIgnoreSpec | None:
        stamp = _stamp(path)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, None if stamp is None else read_rules(path))
            self._known[path] = known
            if len(self._known) > MAX_KNOWN_FILES:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(path)
        return known[1]


def _verdict(specs: list[tuple[int, GitIgnoreSpec]], parts: list[str], is_folder: bool) -> bool:
    """What the deepest rule file that has an opinion says of one file or folder."""
    for depth, spec in reversed(specs):
        path = "/".join(parts[depth:]) + ("/" if is_folder else "")
        include = spec.check_file(path).include
        if include is not None:
            return include
    return False


def _stamp(path: str) -> Stamp | None:
    """When the regular file at `path` changed last; None if there is none, or only a link."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def read_rules(path: str) -> GitIgnoreSpec | None:
    """Read a file of ignore rules; lines that git could not read either are passed over. None if unreadable."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(raw) > MAX_FILE_BYTES:
        return None
    return compile_rules(raw.decode("utf-8-sig", errors="replace").splitlines())


def compile_rules(lines: list[str]) -> GitIgnoreSpec:
    """Rules from `lines` in gitignore's notation; broken lines are passed over."""
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines(line for line in lines if _is_rule(line))


def _is_rule(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
