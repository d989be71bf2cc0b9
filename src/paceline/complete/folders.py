"""Listings of a workspace's folders, kept until they change. Reads names, never files, and nothing outside the root."""

from __future__ import annotations

import os
from collections import OrderedDict
from itertools import islice
from pathlib import Path

MAX_FOLDERS = 512
"""Listings kept; the one not asked for longest goes first."""

MAX_ENTRIES = 20_000
"""A larger folder is not listed: what it lacks cannot be known."""


class Folders:
    """What stands in folders below one root."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._known: OrderedDict[str, tuple[int, frozenset[str]]] = OrderedDict()

    def names(self, folder: str) -> frozenset[str] | None:
        """Names of files and folders in `folder`; None if it is no folder, not below the root, or too large."""
        try:
            if not self.holds(folder):
                return None
            stamp = Path(folder).stat().st_mtime_ns
            known = self._known.get(folder)
            if known is None or known[0] != stamp:
                with os.scandir(folder) as entries:
                    names = [entry.name for entry in islice(entries, MAX_ENTRIES + 1)]
                known = self._known[folder] = (stamp, frozenset(names))
                if len(self._known) > MAX_FOLDERS:
                    self._known.popitem(last=False)
            self._known.move_to_end(folder)
        except (OSError, ValueError):
            return None
        return known[1] if len(known[1]) <= MAX_ENTRIES else None

    def holds(self, path: str) -> bool:
        """Is `path` the root or below it, links followed?"""
        real = os.path.realpath(path)
        return real == self.root or real.startswith(self.root.rstrip(os.sep) + os.sep)

    def is_folder(self, path: str) -> bool:
        """Is there a folder at `path`, below the root?"""
        try:
            return self.holds(path) and Path(path).is_dir()
        except (OSError, ValueError):
            return False

    def text(self, path: str, max_bytes: int) -> str:
        """The text of a small file below the root; empty if there is none."""
        try:
            if not self.holds(path) or Path(path).stat().st_size > max_bytes:
                return ""
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            return ""
