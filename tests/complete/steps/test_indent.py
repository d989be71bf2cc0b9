"""Indentation: what a document uses, and which lines are put where."""

from __future__ import annotations

import pytest

from paceline.complete.scene import Scene
from paceline.complete.steps.indent import mend_indent
from paceline.complete.steps.indent_style import (
    IndentStyle,
    cut_doubled_space,
    indent_style,
    mend_tabs,
)
from paceline.complete.steps.types import Step
from paceline.core.types import Candidate, Cursor, Document


def scene_at(marked: str, path: str = "a.py") -> Scene:
    prefix, _, suffix = marked.partition("|")
    document = Document(path=path, text=prefix + suffix)
    return Scene(Cursor(document=document, offset=len(prefix)), "block_body")


@pytest.mark.parametrize(
    ("marked", "style"),
    [
        ("def f():\n    a\n    |", IndentStyle(unit=4)),
        ("def f():\n  |", IndentStyle(unit=2)),
        ("def f():\n\ta\n|", IndentStyle(is_tabs=True)),
        ("def f():\n\ta\ndef g():\n    b\n|", IndentStyle(is_mixed=True)),
        ("a\nb\n|", IndentStyle()),
        ("|\ndef f():\n   x\n", IndentStyle(unit=3)),
        ("/*\n * note\n */\nint x;\n|", IndentStyle()),
    ],
)
def test_style(marked: str, style: IndentStyle) -> None:
    assert indent_style(scene_at(marked)) == style


CASES: list[tuple[Step, str, str, str]] = [
    # A space off.
    (mend_indent, "def f():\n    |", "a = 1\n   return a", "a = 1\n    return a"),
    (mend_indent, "def f():\n    if a:|", "\n       b\n    c", "\n        b\n    c"),
    # No deeper than the header.
    (mend_indent, "def f():|\n", "\nreturn x", "\n    return x"),
    (mend_indent, "def f():\n|", "return x\n", "    return x\n"),
    (mend_indent, "def f(a,\n      b):\n|", "return x", "    return x"),
    (mend_indent, "def f():\n    |", "if a:\n    return x", "if a:\n        return x"),
    # Two spaces where the document has four.
    (mend_indent, "def f():\n    |", "if a:\n      b\n    c", "if a:\n        b\n    c"),
    # Left alone: what is right, what continues a statement, what stands in a string, what is not sure.
    (mend_indent, "def f():\n    |", "a = g(\n         b)", "a = g(\n         b)"),
    (mend_indent, "def f():\n    |", "a = '''\n   b'''", "a = '''\n   b'''"),
    (mend_indent, "def f():\n    |", "if a:  # why\n        b", "if a:  # why\n        b"),
    (mend_indent, "def f():\n    |", "if a:\n    b\n    c", "if a:\n    b\n    c"),
    (mend_indent, "x = 1\n|", "y = 2\nz = 3", "y = 2\nz = 3"),
    (mend_indent, "class A:\n    def f(self):\n        pass\n\n|", "    def g", "    def g"),
    # Tabs and spaces.
    (mend_tabs, "def f():\n\ta\n\t|", "if a:\n        b\n    c", "if a:\n\t\tb\n\tc"),
    (mend_tabs, "def f():\n    a\n    |", "if a:\n\t\tb\n\tc", "if a:\n        b\n    c"),
    (mend_tabs, "def f():\n    a\n    |", "'''\n\tb'''", "'''\n\tb'''"),
    # White space that is there.
    (cut_doubled_space, "x = |", " 1", "1"),
    (cut_doubled_space, "x =|", " 1", " 1"),
    (cut_doubled_space, "x = 1 |", " # one", " # one"),
    (cut_doubled_space, "def f():\n    a()\n    |", "    b()", "b()"),
    (cut_doubled_space, "def f():\n    if a:\n    |", "    b()", "    b()"),
    (cut_doubled_space, "x = f(\n    a,\n    |", "  b)", "  b)"),
    (cut_doubled_space, "x = 'a |'", " b", " b"),
]


@pytest.mark.parametrize(("step", "marked", "text", "expected"), CASES)
def test_lines_are_put_where_they_belong(step: Step, marked: str, text: str, expected: str) -> None:
    scene = scene_at(marked)
    result = step(Candidate(text=text), scene)
    assert isinstance(result, Candidate)
    assert result.text == expected
    assert step(result, scene) == result


def test_braces() -> None:
    scene = scene_at("function f() {\n  |\n}", "a.js")
    text = "if (a) {\n   b();\n  }\n  c();"
    result = mend_indent(Candidate(text=text), scene)
    assert isinstance(result, Candidate)
    assert result.text == "if (a) {\n    b();\n  }\n  c();"
