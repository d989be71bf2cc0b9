"""Where completions end, language by language, and that a certain end never moves."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paceline.complete.ending import Ending, certain_end, finished_end
from paceline.complete.ending_text import MAX_LEFT_OPEN
from paceline.complete.modes import MODES, Mode
from paceline.complete.scene import Scene
from paceline.core.types import Cursor, Document
from tests.complete.cursors import at
from tests.work import lines_run


def scene_at(language: str, marked: str, mode: Mode) -> Scene:
    """A scene of the document without its `‸`, which marks the cursor."""
    prefix, _, suffix = marked.partition("‸")
    document = Document(path="", language=language, text=prefix + suffix)
    return Scene(Cursor(document=document, offset=len(prefix)), mode)


def ended(scene: Scene, raw: str) -> str | None:
    """What is left of `raw` where it ends; None if that is never certain. Checks the law on the way."""
    ending, found = Ending(scene), None
    for num_chars in range(len(raw) + 1):
        end = ending.certain_end(raw[:num_chars])
        if found is None:
            found = end
            assert end is None or end <= num_chars
        assert end == found
    assert Ending(scene).certain_end(raw) == found
    return None if found is None else raw[:found]


def check(language: str, mode: Mode, marked: str, raw: str, expected: str | None) -> None:
    assert ended(scene_at(language, marked, mode), raw) == expected


PYTHON_BLOCKS = [
    # A dedent ends the body.
    ("def f():‸", "\n    a\n    b\n\ndef g():", "\n    a\n    b"),
    ("def f():\n    ‸", "a\n    b\nc", "a\n    b"),
    ("def f():\n    x = ‸", "1\n    y = 2\nz = 3", "1\n    y = 2"),
    ("def f():‸", "\n\ta\n\tb\nc", "\n\ta\n\tb"),
    ("def f():\n‸", "    a\n    b\nc", "    a\n    b"),
    ("class A:\n    def f(self):\n        ‸", "a\n        b\n    c = 1", "a\n        b"),
    # What the user has not asked for.
    ("if x:\n    ‸", "a\nelse:\n    b", "a"),
    ("if x:\n    ‸", "a\nelif y:\n    b", "a"),
    ("for i in x:\n    ‸", "a\nelse:\n    b", "a"),
    ("try:\n    ‸", "a\nexcept E:\n    b", "a"),
    ("try:\n    ‸", "a\nfinally:\n    b", "a"),
    ("match x:\n    case 1:\n        ‸", "a\n    case 2:\n        b", "a"),
    ("def f():\n    for i in x:\n        ‸", "a\n        b\n    return", "a\n        b"),
    # What belongs to the body's own statements.
    ("def f():\n    ‸", "if x:\n        a\n    else:\n        b\nc", "if x:\n        a\n    else:\n        b"),
    ("def f():\n    if x:\n        a\n    ‸", "else:\n        b\n    c\nd", "else:\n        b\n    c"),
    # Brackets, strings and comments do not dedent.
    ("def f():\n    ‸", "a = [\n1,\n    ]\n    b\nc", "a = [\n1,\n    ]\n    b"),
    ("def f():\n    ‸", 'a = """\nx\n"""\n    b\nc', 'a = """\nx\n"""\n    b'),
    ("def f():\n    ‸", "a\n# note\n    b\nc", "a\n# note\n    b"),
    ("def f():\n    ‸", "a\n# note\nb", "a"),
    ("def f():\n    ‸", "a\n    # note\nb", "a\n    # note"),
    ("def f():\n    ‸", "a = ')'  # (\n    b\nc", "a = ')'  # (\n    b"),
    ("def f():‸", "\n    # note\nx = 1", "\n    # note"),
    # A bracket that the model left open does not hide the end.
    ("def f():\n    x = ‸", "g(\n        a,\n\ndef h():\n    b", "g(\n        a,"),
    # Brackets that are open at the cursor.
    ("def f():\n    x = g(\n        ‸\n    )", "a,\n        b)\n    c", "a,\n        b"),
    ("def f():\n    x = g(\n        ‸\n    )", "a,\n    )\n    c", "a,"),
    ("def f():\n    x = g(\n        ‸\n", "a,\n    )\n    y = 1\nz", "a,\n    )\n    y = 1"),
    ("def f():\n    x = g(‸\n    y = 1", "a)\n    z = 1\nw", "a)\n    z = 1"),
    ("X = {\n    ‸\n}", "1: 2,\n    3: 4,\n}\nY = 1", "1: 2,\n    3: 4,"),
    ("def f():\n    ‸", "a\n    )\n    b", "a"),
    # Headers over lines; a statement that began above.
    ("def f(\n        a,\n        b):‸", "\n    return a\nc", "\n    return a"),
    ("def f():\n    x = (y\n         .‸)", "z()\n    w", None),
    # Another width of indentation is no dedent.
    ("def f():\n    ‸", "    a\n    b\nc", "    a\n    b"),
    ("def f():\n\t‸", "if x:\n        a\n    b\nc", "if x:\n        a\n    b"),
    ("def f():\n    ‸", "if x:\n\t\ta\n\tb\nc", "if x:\n\t\ta\n\tb"),
    # At the margin, as many statements as stand together, or one with a body.
    ("‸", "a = 1\nb = 2\n\n\nc = 3", "a = 1\nb = 2"),
    ("x = ‸", "1\ny = 2\n\ndef f():\n    a", "1\ny = 2"),
    ("‸", "if x:\n    a\nelse:\n    b\nc", "if x:\n    a\nelse:\n    b"),
    # Not yet certain.
    ("def f():\n    ‸", "a\n    b", None),
    ("def f():\n    ‸", "a\n\n    b\n", None),
    ("def f():\n    ‸", "", None),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "raw", "expected"), PYTHON_BLOCKS)
def test_python_block_body(marked: str, raw: str, expected: str | None) -> None:
    check("python", "block_body", marked, raw, expected)


PYTHON_LONG = [
    # To the end of the function, not of the block.
    ("def f():\n    for i in x:\n        ‸", "a\n    return\n\n\nb", "a\n    return"),
    ("def f():\n    if x:‸", "\n        a\n    else:\n        b\nc", "\n        a\n    else:\n        b"),
    ("def f():‸", "\n    a\nb", "\n    a"),
    ("def f(‸", "a, b):\n    return a\n\n\ndef g", "a, b):\n    return a"),
    ('def f():\n    """Doc."""\n    ‸', "a\n\n    def g():\n        b\n    c\nd", "a\n\n    def g():\n        b\n    c"),
    ("class A:\n    def f(self):\n        ‸", "a\n\n    def g(self):", "a"),
    ("class A:\n    def f(self):\n        if x:\n            ‸", "a\n        b\n    @c", "a\n        b"),
    # A class that is empty is filled; to one with members, one is added.
    ("class A:‸", "\n    x: int\n\n    def f(self):\n        a\n\n    def g(self):\n        b\n\nc",
     "\n    x: int\n\n    def f(self):\n        a\n\n    def g(self):\n        b"),
    ("class A:\n    x = 1\n\n    ‸", "def f(self):\n        a\n\n    # next\n    def g(self):", "def f(self):\n        a"),
    ("class A:\n    x = 1\n\n    ‸", "@property\n    def f(self):\n        a\n\n    y", "@property\n    def f(self):\n        a"),
    ("class A:\n    x: int\n    ‸", "y: int\n\n    def f(self):\n        a", "y: int"),
    # One declaration at the margin, with what belongs to it.
    ("‸", "def f():\n    a\n\n\ndef g():", "def f():\n    a"),
    ("‸", "def f():\n    a\nx = 1", "def f():\n    a"),
    ("‸", "@a\n@b(1)\ndef f():\n    c\n\nx", "@a\n@b(1)\ndef f():\n    c"),
    ("‸", "# doubles\ndef f():\n    a\n\nx", "# doubles\ndef f():\n    a"),
    ("‸", "class A:\n    def f(self):\n        a\n\n    def g(self):\n        b\n\n\nx",
     "class A:\n    def f(self):\n        a\n\n    def g(self):\n        b"),
    ("‸", "try:\n    a\nexcept E:\n    b\nelse:\n    c\nfinally:\n    d\nx",
     "try:\n    a\nexcept E:\n    b\nelse:\n    c\nfinally:\n    d"),
    ("if x:‸", "\n    a\nelse:\n    b\nc", "\n    a\nelse:\n    b"),
    ("if x:\n    a\n    ‸", "b\nelse:\n    c\ndone = 1", "b\nelse:\n    c"),
    # Simple statements before it are offered alone.
    ("‸", "import a\nimport b\n\ndef f():\n    c", "import a\nimport b"),
    ("‸", "X = 1\n\n# doubles\ndef f():\n    c", "X = 1"),
    ("‸", "X = [\n    1,\n]\nY = 2\n\n\nZ", "X = [\n    1,\n]\nY = 2"),
    ("X = [\n    1,\n    ‸\n]", "2,\n]\nY = 1", "2,"),
    ('‸', 'X = """\n\n\n\n"""\nY = 1\n\n\nZ', 'X = """\n\n\n\n"""\nY = 1'),
    # Line ends of another system.
    ("‸", "a = 1\r\nb = 2\r\n\r\n\r\nc", "a = 1\r\nb = 2"),
    ("def f():‸", "\r\n    a\r\n\r\nb", "\r\n    a"),
    ("‸", "def f():\n    a", None),
    ("‸", "\n\n\nx = 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "raw", "expected"), PYTHON_LONG)
def test_python_multi_line(marked: str, raw: str, expected: str | None) -> None:
    check("python", "multi_line", marked, raw, expected)


BRACES: list[tuple[str, Mode, str, str, str | None]] = [
    # The document has the closing brace ...
    ("javascript", "block_body", "f() {\n  ‸\n}", "a();\n  b();\n}\nc", "a();\n  b();"),
    ("java", "block_body", "class A {\n  int f() {\n    ‸\n  }\n}", "return 1;\n  }\n  int g", "return 1;"),
    ("go", "block_body", "func f() {\n\tif x {\n\t\t‸\n\t}\n}", "a()\n\t} else {\n\t\tb()\n\t}", "a()"),
    ("typescript", "block_body", "try {\n  ‸\n} finally {\n}", "a();\n} catch (e) {\n  b();\n}", "a();"),
    ("javascript", "block_body", "const x = {\n  ‸\n};", "a: 1,\n  b: { c: 1 },\n};", "a: 1,\n  b: { c: 1 },"),
    ("c", "block_body", "int f(int a,\n      int b) {\n    ‸\n}", "g();\n    h();\n}", "g();\n    h();"),
    ("rust", "block_body", "fn f() {\n    match x {\n        1 => {\n            ‸\n        }\n    }\n}",
     "a()\n        }\n        2 => {}", "a()"),
    ("cpp", "block_body", "class A {\n  ‸\n};", "int x;\n  int f() { return 1; }\n};\n", "int x;\n  int f() { return 1; }"),
    # ... or lacks it: then it belongs to the completion, with what ends the statement.
    ("go", "block_body", "func f() {‸\n\nfunc g() {\n}", "\n\ta()\n}\n\nfunc h() {", "\n\ta()\n}"),
    ("javascript", "block_body", "f(() => {‸", "\n  a();\n});\nb();", "\n  a();\n});"),
    ("javascript", "block_body", "f(() => {\n  ‸\n});", "a();\n});\nb();", "a();"),
    ("javascript", "block_body", "function f() {\n  if (x) {\n    ‸\n}", "a();\n  }\n  b();", "a();\n  }"),
    ("java", "block_body", "class A {\n  int f() {\n    ‸\n\n  int g() { }\n}", "a();\n  }\n\n  int h", "a();\n  }"),
    ("c", "block_body", "void f() {\n  do {‸", "\n    a();\n  } while (x);\n  b();", "\n    a();\n  } while (x);"),
    ("cpp", "block_body", "class A {‸", "\n public:\n  int x;\n};\nint y;", "\n public:\n  int x;\n};"),
    ("c", "block_body", "int f()\n{\n    ‸", "return 1;\n}\n\nint g", "return 1;\n}"),
    # Braces that are not code; a dedent that is none.
    ("javascript", "block_body", "f() {\n  ‸\n}", 'a("}");\n  b(`${c({})}\n}`);\n  d(/[}]/);\n}', 'a("}");\n  b(`${c({})}\n}`);\n  d(/[}]/);'),
    ("rust", "block_body", "fn f<'a>() {\n    ‸\n}", "let a = '{';\n    let b: &'a str = r#\"}\"#;\n}", "let a = '{';\n    let b: &'a str = r#\"}\"#;"),
    ("go", "block_body", "func f() {\n\t‸\n}", "a := `\n}\n`\n\tb()\n}", "a := `\n}\n`\n\tb()"),
    ("java", "block_body", "void f() {\n    ‸\n}", "a(); // }\n    /* } */ b();\n}", "a(); // }\n    /* } */ b();"),
    ("c", "block_body", "int f() {\n    ‸\n}", "a();\n#ifdef X\n    b();\n#endif\n    c();\n}", "a();\n#ifdef X\n    b();\n#endif\n    c();"),
    ("c", "block_body", "#define A(x) \\\n    ‸", "do { x; \\\n    b; } while (0)", None),
    ("c", "block_body", "int f() {\n    ‸\n}", "a();\n#ifdef X\n    b();\n#endif\n}", "a();\n#ifdef X\n    b();\n#endif"),
    ("c", "block_body", "int f() {\n    ‸\n}", "a();\nretry:\n    b();\n}", "a();\nretry:\n    b();"),
    ("cpp", "block_body", "class A {\n    ‸\n};", "int x;\n  private:\n    int y;\n};", "int x;\n  private:\n    int y;"),
    ("cpp", "block_body", "void f() {\n    ‸\n}", "a();\nstd::b();\n}", "a();"),
    ("c", "block_body", "int f(int a) {\n      if (a)\n\tb();\n      ‸\n}", "c();\n      if (d)\n\te();\n      g();\n}",
     "c();\n      if (d)\n\te();\n      g();"),
    # Cases, chains, arguments.
    ("c", "block_body", "switch (x) {\n  case 1:\n    ‸\n}", "a();\n  default:\n    b();\n}", "a();"),
    ("go", "block_body", "switch x {\ncase 1:\n\t‸\n}", "a()\n\tb()\ncase 2:\n\tc()", "a()\n\tb()"),
    ("java", "block_body", "switch (x) {\n    ‸\n}", "case 1:\n        a();\n    case 2:\n        b();\n}", "case 1:\n        a();\n    case 2:\n        b();"),
    ("rust", "block_body", "fn f() {\n    x\n        ‸\n}", ".a()\n        .b();\n    c()\n}", ".a()\n        .b();\n    c()"),
    ("javascript", "block_body", "f(\n  a,\n  ‸\n);", "b,\n  g(c),\n);", "b,\n  g(c),"),
    # A brace that the model forgot: the next one, by its indentation, closes what it should.
    ("java", "block_body", "class A {\n  void f() {\n    ‸\n  }\n}", "if (x) {\n      a();\n  }\n  int g", "if (x) {\n      a();"),
    ("c", "block_body", "int f() {\n    ‸\n}", "a();\n}\n\nint g() {", "a();"),
    # multi_line: to the end of the function ...
    ("javascript", "multi_line", "function f() {\n  for (;;) {\n    ‸", "a();\n  }\n  b();\n}\nc();", "a();\n  }\n  b();\n}"),
    ("javascript", "multi_line", "function f() {\n  for (;;) {\n    ‸\n  }\n}", "a();\n  }\n  b();", "a();"),
    ("go", "multi_line", "func f() {\n\t‸\n}", "if x {\n\t\ta()\n\t} else {\n\t\tb()\n\t}\n}", "if x {\n\t\ta()\n\t} else {\n\t\tb()\n\t}"),
    ("typescript", "multi_line", "f((a) => {\n  if (a) {\n    ‸", "b();\n  }\n  c();\n});\nd();", "b();\n  }\n  c();\n});"),
    # ... or one declaration.
    ("c", "multi_line", "‸", "int f(int a,\n      int b)\n{\n    g();\n}\n\nint h", "int f(int a,\n      int b)\n{\n    g();\n}"),
    ("rust", "multi_line", "‸", "#[test]\nfn f() {\n    a();\n}\n\n#[test]\nfn g", "#[test]\nfn f() {\n    a();\n}"),
    ("cpp", "multi_line", "‸", "template <class T>\nclass A {\n public:\n  T x;\n};\n\nint y", "template <class T>\nclass A {\n public:\n  T x;\n};"),
    ("go", "multi_line", "‸", "type A struct {\n\tx int\n}\n\n// B is\ntype B", "type A struct {\n\tx int\n}"),
    ("javascript", "multi_line", "‸", "import a from 'a';\nimport b from 'b';\n\nfunction f() {\n  c();\n}", "import a from 'a';\nimport b from 'b';"),
    ("java", "multi_line", "class A {\n    int x;\n\n    ‸\n}", "@Override\n    public int f() {\n        return 1;\n    }\n\n    int g", "@Override\n    public int f() {\n        return 1;\n    }"),
    ("typescript", "multi_line", "class A {\n  x = 1;\n  ‸\n}", "/** Doc. */\n  f() {\n    a();\n  }\n\n  g() {", "/** Doc. */\n  f() {\n    a();\n  }"),
    ("rust", "multi_line", "mod a {\n    ‸\n}", "fn f() {\n        b();\n    }\n    fn g() {", "fn f() {\n        b();\n    }"),
    ("javascript", "multi_line", "if (x) {\n  ‸", "a();\n} else {\n  b();\n}\nc();", "a();\n} else {\n  b();\n}"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "mode", "marked", "raw", "expected"), BRACES)
def test_braces(language: str, mode: Mode, marked: str, raw: str, expected: str | None) -> None:
    check(language, mode, marked, raw, expected)


OTHERS: list[tuple[str, Mode, str, str, str | None]] = [
    # Blocks that a word closes.
    ("ruby", "block_body", "def f\n  ‸\nend", "a\n  b\nend\n\ndef g", "a\n  b"),
    ("ruby", "block_body", "def f\n  ‸", "a.each do |x|\n    b\n  end\nend\n\ndef g", "a.each do |x|\n    b\n  end\nend"),
    ("ruby", "multi_line", "class A\n  def f\n    if x\n      ‸", "a\n    end\n    b\n  end\n\n  def g", "a\n    end\n    b\n  end"),
    ("lua", "block_body", "function f()\n  ‸", "a()\nend\nb()", "a()\nend"),
    ("shell", "block_body", "if x; then\n  ‸", "a\n  b\nfi\nc", "a\n  b\nfi"),
    ("shell", "block_body", "if x; then\n  ‸\nfi", "a\nelse\n  b\nfi", "a"),
    # Braces in languages without a grammar, known or not.
    ("kotlin", "block_body", "fun f() {\n    ‸\n}", "a()\n    b()\n}\n", "a()\n    b()"),
    ("swift", "block_body", "func f() {\n    ‸", "a()\n}\n\nfunc g", "a()\n}"),
    ("php", "block_body", "function f() {\n    ‸\n}", "a();\n    # }\n    b();\n}", "a();\n    # }\n    b();"),
    ("brandnew", "block_body", "f {\n    ‸\n}", "a\n    b\n}\nc", "a\n    b"),
    ("css", "block_body", "a {\n  ‸\n}", "color: red;\n  top: 0;\n}\nb {", "color: red;\n  top: 0;"),
    # Data and prose: indentation and blank lines alone.
    ("yaml", "block_body", "a:\n  ‸", "b: 1\n  c: [1\n  d: 2\ne: 3", "b: 1\n  c: [1\n  d: 2"),
    ("yaml", "multi_line", "‸", "a: 1\nb: 2\n\n\nc: 3", "a: 1\nb: 2"),
    ("markdown", "multi_line", "‸", "Some :) text (and\n- a\n  - b\n\nc\n\n\nd", "Some :) text (and\n- a\n  - b\n\nc"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "mode", "marked", "raw", "expected"), OTHERS)
def test_other_languages(
    language: str, mode: Mode, marked: str, raw: str, expected: str | None
) -> None:
    check(language, mode, marked, raw, expected)


LINES = [
    ("x = ‸", "1\ny = 2", "1"),
    ("x = 1‸", "\ny = 2\nz = 3", "\ny = 2"),
    ("x = 1‸", "  \r\ny = 2\r\nz", "  \r\ny = 2"),
    ("x = 1‸", "\n\ny = 2", "\n"),
    ("    ‸", "\n    y = 2", ""),
    ("x = ‸", "1\r\ny", "1"),
    ("f(‸)", "a\n)", "a"),
    ("x = ‸", '"""a\nb"""\n', '"""a'),
    ("x = ‸", "1", None),
    ("x = 1‸", "\ny = 2", None),
]


