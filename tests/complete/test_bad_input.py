"""Documents that no one should open, and answers that no model should give: judged or declined, never an exception."""

from __future__ import annotations

import json

import pytest

from paceline.complete.ending import certain_end
from paceline.complete.modes import MODES
from paceline.complete.postprocess import postprocess
from paceline.complete.scene import Scene
from paceline.core.types import Candidate, Cursor, Document, Drop

FUNCTION = 'def area(width, height):\n    """Area."""\n    return width * height\n\n\n'
NOTEBOOK = json.dumps(
    {"cells": [{"cell_type": "code", "source": ["import os\n", "def area(w, h):\n", "    "], "outputs": []}]},
    indent=1,
)  # fmt: skip

DOCUMENTS: dict[str, tuple[str, str, str]] = {
    "empty": ("", "", "a.py"),
    "one_line_of_1_mb": ("x = [" + "1, " * 350_000, "]\n" + FUNCTION, "a.py"),
    "one_line_of_1_mb_behind": (FUNCTION + "x = ", "1, " * 350_000, "a.js"),
    "brackets_1_mb": ("(" * 500_000, ")" * 500_000, "a.js"),
    "quotes_1_mb": ('"' * 999_999, "'" * 10, "a.py"),
    "letters_1_mb": ("a" * 1_000_000, "b" * 1_000_000, "a.rs"),
    "mixed_line_ends": ("def f(a):\r\n    x = a\r    y = a\n\r\n    ", "\r\nprint(f(1))\r", "a.py"),
    "tabs_and_spaces": ("def f(a):\n\tif a:\n        \tx = 1\n    \t", "\n  \treturn a\n", "a.py"),
    "right_to_left": ("שלום = 1  # \u202eabc\u202c\nprint(", ")\n# مرحبا\n", "a.py"),
    "emoji": ("# 👩‍👩‍👧‍👦🇩🇪\nname = '👍🏽", "👍🏽'\n", "a.py"),
    "half_of_a_pair_before": ("name = '\ud83d", "'\n", "a.py"),
    "within_a_pair": ("name = '\ud83d", "\ude00'\n", "a.js"),
    "lone_halves": ("\udfff\ud800 = \udc80\nx = ", "\ud800\n", "a.go"),
    "odd_line_ends": ("a = 1\u2028b = 2\x85c = 3\x0cd = ", "\x0b\u2029e = 5\n", "a.py"),
    "zero_bytes": ("\0\0x = \0", "\0\n\0", "a.c"),
    "binary": (bytes(range(256)).decode("latin-1") * 20, bytes(range(255, 0, -1)).decode("latin-1"), "a.cpp"),
    "no_text_at_all": ("\ufeff\ufffd\ufffe", "\uffff", "a.py"),
    "unknown_language": ("KALK 5 ZU (", ")\nENDE\n", "a.klingon"),
    "no_ending": ("#!/bin/sh\nif [ -f ", " ]; then\nfi\n", "script"),
    "notebook": (NOTEBOOK[: NOTEBOOK.index("    ") + 40], NOTEBOOK[NOTEBOOK.index("    ") + 40 :], "a.ipynb"),
    "does_not_parse": ("def f(:\n  class (\n    if x ==== ]]\n    ", "\n }} else } (\n", "a.py"),
    "unclosed_string": ('x = """never\n' * 3 + "y = ", "\n'''", "a.py"),
    "deep_indentation": ("".join(" " * i + "if a:\n" for i in range(300)) + " " * 300, "\n", "a.py"),
    "deep_nesting": ("f(" * 5_000, ")" * 5_000, "a.ts"),
    "only_white_space": (" \t" * 2_000 + "\n" * 2_000, "\n \t" * 2_000, "a.java"),
}  # fmt: skip

ANSWERS = [
    "",
    "\n",
    "x + 1)\n    return x\n\n\ndef g():\n    pass",
    "\r\n\treturn '\ud83d\r",
    "\ude00 = \ufffd\0\x1b[31m",
    "}" * 2_000 + "\n)]" * 500,
    "a " * 20_000,
    "\n".join("    " * (i % 7) + "if x:" for i in range(500)),
    "<|fim_middle|>```python\n\u202ereturn 1\n```",
]


def scene_of(prefix: str, suffix: str, path: str, mode: str = "single_line") -> Scene:
    cursor = Cursor(document=Document(path=path, text=prefix + suffix), offset=len(prefix))
    return Scene(cursor, mode, rejected=("x + 1", "\udc00"))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_fact_of_an_odd_document_can_be_asked(name: str) -> None:
    scene = scene_of(*DOCUMENTS[name])
    assert scene.place.blocks[-1] == "module"
    assert "\n" not in scene.line_before + scene.line_after
    assert all(line.strip() for line in scene.following_lines)
    if scene.tree is not None:
        assert scene.tree.num_errors >= 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_odd_document_never_breaks_a_rule(name: str) -> None:
    asked = scene_of(*DOCUMENTS[name])
    for number, text in enumerate(ANSWERS):
        judge(asked.with_mode(MODES[number % len(MODES)]), text)


@pytest.mark.parametrize("mode", MODES)
def test_an_odd_answer_never_breaks_a_rule(mode: str) -> None:
    for text in ANSWERS:
        judge(scene_of(FUNCTION + "def twice(value):\n    ", "\n\n" + FUNCTION, "a.py", mode), text)
        judge(scene_of("function f(a) {\n  g(", ");\n}\n", "a.js", mode), text)


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_buffer_of_5_mb(where: float) -> None:
    text = FUNCTION * (5_000_000 // len(FUNCTION))
    at = text.find("\n", int(len(text) * where) - 1) + 1 or len(text)
    scene = scene_of(text[:at], text[at:], "a.py", "multi_line")
    judge(scene, "def volume(width, height, depth):\n    return area(width, height) * depth\n")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_end_that_is_certain_stays_where_it_is(name: str) -> None:
    for mode in MODES:
        asked = scene_of(*DOCUMENTS[name]).with_mode(mode)
        for text in ANSWERS[2:5]:
            end = certain_end(text[: len(text) // 2], asked)
            assert end is None or certain_end(text, asked) == end


def judge(scene: Scene, text: str) -> None:
    """Judge a text; the outcome must be one that a client can be given."""
    result = postprocess(Candidate(text=text), scene).result
    if isinstance(result, Drop):
        assert result.reason
        return
    assert result.text.strip()
    assert 0 <= result.num_replaced_chars <= len(scene.line_after)
