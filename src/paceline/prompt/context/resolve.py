"""From the name of a module, as an import writes it, to the files that it may be, most likely first.

Paths only; nothing is read. A name that leads out of the project (a package that is installed) simply
matches no file. Relative names start at the importing file's folder, others at the project's roots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath

ROOTS = ("", "src/", "lib/", "src/main/java/", "src/test/java/", "app/")
"""Folders below the workspace that module names start from."""
SCRIPT_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js", ".d.ts", ".vue")
SCRIPTS = frozenset(("javascript", "javascriptreact", "typescript", "typescriptreact"))
MAX_NAME_CHARS = 200


def candidate_files(module: str, language: str, folder: str) -> Iterator[str]:
    """Paths below the workspace that `module` may be.

    Args:
        folder: of the importing file, below the workspace; empty for the workspace itself.
    """
    module = module.strip().strip("\"'<>;")
    if not module or len(module) > MAX_NAME_CHARS or "\0" in module:
        return
    for path in _candidates(module, language, folder):
        whole = normpath(path)
        if not whole.startswith(("../", "/")) and whole not in (".", ".."):
            yield whole


def _candidates(module: str, language: str, folder: str) -> Iterator[str]:
    if language == "python":
        yield from _python(module, folder)
    elif language in SCRIPTS:
        yield from _script(module, folder)
    elif language in ("c", "cpp"):
        yield from (f"{start}{module}" for start in (_below(folder), *ROOTS, "include/"))
    elif language == "rust":
        yield from _rust(module, folder)
    elif language in ("java", "kotlin", "scala"):
        ending = {"java": ".java", "kotlin": ".kt", "scala": ".scala"}[language]
        yield from (f"{root}{module.replace('.', '/')}{ending}" for root in ROOTS)


def _python(module: str, folder: str) -> Iterator[str]:
    """`..a.b` counts from the folder's parent; `a.b` from a root, or from the folder for scripts."""
    name = module.lstrip(".")
    num_dots = len(module) - len(name)
    path = name.replace(".", "/")
    starts = [_below(folder) + "../" * (num_dots - 1)] if num_dots else [*ROOTS, _below(folder)]
    for start in starts:
        if path:
            yield f"{start}{path}.py"
        yield f"{start}{path}/__init__.py"


def _script(module: str, folder: str) -> Iterator[str]:
    """Only relative names are files of the project; `@/a` and `~/a` are the usual names of its root."""
    if module.startswith("."):
        starts = [_below(folder) + module]
    elif module.startswith(("@/", "~/")):
        starts = [root + module[2:] for root in ("src/", "", "app/")]
    else:
        return
    for start in starts:
        if re.search(r"\.(?:[mc]?[jt]sx?|vue)$", start):
            yield start
            yield re.sub(r"\.js(x?)$", r".ts\1", start)
        for ending in SCRIPT_ENDINGS:
            yield start + ending


def _rust(module: str, folder: str) -> Iterator[str]:
    """`crate::a::b` and `super::a`; the last part may be an item of the module before it."""
    parts = module.split("::")
    if parts[0] == "crate":
        starts = ["src/", folder.split("src/")[0] + "src/" if "src/" in folder + "/" else "src/"]
    elif parts[0] == "super":
        starts = [_below(folder), _below(folder) + "../"]
    elif parts[0] == "self":
        starts = [_below(folder)]
    else:
        return
    names = parts[1:]
    for start in starts:
        for end in (len(names), len(names) - 1):
            if end > 0:
                path = "/".join(names[:end])
                yield f"{start}{path}.rs"
                yield f"{start}{path}/mod.rs"


def candidate_folders(module: str) -> Iterator[str]:
    """Folders below the workspace that a Go package may be: its path without the repository's own."""
    parts = [part for part in module.split("/") if part not in ("", ".", "..")]
    if "\0" not in module and len(module) <= MAX_NAME_CHARS:
        yield from ("/".join(parts[start:]) for start in range(1, len(parts)))


def _below(folder: str) -> str:
    return f"{folder}/" if folder else ""
