"""Which language a document is in: by name, by path, unknown ones."""

from __future__ import annotations

import pytest

from paceline.core.types import Document
from paceline.syntax.grammars import grammar
from paceline.syntax.languages import language_named, language_of

CASES = [
    ("", "src/a.py", "python"),
    ("", "C:\\src\\A.PY", "python"),
    ("", "a.pyi", "python"),
    ("", "a.tsx", "typescriptreact"),
    ("", "a.mjs", "javascript"),
    ("", "a.h", "c"),
    ("", "a.hpp", "cpp"),
    ("", "x/Makefile", "makefile"),
    ("", "Dockerfile.dev", "dockerfile"),
    ("", "CMakeLists.txt", "cmake"),
    ("", "file:///w/BUILD.bazel", "starlark"),
    ("", "a.ipynb", "jupyter"),
    ("python", "a.ipynb", "python"),
    ("Python", "", "python"),
    ("shellscript", "x", "shell"),
    ("cuda-cpp", "a.cu", "cpp"),
    ("", "a.frob", "frob"),
    ("Brainf", "", "brainf"),
    ("", "", "plaintext"),
    ("", "noending", "plaintext"),
    ("", "a.d.ts", "typescript"),
    ("", ".bashrc", "shell"),
    ("", "dir.py/", "python"),
]


@pytest.mark.parametrize(("said", "path", "name"), CASES)
def test_language_of(said: str, path: str, name: str) -> None:
    assert language_of(Document(path=path, text="", language=said)).name == name


def test_an_unknown_language_has_generic_rules() -> None:
    language = language_named("frob")
    assert not language.has_grammar
    assert language.is_code
    assert language.block_style == "braces"
    assert {"//", "#"} == set(language.line_comments)


def test_a_long_name_is_cut() -> None:
    assert len(language_named("x" * 10_000).name) == 40


@pytest.mark.parametrize(
    "name",
    "python javascript javascriptreact typescript typescriptreact java go rust c cpp".split(),  # noqa: SIM905
)
def test_grammars_load(name: str) -> None:
    language = language_named(name)
    assert language.has_grammar
    assert grammar(language) is not None


def test_no_grammar_where_none_is_said() -> None:
    assert grammar(language_named("kotlin")) is None
    assert not language_named("kotlin").has_grammar


def test_prose_and_data_are_not_code() -> None:
    assert not language_named("markdown").is_code
    assert not language_of(Document(path="a.json", text="")).is_code
