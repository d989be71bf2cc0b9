"""Post-processing: what each step is for, and what holds for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.complete.ending import certain_end
from paceline.complete.lines import following_line, line_after, line_before
from paceline.complete.modes import MODES, Mode
from paceline.complete.postprocess import postprocess
from paceline.complete.scene import Scene
from paceline.complete.steps.types import Judged
from paceline.core.types import Candidate, Cursor, Document, Drop
from tests.complete.cursors import at

SINGLE_LINE = [
    ("x = |", "1 + 2", "1 + 2"),
    ("x = |", "1 + 2\ny = 3", "1 + 2"),
    ("x = |", "1  \r\ny = 3", "1"),
    # The line is finished, so the next one is what the user types next ...
    ("def f(x):|\n", "\n    return x\n    pass", "\n    return x"),
    ("x = f(1)|", "\ny = 2\nz = 3", "\ny = 2"),
    # ... but a new block has not been asked for, and a blank line is no line's end.
    ("    return x|", "\n\n\ndef g():", Drop("blank")),
    ("    |", "\n    y = 2", Drop("blank")),
    ("x = foo(|)", "1\n)", "1"),
    ("", " \n\t", Drop("blank")),
    ("x|", "", Drop("blank")),
    # The rest of the line is there already.
    ("foo(|)", "a, b)", "a, b"),
    ("def foo(|)", "a, b):", "a, b):"),  # takes the place of the `)`
    ('print("|")', 'hello")', "hello"),
    ('print(f"{|}")', 'name}")', "name"),
    ("f(g(|)", "a))", "a)"),
    ("total = | + tax", "net + tax", "net"),
    ("for x in |items:", "items:", Drop("repeats_suffix")),
    ("x = [|]", "]", Drop("repeats_suffix")),
    # These look like repeats and are not.
    ("bar(|)", "foo(x)", "foo(x)"),
    ("bar(|)", "x) + (y", "x) + (y"),
    ("x = |self", "self.a + ", "self.a + "),
    ("x = |n", "min", "min"),
    ("f(|, b)", "g(a, c)", "g(a, c)"),
    # The next line is there already.
    ("impo|\nimport os", "rt os", Drop("repeats_suffix")),
    ("    |\n\n    return x", "return x", Drop("repeats_suffix")),
    ("if a:|\n    return x", "\n    return x", Drop("repeats_suffix")),
    ("if a:|\n\n        return x", "\n    return x", "\n    return x"),
    ("return |\r\nreturn x\r\n", "x", Drop("repeats_suffix")),
    ("if a:\n    |\nreturn x", "return x", "return x"),
    ("x = 1|", "  ", Drop("blank")),
    ("x = 1|", "0  ", "0"),
]


@pytest.mark.parametrize(("marked", "raw", "expected"), SINGLE_LINE)
def test_single_line(marked: str, raw: str, expected: str | Drop) -> None:
    result = postprocess(Candidate(text=raw), Scene(at(marked), trigger="invoked")).result
    assert (result if isinstance(result, Drop) else result.text) == expected


BLOCKS: list[tuple[Mode, str, str, str, str | Drop]] = [
    ("block_body", "def f():|", "\n    a\n\n    b\n\ndef g():", "stop", "\n    a\n\n    b"),
    ("block_body", "def f():\n    |\n", "a = [\n        1,\n    ]\nb", "stop", "a = [\n        1,\n    ]"),
    ("block_body", "    x = |", "1\n    y = 2\nz = 3", "stop", "1\n    y = 2"),
    ("block_body", "def f():|", "\n\ta\n\tb\nc", "stop", "\n\ta\n\tb"),
    ("block_body", "def f():|", "\n    a\n    b = som", "length", "\n    a"),
    ("block_body", "x = |", "some_long", "length", "some_long"),
    ("block_body", "def f():\n    |\n    return x", "x = 1\n    return x", "stop", "x = 1"),
    ("multi_line", "|", "a = 1\nb = 2\n\n\nc = 3", "stop", "a = 1\nb = 2"),
    ("multi_line", "|", "a = 1\nb = 2\nc =", "deadline", "a = 1\nb = 2"),
    ("multi_line", "|\nc = 3", "a = 1\nc = 3\nd = 4", "stop", "a = 1"),
    ("multi_line", "|", "", "deadline", Drop("deadline")),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "marked", "raw", "reason", "expected"), BLOCKS)
def test_several_lines(
    mode: Mode, marked: str, raw: str, reason: str, expected: str | Drop
) -> None:
    result = postprocess(
        Candidate(text=raw, finish_reason=reason), Scene(at(marked), mode, trigger="invoked")
    ).result
    assert (result if isinstance(result, Drop) else result.text) == expected


# Few characters, so that overlaps, brackets and breaks are frequent.
CODE = st.text(alphabet="ab x()[]{}\"':=.,\n\t|é😀", max_size=40)


@st.composite
def cursors(draw: st.DrawFn) -> Cursor:
    """Any place in a small document."""
    text = draw(CODE)
    offset = draw(st.integers(0, len(text)))
    return Cursor(document=Document(path="", text=text), offset=offset)


def without_indent(text: str) -> str:
    return "\n".join(line.lstrip(" \t") for line in text.split("\n"))


@given(CODE, cursors(), st.sampled_from(MODES), st.sampled_from(["stop", "length", "deadline"]))
def test_result_is_cut_from_the_raw_text_and_stable(
    raw: str, cursor: Cursor, mode: Mode, reason: str
) -> None:
    scene = Scene(cursor, mode)
    judged = postprocess(Candidate(text=raw, finish_reason=reason), scene)
    result = judged.result
    if isinstance(result, Drop):
        assert judged.trail[-1].drop_reason == result.reason
        return
    assert without_indent(result.text).rstrip() in without_indent(raw.replace("\r", ""))
    assert result.text.strip()
    assert 0 <= result.num_replaced_chars <= len(scene.line_after)
    assert postprocess(result, scene) == Judged(result, ())
    if mode == "single_line":
        assert result.text.count("\n") <= 1


@given(CODE, CODE, cursors(), st.sampled_from(MODES))
def test_a_certain_end_never_moves(raw: str, more: str, cursor: Cursor, mode: Mode) -> None:
    end = certain_end(raw, cursor, mode)
    if end is not None:
        assert certain_end(raw + more, cursor, mode) == end


@given(cursors())
def test_lines_agree_with_split(cursor: Cursor) -> None:
    assert line_before(cursor) == cursor.prefix.split("\n")[-1]
    assert line_after(cursor) == cursor.suffix.split("\n")[0].rstrip()
    below = [line.rstrip() for line in cursor.suffix.split("\n")[1:] if line.strip()]
    assert following_line(cursor) == (below[0] if below else "")
