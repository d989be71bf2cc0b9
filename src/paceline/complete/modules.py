"""Does an import resolve? Asked of a workspace's folders; `None` wherever a name may come from elsewhere."""

from __future__ import annotations

import posixpath
import re
import sys
from functools import lru_cache

from paceline.complete.folders import Folders
from paceline.hygiene.paths import PathRules

MAX_MANIFEST_BYTES = 1_000_000

PYTHON_ROOTS = ("", "src", "lib", "python")
"""Folders below a workspace's root from which packages are imported, beside those above the document."""

ENVIRONMENTS = (".venv", "venv", "env", ".env")
"""Names of virtual environments."""

SCRIPT_ENDINGS = (".js", ".jsx", ".mjs", ".cjs")
"""TypeScript is imported by the name of the script that will be made of it."""

_NODE_BUILTINS = """
assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events fs
http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream
string_decoder sys test timers tls trace_events tty url util v8 vm wasi worker_threads zlib
"""
NODE_BUILTINS = frozenset(_NODE_BUILTINS.split())
"""Source: Node.js documentation, `module.builtinModules` of version 22."""

_NONE: frozenset[str] = frozenset()
_REQUIREMENT = re.compile(
    r"[\"'\s]*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@]|[\"',]|$)"
)


class Modules:
    """Imports of the documents of one workspace."""

    def __init__(self, root: str, rules: PathRules) -> None:
        self.folders = Folders(root)
        self.root = self.folders.root
        self._rules = rules

    def has(self, family: str, name: str, path: str) -> bool | None:
        """Does the import `name` of the document at `path` resolve? None if that cannot be known.

        Args:
            name: as it is written; `self::x` for Rust's `mod x;`, `./x.h` for C's `#include "x.h"`.
        """
        folder, file = posixpath.split(path)
        if family == "python":
            return self._python(name, folder)
        if family == "javascript":
            return self._script(name, folder)
        if family == "rust" and name.startswith("self::"):
            return self._rust(folder, file, name.removeprefix("self::"))
        if family == "c" and name.startswith("."):
            return (
                self._in(posixpath.join(folder, posixpath.dirname(name)), posixpath.basename(name))
                or None
            )
        return None

    def _rust(self, folder: str, file: str, name: str) -> bool | None:
        """Beside the document if it heads its folder or a crate, else in the folder of the document's name."""
        beside, below = (
            self._in(folder, name),
            self._in(f"{folder}/{file.rpartition('.')[0]}", name),
        )
        return True if below else beside

    def _python(self, name: str, folder: str) -> bool | None:
        parts = name.lstrip(".").split(".") if name.strip(".") else []
        if name.startswith("."):
            for _ in range(len(name) - len(name.lstrip(".")) - 1):
                folder = posixpath.dirname(folder)
            return self._below(folder, parts)
        if builtin_module("python", name):
            return True
        for base in self._import_roots(folder):
            if self._in(base, parts[0]):
                return self._below(base, parts)
        installed = self._installed()
        if installed is None:
            return True if _plain(parts[0]) in self._declared() else None
        return parts[0] in installed or _plain(parts[0]) in self._declared()

    def _import_roots(self, folder: str) -> list[str]:
        bases = [posixpath.join(self.root, name).rstrip("/") for name in PYTHON_ROOTS]
        while folder.startswith(self.root) and folder not in bases:
            bases.append(folder)
            folder = posixpath.dirname(folder)
        return bases

    def _below(self, folder: str, parts: list[str]) -> bool | None:
        """Is there a package path `parts` below `folder`? As soon as one part is unknown, all is."""
        for part in parts[:-1]:
            found = self._in(folder, part)
            if not found:
                return found
            folder = posixpath.join(folder, part)
            if not self.folders.is_folder(folder):
                return None
        if not parts:
            return True if self.folders.is_folder(folder) else None
        return self._in(folder, parts[-1])

    def _in(self, folder: str, stem: str) -> bool | None:
        """Is there a file or folder `stem`, with any ending? None if the folder is unknown, or if such a file is
        generated: git ignores it, or its name says so."""
        names = self.folders.names(folder)
        if names is None:
            return None
        if stem in names or any(name.startswith(stem + ".") for name in names):
            return True
        if stem.startswith(("_", "$", "+")) or stem.endswith(
            ("_pb2", "_pb2_grpc", ".generated", ".gen")
        ):
            return None
        for ending in (".py", ".ts", ".js", ".rs", "/x"):
            if self._rules.reason_against(posixpath.join(folder, stem + ending), self.root):
                return None
        return False

    def _script(self, name: str, folder: str) -> bool | None:
        name = re.split(r"[?#!]", name, maxsplit=1)[0] if name.startswith(".") else name
        if name.startswith(("./", "../")) or name in (".", ".."):
            path = posixpath.normpath(posixpath.join(folder, name))
            if self.folders.is_folder(path):
                return True
            parent, base = posixpath.split(path)
            found = self._in(parent, base)
            if found is False and base.endswith(SCRIPT_ENDINGS):
                return self._in(parent, base.rpartition(".")[0])
            return found
        return (
            True if builtin_module("javascript", name) or self._has_package(name, folder) else None
        )

    def _has_package(self, name: str, folder: str) -> bool:
        package = "/".join(name.split("/")[: 2 if name.startswith("@") else 1])
        while folder.startswith(self.root):
            manifest = self.folders.text(f"{folder}/package.json", MAX_MANIFEST_BYTES)
            if f'"{package}"' in manifest or self.folders.is_folder(
                f"{folder}/node_modules/{package}"
            ):
                return True
            if folder == posixpath.dirname(folder):
                break
            folder = posixpath.dirname(folder)
        return False

    def _installed(self) -> frozenset[str] | None:
        """Top-level modules of the workspace's virtual environment; None without one."""
        for name in ENVIRONMENTS:
            lib = f"{self.root}/{name}/lib"
            versions = self.folders.names(lib) or frozenset()
            for folder in (f"{lib}/{version}/site-packages" for version in versions):
                found = self.folders.names(folder)
                if found is not None:
                    return _stems(found)
            found = self.folders.names(f"{self.root}/{name}/Lib/site-packages")
            if found is not None:
                return _stems(found)
        return None

    def _declared(self) -> frozenset[str]:
        """Names in the workspace's lists of dependencies, in normal form."""
        names = self.folders.names(self.root) or frozenset()
        files = [
            name
            for name in ("pyproject.toml", "setup.cfg", "setup.py", "Pipfile", "environment.yml")
            if name in names
        ]
        files += [
            name
            for name in names
            if name.startswith("requirements") and name.endswith((".txt", ".in"))
        ]
        return _NONE.union(
            *(
                _requirements(self.folders.text(f"{self.root}/{name}", MAX_MANIFEST_BYTES))
                for name in files
            )
        )


def builtin_module(family: str, name: str) -> bool | None:
    """True if the language itself brings `name`; else None."""
    if family == "python":
        return True if name.split(".")[0] in sys.stdlib_module_names else None
    if family == "javascript":
        return True if name.startswith("node:") or name.split("/")[0] in NODE_BUILTINS else None
    return None


@lru_cache(maxsize=64)
def _stems(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in names)


@lru_cache(maxsize=64)
def _requirements(text: str) -> frozenset[str]:
    """Everything in a list of dependencies that may be a package: more is better than less here."""
    found = (
        _REQUIREMENT.match(piece)
        for line in text.split("\n")
        for piece in re.split(r"[\[,(]", line)
    )
    return frozenset(_plain(match[1]) for match in found if match)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()
