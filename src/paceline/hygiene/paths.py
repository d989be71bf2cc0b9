"""May a file be read, shown to a model, or completed in? By its name, the user's globs, git and the workspace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from paceline.hygiene.file_names import is_binary_path, is_secret_path
from paceline.hygiene.gitignore import GitIgnore, compile_rules

Reason = Literal["", "secret_file", "ignored_glob", "git_ignored", "binary", "outside_workspace"]

MAX_KNOWN_ROOTS = 16
"""Workspaces whose `.gitignore` files are kept at once."""


class PathRules:
    """One answer for everything that reads files: prompt building, the project index, retrieval, the editor's document.

    Args:
        ignored_globs: the user's own, in gitignore's notation (`docs/**`, `*.sql`, `!keep.sql`).
    """

    def __init__(self, ignored_globs: Sequence[str] = ()) -> None:
        self._globs = compile_rules(list(ignored_globs)) if ignored_globs else None
        self._roots: dict[str, GitIgnore] = {}

    def reason_against(self, path: str, root: str = "") -> Reason:
        """Why the file at `path` must stay out; empty if it may be used. The file need not exist. Never raises.

        Without a root only names and globs are judged and no file system is asked. With one, a path that leads out of
        it, by `..` or by a symbolic link, is refused, and a link is judged by its own name and its target's.

        Args:
            path: absolute, or relative to the root; a `file://` address is understood.
            root: absolute folder of the workspace, or empty.
        """
        path = plain_path(path)
        if not root:
            return self._by_name(path)
        try:
            real_root = os.path.realpath(root)
            given = os.path.normpath(path if Path(path).is_absolute() else f"{root}/{path}")
            real = os.path.realpath(given)
        except (OSError, ValueError):
            return "outside_workspace"
        inside = _relative(real, real_root)
        shown = _relative(given, os.path.normpath(root)) or inside
        by_name = self._by_name(shown or path) or (self._by_name(inside) if inside != shown else "")
        if by_name:
            return by_name
        if not inside:
            return "outside_workspace"
        ignore = self._git_ignore(real_root)
        is_ignored = ignore.is_ignored(inside) or (shown != inside and ignore.is_ignored(shown))
        return "git_ignored" if is_ignored else ""

    def _by_name(self, path: str) -> Reason:
        if is_secret_path(path):
            return "secret_file"
        if self._globs is not None and path and self._globs.match_file(path.lstrip("/")):
            return "ignored_glob"
        return "binary" if is_binary_path(path) else ""

    def _git_ignore(self, root: str) -> GitIgnore:
        ignore = self._roots.get(root)
        if ignore is None:
            if len(self._roots) >= MAX_KNOWN_ROOTS:
                self._roots.pop(next(iter(self._roots)))
            ignore = self._roots[root] = GitIgnore(root)
        return ignore


def plain_path(path: str) -> str:
    """`path` without `file://`; other text is returned as it is."""
    if not path.startswith("file://"):
        return path
    try:
        return unquote(urlsplit(path).path)
    except ValueError:
        return path.removeprefix("file://")


def _relative(path: str, root: str) -> str:
    """`path` below `root`, parted by `/`; empty if it is not below it."""
    start = root if root.endswith(os.sep) else root + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else ""
