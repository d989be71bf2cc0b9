"""Reads the few files beside the open ones: regular, small, text, below the workspace, and only when they changed."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from pathlib import Path

import msgspec

MAX_KNOWN_FILES = 512
MAX_LISTED_ENTRIES = 2_000
"""Of one folder; what a larger one has more is not looked at."""

Stamp = tuple[int, int]


class FileText(msgspec.Struct, frozen=True):
    """What came of one file: text, or why there is none."""

    text: str = ""
    reason: str = ""


class _Known(msgspec.Struct):
    stamp: Stamp
    result: FileText


class FileStore:
    """Texts of files by path, as of their last change."""

    def __init__(self, *, max_file_bytes: int, max_reads: int) -> None:
        self._files: OrderedDict[str, _Known] = OrderedDict()
        self._folders: OrderedDict[str, tuple[int, list[str]]] = OrderedDict()
        self._max_file_bytes, self._max_reads = max_file_bytes, max_reads
        self._num_left = max_reads

    def start_call(self, *, is_unlimited: bool = False) -> None:
        """So many files may be read from now on."""
        self._num_left = 1 << 30 if is_unlimited else self._max_reads

    def read(self, path: str) -> FileText:
        """The text of a file. Whether it may be read at all is the caller's to ask."""
        stamp = _stamp(path)
        if stamp is None:
            return FileText(reason="missing")
        if stamp[1] > self._max_file_bytes:
            return FileText(reason="too_large")
        known = self._files.get(path)
        if known is None or known.stamp != stamp:
            if self._num_left < 1:
                return FileText(reason="waiting")
            self._num_left -= 1
            known = self._files[path] = _Known(stamp, _read(path, self._max_file_bytes))
            if len(self._files) > MAX_KNOWN_FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return known.result

    def is_file(self, path: str) -> bool:
        """Is there a regular file, itself and no link?"""
        return _stamp(path) is not None

    def list_folder(self, path: str) -> list[str]:
        """Names of the regular files in a folder, in order; none if it cannot be read."""
        try:
            changed_ns = Path(path).stat().st_mtime_ns
            known = self._folders.get(path)
            if known is None or known[0] != changed_ns:
                known = self._folders[path] = (changed_ns, _names(path))
                if len(self._folders) > MAX_KNOWN_FILES:
                    self._folders.popitem(last=False)
        except (OSError, ValueError):
            return []
        return known[1]


def _names(path: str) -> list[str]:
    names: list[str] = []
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_LISTED_ENTRIES:
                break
            if entry.is_file(follow_symlinks=False):
                names.append(entry.name)
    return sorted(names)


def _stamp(path: str) -> Stamp | None:
    """Time of the last change and size of a regular file; a link is none, wherever it leads."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _read(path: str, max_bytes: int) -> FileText:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(max_bytes + 1)
    except (OSError, ValueError):
        return FileText(reason="missing")
    if len(raw) > max_bytes:
        return FileText(reason="too_large")
    if b"\0" in raw:
        return FileText(reason="binary")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return FileText(reason="binary")
    return FileText(text.replace("\r\n", "\n"))
