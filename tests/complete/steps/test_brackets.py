"""What is read of brackets and quotes, and which closers count as duplicates."""

from __future__ import annotations

import pytest

from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import Closer, num_duplicates, open_at_cursor, read
from paceline.core.types import Candidate, Cursor, Document
from paceline.syntax.languages import language_named


def scene_at(marked: str, path: str = "a.py") -> Scene:
    prefix, _, suffix = marked.partition("|")
    document = Document(path=path, text=prefix + suffix)
    return Scene(Cursor(document=document, offset=len(prefix)))


@pytest.mark.parametrize(
    ("language", "text", "opened", "open_", "num_wrong"),
    [
        ("python", "f(a, [b", (), ("(", "["), 0),
        ("python", "a)", ("(",), (), 0),
        ("python", "a))", ("(",), (), 1),
        ("python", "'(' + \"[\" # {", (), (), 0),
        ("python", "a] + (b", ("[",), ("(",), 0),
        ("python", '"""it\'s (', (), ('"""',), 0),
        ("javascript", "/[(]/.test(x", (), ("(",), 0),
        ("javascript", "a / (b / c)", (), (), 0),
        ("javascript", "/* ( */ {", (), ("{",), 0),
        ("javascript", "// (\n[", (), ("[",), 0),
        ("rust", "x: &'a str) {", ("(",), ("{",), 0),
        ("go", "'(' + `[", (), ("`",), 0),
    ],
)
def test_read(
    language: str, text: str, opened: tuple[str, ...], open_: tuple[str, ...], num_wrong: int
) -> None:
    reading = read(text, language_named(language), opened)
    assert (reading.open, len(reading.wrong)) == (open_, num_wrong)


def test_only_closers_of_what_was_open_before_are_reported() -> None:
    reading = read("f(a)) + g[0]]", language_named("python"), ("[", "("))
    assert reading.closers == (Closer(4, ")"), Closer(12, "]"))
    assert reading.num_kept == 0


def test_what_is_open_at_the_cursor() -> None:
    assert open_at_cursor(scene_at('x = foo(["a|')) == ("(", "[", '"')
    assert open_at_cursor(scene_at("def f():\n    if a:\n        |")) == ()
    assert open_at_cursor(scene_at("fn f() {\n    g(|", "a.rs")) == ("{", "(")


@pytest.mark.parametrize(
    ("marked", "text", "count"),
    [
        ("foo(|)", "a)", 1),
        ("foo(|", "a)", 0),
        ("f(g(|)", "a))", 1),
        ("bar(|)", "x) + (y", 0),
        ('print("|")', 'hello")', 2),
        ('print("|)', 'hello")', 1),
        ("foo(\n    |\n)", "a,\n)", 1),
        ("foo(\n    |\ny = (1)", "a,\n)", 0),
        ("x = [f(|), g()]", "a)", 1),
    ],
)
def test_duplicates(marked: str, text: str, count: int) -> None:
    assert num_duplicates(Candidate(text=text), scene_at(marked))[0] == count
