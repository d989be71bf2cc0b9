"""tree-sitter grammars, loaded on first use and kept. The only file that knows their packages."""

from __future__ import annotations

import importlib
from functools import cache

import tree_sitter

from paceline.syntax.languages import Language

_PACKAGES = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "javascriptreact": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "typescriptreact": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
}


def grammar(language: Language) -> tree_sitter.Language | None:
    """The grammar of `language`; None if it has none, or its package is not installed."""
    return _load(*_PACKAGES[language.name]) if language.name in _PACKAGES else None


@cache
def _load(package: str, function: str) -> tree_sitter.Language | None:
    try:
        capsule: object = getattr(importlib.import_module(package), function)()
        return tree_sitter.Language(capsule)
    except (ImportError, AttributeError, ValueError):  # not installed, or of another ABI
        return None
