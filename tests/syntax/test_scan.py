"""Line ends of a candidate: complete or not, how deep, and that reading in pieces changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.syntax import scan as scan_module
from paceline.syntax.frames import Frame
from paceline.syntax.languages import language_named
from paceline.syntax.reader import Reader
from paceline.syntax.scan import CHUNK_CHARS, MAX_BEFORE_CHARS, LineEnd, Scanner, state_at
from tests.syntax.test_place import NASTY
from tests.work import lines_run


def lines(name: str, before: str, text: str) -> tuple[LineEnd, ...]:
    return Scanner.start(before, language_named(name)).lines(text)


def marks(name: str, before: str, text: str) -> str:
    """One letter a line end: h header, c complete, o open, s string, k comment, - blank."""
    found = ""
    for line in lines(name, before, text):
        if line.in_string:
            found += "s"
        elif line.is_blank:
            found += "-"
        elif line.opens_block:
            found += "h"
        elif line.is_complete:
            found += "c"
        else:
            found += "k" if line.in_comment else "o"
    return found


CASES = [
    ("python", "", "x = 1", "c"),
    ("python", "def f(", "x):\n    return 1\n", "hc-"),
    ("python", "x = ", "(1,\n     2)\ny", "occ"),
    ("python", "x = 1 + ", "\\\n    2\n", "oc-"),
    ("python", "", 'def f():\n    """a\n    b"""\n    return', "hscc"),
    ("python", "", "if a and \\\n   b:\n    c", "ohc"),
    ("python", "x = [\n    ", "1,\n    2,\n]\n", "ooc-"),
    ("python", "", "@dec\ndef f(): pass\n", "oc-"),
    ("python", "x", " = 1  # it's\ny = 2", "cc"),
    ("python", "", "# one\nx = 1", "cc"),
    ("python", "", "class A:\n\n    x = {\n        1: 2,\n    }\n", "h-ooc-"),
    ("python", 'f("""', 'a\nb""", \nc)\n', "soc-"),
    ("javascript", "", "const x = y\n  .map(z)\nfoo()", "occ"),
    ("javascript", "", "if (a) {\n  b();\n} else {\n  c\n}\n", "hchcc-"),
    ("javascript", "foo(", "() => {\n  x\n})\n", "hcc-"),
    ("javascript", "", "const s = `a\n${b}\n`\n", "ssc-"),
    ("javascript", "return ", "a &&\n  b\n", "oc-"),
    ("javascript", "", "switch (x) {\n  case 1:\n    y()\n}\n", "hhcc-"),
    ("java", "", "foo(a,\n  b)\n  .c();\nint x", "oo" + "co"),
    ("java", "", "/* a\n b */\nint x;", "k" + "cc"),
    ("go", "", "x := y +\n\tz\nif err != nil {\n\treturn\n}", "ochcc"),
    ("rust", "", "let x = match y {\n    A => 1,\n    B => 2,\n};\n", "hccc-"),
    ("c", "", "#define A(x) \\\n  x\nint y = A(1);", "occ"),
    ("cpp", "", "auto f = [&](int x) {\n  return x;\n};\n", "hcc-"),
    ("ruby", "", "def f(x)\n  puts(x)\nend\n", "hcc-"),
    ("kotlin", "", "val x = y\n    ?.z\nfoo()", "occ"),
]


@pytest.mark.parametrize(("name", "before", "text", "expected"), CASES)
def test_marks(name: str, before: str, text: str, expected: str) -> None:
    assert marks(name, before, text) == expected


def test_depth_is_relative_to_the_cursor() -> None:
    found = lines("javascript", "function f() {\n  g(a, ", "[1,\n    2]);\n}\nh({\n")
    assert [line.depth for line in found] == [1, -1, -2, 0, 0]
    assert [line.lowest_depth for line in found] == [0, -1, -2, -2, -2]
    assert [line.num_unmatched for line in found] == [0, 0, 0, 0, 0]


def test_closers_without_openers_are_counted() -> None:
    assert lines("python", "x = 1", ")\n]\n")[-1].num_unmatched == 2
    assert lines("java", "", "}\n")[-1].num_unmatched == 1


def test_indents_and_offsets() -> None:
    text = "if x:\n        y = 1\n\tz\n"
    found = lines("python", "def f():\n    ", text)
    assert [line.indent for line in found] == [4, 8, 8, 0]
    assert [line.offset for line in found] == [5, 19, 22, 23]
    assert [line.is_last for line in found] == [False, False, False, True]


def test_block_kinds() -> None:
    found = lines("python", "class A:\n    ", "def f(self):\n        for x in y:\n            z\n")
    assert [line.block_kind for line in found] == ["function", "loop", "loop", "loop"]
    found = lines("go", "", "func f() {\n\tif x {\n\t}\n}")
    assert [line.block_kind for line in found] == ["function", "if", "function", "module"]


def test_one_scanner_serves_many_candidates() -> None:
    scanner = Scanner.start("def f():\n    x = [", language_named("python"))
    first = scanner.lines("1]\n    return x\n")
    assert scanner.lines("'''") != first
    assert scanner.lines("1]\n    return x\n") == first


@settings(max_examples=60, deadline=None)
@given(
    NASTY,
    NASTY,
    st.sampled_from(["python", "javascript", "rust", "cpp", "lua", "frob", "markdown"]),
)
def test_nothing_raises_and_every_line_ends(before: str, text: str, name: str) -> None:
    found = lines(name, before, text)
    assert [line.offset for line in found[:-1]] == [
        i for i, char in enumerate(text) if char == "\n"
    ]
    assert found[-1].offset == len(text)
    assert all(line.lowest_depth <= line.depth for line in found)


def read_at_once(text: str, name: str) -> tuple[Frame, ...]:
    reader = Reader(language_named(name))
    reader.read(text)
    return reader.state.frames


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "def f(x):\n",
                "    if x:\n",
                "        y = [1,\n",
                "    '''a\n",
                "b'''\n",
                "]\n",
                "x = 1  # c\n",
                "\n",
                "if (a) {\n",
                "}\n",
                "foo(`a ${\n",
                "/* c\n",
                "*/ case 1:\n",
                "#define A { \\\n",
            ]
        ),
        min_size=20,
        max_size=60,
    ),
    st.sampled_from(["python", "javascript", "java", "c"]),
)
def test_reading_in_remembered_pieces_is_reading_at_once(parts: list[str], name: str) -> None:
    """The slow twin: one pass over the whole text."""
    text = "".join(parts)
    was = scan_module.CHUNK_CHARS
    scan_module.CHUNK_CHARS = 40
    try:
        found = state_at(text, len(text), language_named(name)).frames
    finally:
        scan_module.CHUNK_CHARS = was
    assert found == read_at_once(text, name)


def test_a_long_text_is_read_from_a_line_that_is_not_indented() -> None:
    unit = "def f(x):\n    return [\n        x,\n    ]\n\n\n"
    text = unit * (3 * MAX_BEFORE_CHARS // len(unit)) + "def last():\n    if y:\n        "
    frames = state_at(text, len(text), language_named("python")).frames
    assert [frame.kind for frame in frames] == ["module", "function", "if"]


def test_a_keystroke_reads_little() -> None:
    """What was read before is remembered: the second keystroke takes a fraction of the first."""
    language = language_named("python")
    text = "def f(x):\n    return [y for y in x]  # c\n\n" * 2_000
    assert len(text) > 30 * CHUNK_CHARS
    first = lines_run(lambda: state_at(text, len(text), language))
    for typed in ("r", "re", "ret"):
        longer = text + typed
        again = lines_run(lambda longer=longer: state_at(longer, len(longer), language))
        assert again < first / 10