@pytest.mark.parametrize(("marked", "raw", "expected"), LINES)
def test_single_line(marked: str, raw: str, expected: str | None) -> None:
    check("python", "single_line", marked, raw, expected)


def test_the_end_is_seen_early() -> None:
    """Each of these ends at its last character: no more of the next line is needed."""
    for language, marked, raw in [
        ("python", "def f():\n    ‸", "return 1\n\n\nd"),
        ("javascript", "function f() {\n  ‸\n}", "return 1;\n}"),
        ("go", "func f() {‸", "\n\treturn 1\n}\n"),
    ]:
        ending = Ending(scene_at(language, marked, "block_body"))
        assert ending.certain_end(raw[:-1]) is None
        assert ending.certain_end(raw) is not None


FINISHED = [
    ("python", "def f():\n    ‸", "a()\n    b(c, d", "a()"),
    ("python", "def f():\n    ‸", "a()\n    b(\n        c,\n        d", "a()"),
    ("python", "def f():\n    ‸", 'a()\n    b = """\n  c\n  d', "a()"),
    ("python", "def f():\n    ‸", "a()\n    for x in y:\n", "a()"),
    ("python", "def f():\n    ‸", "a()\n    for x in y:\n        b()\n        c", "a()\n    for x in y:\n        b()"),
    ("python", "def f():\n    ‸", "a()\n    # then\n    b", "a()"),
    ("python", "def f():\n    ‸", "a()\n    try:\n        b()\n        c", "a()"),
    ("python", "def f():\n    ‸", "a()\n    try:\n        b()\n    except E:\n        c()\n    d", "a()\n    try:\n        b()\n    except E:\n        c()"),
    ("python", "def f():\n    ‸", "try:\n        b()\n        c", "try:\n        b()"),
    ("python", "‸", "x = 1\n@a\ndef", "x = 1"),
    ("python", "x = ‸", "some_long", "some_long"),
    ("python", "x = ‸", "g(\n    a,\n    b", "g(\n    a,"),
    ("python", "def f():\n    ‸", "a()\r\n    b()\r\n    c", "a()\r\n    b()"),
    ("javascript", "function f() {\n  ‸\n}", "a();\n  if (x) {\n    b();\n    c", "a();"),
    ("javascript", "function f() {\n  ‸\n}", "a();\n  if (x) {\n    b();\n  }\n  c", "a();\n  if (x) {\n    b();\n  }"),
    ("javascript", "function f() {\n  ‸\n}", "if (x) {\n    b();\n    c", "if (x) {\n    b();"),
    ("java", "void f() {\n    ‸\n}", "int x = a\n        .b();\n    int y = c\n        .d", "int x = a\n        .b();"),
    ("go", "func f() {\n\t‸\n}", "a()\n\tx := []int{\n\t\t1,\n\t\t2", "a()"),
    ("rust", "fn f() {\n    ‸\n}", "let a = 1;\n    let b = match a {\n        1 => 2,\n", "let a = 1;"),
    ("c", "int f() {\n    ‸\n}", "a();\n    /* and\n    b", "a();"),
    ("cpp", "int f() {\n    ‸\n}", "a();\n    b <<\n", "a();"),
    ("typescript", "f(() => {\n  ‸\n});", "const a = `x\n  ${b}\n  c", "const a = `x\n  ${b}"),
    ("brandnew", "f {\n  ‸\n}", "a(b)\n  c(d", "a(b)"),
    ("python", "‸", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("language", "marked", "raw", "expected"), FINISHED)
def test_what_was_cut_off_is_cut_back(language: str, marked: str, raw: str, expected: str) -> None:
    scene = scene_at(language, marked, "multi_line")
    assert raw[: finished_end(raw, scene)] == expected


def test_both_ways_to_ask() -> None:
    cursor = at("def f():\n    |")
    assert certain_end("a\nb", cursor, "block_body") == 1
    scene = Scene(cursor, "block_body")
    assert certain_end("a\nb", scene) == 1
    assert certain_end("a\n", scene.with_mode("single_line")) == 1
    assert Ending.of(scene) is Ending.of(scene)


def test_a_scene_is_not_kept_alive() -> None:
    scene = Scene(at("|"), "block_body")
    Ending.of(scene)
    kept = weakref.ref(scene)
    del scene
    gc.collect()
    assert kept() is None


def test_texts_of_several_candidates_may_be_mixed() -> None:
    """One ending serves alternatives, and the engine's thread beside the loop's."""
    scene = scene_at("python", "def f():\n    ‸", "block_body")
    ending = Ending(scene)
    texts = [f"a{n}\n    b(\n  {n})\n" + "    c\n" * n + "d" for n in range(6)]
    wrong: list[str] = []

    def stream() -> None:
        for num_chars in range(60):
            for text in texts:
                part = text[:num_chars]
                if ending.certain_end(part) != Ending(scene).certain_end(part):
                    wrong.append(part)

    threads = [threading.Thread(target=stream) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


PIECES = [
    "a", " ", "    ", "\t", "\n", "\r\n", "\n\n\n", "(", ")", "[", "]", "{", "}", "});", '"', "'", "`", '"""',
    "#", "//", "/*", "*/", "/", "\\", "${", ":", ";", ",", "@x", "def f():", "if x:", "else", "else:", "end",
    "function f() {", "class A {", "class A:", "case 1:", "r#\"", "'a", "=", "#if", "😀", "\ud800", "\0", "‸",
]  # fmt: skip
CODE = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
LANGUAGES = st.sampled_from(
    ["python", "javascript", "typescript", "java", "go", "rust", "c", "cpp", "ruby", "yaml", "", "new"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(LANGUAGES, CODE, CODE, CODE, st.sampled_from(MODES))
@example("python", "x:\n", "", "a\n\n\nb", "multi_line")
@example("javascript", "f({", "", "/* \n}*/)\n}", "block_body")
def test_a_certain_end_never_moves(
    language: str, before: str, after: str, raw: str, mode: Mode
) -> None:
    text = before.replace("‸", "") + "‸" + after.replace("‸", "")
    scene = scene_at(language, text, mode)
    ended(scene, raw)
    assert 0 <= finished_end(raw, scene) <= len(raw)
    assert raw.startswith(raw[: finished_end(raw, scene)])


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(MODES), LANGUAGES)
def test_any_text(before: str, raw: str, mode: Mode, language: str) -> None:
    scene = scene_at(language, before.replace("‸", "") + "‸", mode)
    ended(scene, raw)
    finished_end(raw, scene)


@pytest.mark.parametrize("mode", ["block_body", "multi_line"])
@pytest.mark.parametrize(
    ("before", "after", "candidate"),
    [
        ("x" * 1_000_000, "x" * 1_000_000, "a\n}\nb"),
        ("f(\n" * 20_000, ")\n" * 20_000, "a\n}\nb"),
        ("{" * 2_000, "}" * 2_000, "a\n}\nb"),
        ("(" * 1_000_000, "]" * 6_000, "a" + "]" * 40 + "\n"),
        ("(" * 1_000_000, "\n]" * 150, "a" + "(" * 40 + "]" * 40 + "\n"),
    ],
)
def test_work_in_long_lines_and_files(mode: Mode, before: str, after: str, candidate: str) -> None:
    scene = scene_at("javascript", f"{before}‸{after}", mode)
    ending = Ending(scene)
    assert lines_run(lambda: ending.certain_end(candidate)) <= 40 * 5 * MAX_LEFT_OPEN


def test_a_growing_candidate_is_read_once() -> None:
    body = (
        "    const v = g(item[1], `k${1}`, { a: 1 }); // note\n    if (v) {\n        h(v);\n    }\n"
    )

    def read_in_parts(num_chars: int) -> None:
        ending = Ending(scene_at("javascript", "function f(item) {\n‸\n}\n", "multi_line"))
        for end in range(4, num_chars, 4):
            assert ending.certain_end((body * 20)[:end]) is None

    assert lines_run(lambda: read_in_parts(1_600)) <= 2.2 * lines_run(lambda: read_in_parts(800))
