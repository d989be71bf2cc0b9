"""Where a cursor stands: mostly in half-typed code, with a tree and without one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.types import Cursor, Document
from paceline.syntax.languages import language_named
from paceline.syntax.place import Place, place_at
from paceline.syntax.tree import parse
from tests.syntax.cursors import at_mark

EMPTY_BLOCK = {"is_empty_block_start": True}
START = {"is_statement_start": True}

CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    # --- Python: headers, bodies, dedents
    ("python", "def f(x):¦", "function", EMPTY_BLOCK | {"block_indent": 4}),
    ("python", "def f(x):\n    ¦", "function", EMPTY_BLOCK | START | {"block_indent": 4}),
    ("python", "def f(x):\n¦", "function", EMPTY_BLOCK | START),
    ("python", "def f(x):\n\n    ¦\n\ndef g():\n    pass\n", "function", EMPTY_BLOCK),
    ("python", "class A:\n    def f(x):\n        ¦", "function class", EMPTY_BLOCK | {"block_indent": 8}),
    ("python", "class A:\n    def f(x):¦\n\n    def g(self):\n        pass\n", "function class", EMPTY_BLOCK),
    ("python", "class A:\n    def f(x):\n        ¦\n\n    def g(self):\n        pass\n", "function class",
     EMPTY_BLOCK | {"num_statements_after": 0}),
    ("python", "def f():¦\n    return 1\n", "function", {"is_empty_block_start": False, "num_statements_after": 1}),
    ("python", "def f():\n    ¦\n    return 1\n", "function",
     {"is_empty_block_start": False, "num_statements_after": 1}),
    ("python", "def f():\n    x = 1\n    ¦\n    return x\n", "function",
     START | {"num_statements_before": 1, "num_statements_after": 1}),
    ("python", "def f():\n    x = 1\n¦\n    return x\n", "function", {"num_statements_before": 1}),
    ("python", "def f():\n    x = 1\n¦\n\ny = 2\n", "", {"num_statements_before": 1, "num_statements_after": 1}),
    ("python", "class A:\n    def f(self):\n        pass\n\n    ¦", "class",
     {"num_statements_before": 1, "block_indent": 4}),
    ("python", "if a:\n    b\nelse:\n    ¦", "else", EMPTY_BLOCK),
    ("python", "try:\n    a\nexcept E as e:¦", "except", EMPTY_BLOCK),
    ("python", "for x in y:\n    with z as w:\n        ¦", "with loop", EMPTY_BLOCK),
    ("python", "match x:\n    case [a, b]:\n        ¦", "case switch", EMPTY_BLOCK),
    ("python", "async def f(\n    a: int = 1,\n) -> dict[str, int]:\n    ¦", "function",
     EMPTY_BLOCK | {"block_indent": 4}),
    ("python", "@dec(a=1)\ndef f():\n\t¦", "function", EMPTY_BLOCK | {"block_indent": 8}),
    ("python", "x: ¦", "", {"is_empty_block_start": False}),
    ("python", "f = lambda x:¦", "", {"is_empty_block_start": False}),
    ("python", "if a:\n  x\n  if b:\n    ¦", "if if", EMPTY_BLOCK | {"block_indent": 4}),
    # --- Python: brackets, strings, comments
    ("python", "foo(¦)", "brackets", {"open_brackets": "("}),
    ("python", "x = [1, (2, ¦", "brackets", {"open_brackets": "[("}),
    ("python", "def f():\n    foo(\n        ¦\n    )\n", "brackets function",
     {"open_brackets": "(", "is_statement_start": False}),
    ("python", "foo(a, \ndef g():\n    ¦", "function", EMPTY_BLOCK),
    ("python", "x = 'abc¦\ny = 2\n", "", {"is_in_string": True}),
    ("python", 'def f():\n    """Doc¦', "function", {"is_in_docstring": True, "is_in_string": True}),
    ("python", 'def f():\n    """¦"""\n', "function", {"is_in_docstring": True}),
    ("python", 'def f():\n    """Doc.\n\n    More.\n    ¦', "function", {"is_in_docstring": True}),
    ("python", 'def f():\n    """Doc."""\n    ¦\n', "function", {"is_after_documentation": True} | EMPTY_BLOCK),
    ("python", "def f():\n    # adds them\n    ¦\n", "function", {"is_after_documentation": True}),
    ("python", "def f():\n    x = 1\n    # now add\n    ¦\n    return x\n", "function", {"is_after_documentation": True}),
    ("python", "def f():\n    x = 1  # one\n    ¦\n", "function", {"is_after_documentation": False}),
    ("python", "# parse a date\n¦", "", {"is_after_documentation": True}),
    ("python", "#!/usr/bin/env python\n¦", "", {"is_after_documentation": False}),
    ("python", "# comment ¦", "", {"is_in_comment": True}),
    ("python", "x = 1  # it's ¦\n", "", {"is_in_comment": True, "is_in_string": False}),
    ("python", "x = '#'¦", "", {"is_in_comment": False, "is_in_string": False}),
    ("python", "x = \"it's\"\n¦", "", {"is_in_string": False}),
    ("python", "x = f'{a!r}'\ny = ¦", "", {"is_in_string": False, "num_statements_before": 1}),
    ("python", 'x = """a\nb"""\n¦', "", {"is_in_string": False, "num_statements_before": 1}),
    ("python", "x = 1 + \\\n    ¦", "", {"num_statements_before": 0}),
    # --- JavaScript, TypeScript
    ("javascript", "function f() {\n  if (x) {¦}\n  return 1;\n}\n", "if function", EMPTY_BLOCK),
    ("javascript", "function f() {\n  if (x) {¦\n  return 1;\n}\n", "if function", EMPTY_BLOCK | {"block_indent": 4}),
    ("javascript", "function f() {\n  if (x) {\n    ¦\n  }\n}\n", "if function", EMPTY_BLOCK | START),
    ("javascript", "const f = (a) => {\n  ¦\n}\n", "function", EMPTY_BLOCK | {"block_indent": 2}),
    ("javascript", "foo(a, function () {\n  x\n  ¦\n})\n", "function brackets", {"num_statements_before": 1}),
    ("javascript", "const a = {\n  b: ¦\n}", "brackets", {"open_brackets": "{"}),
    ("javascript", "const s = `a ${b.¦} c`;\n", "brackets", {"is_in_string": False}),
    ("javascript", "const s = `a\n¦ ${b} c`;\n", "", {"is_in_string": True}),
    ("javascript", "x = a / b; // it's\n¦", "", {"num_statements_before": 1, "is_in_string": False}),
    ("javascript", "x = /['\"]/.test(y)\n¦", "", {"num_statements_before": 1, "is_in_string": False}),
    ("javascript", "const x = y\n  .map(z)\n¦", "", {"num_statements_before": 1}),
    ("javascript", "switch (x) {\n  case 1:\n    ¦\n}\n", "case switch", EMPTY_BLOCK),
    ("javascript", "try {\n  a();\n} catch (e) {¦}\n", "except", EMPTY_BLOCK),
    ("javascript", "if (a) {\n  b();\n} else {\n  ¦\n}\n", "else", EMPTY_BLOCK),
    ("typescript", "class A {\n  m(a: string): Promise<void> {¦}\n}\n", "function class", EMPTY_BLOCK),
    ("typescript", "export interface I {\n  ¦\n}\n", "class", EMPTY_BLOCK),
    ("typescript", "import { ¦ } from './m';\n", "brackets", {"open_brackets": "{"}),
    ("typescript", "function f(): { a: string } {\n  ¦\n}\n", "function", EMPTY_BLOCK),
    # --- Java, Go, Rust, C, C++
    ("java", "class A {\n    void f(int a) {¦\n    void g() {\n    }\n}\n", "function class", EMPTY_BLOCK),
    ("java", "class A {\n    void f() {\n        int x = 1;\n        ¦\n    }\n}\n", "function class",
     START | {"num_statements_before": 1, "block_indent": 8}),
    ("java", "class A {\n    @Override\n    public String f() throws E {\n        ¦", "function class", EMPTY_BLOCK),
    ("java", "/**\n * Adds ¦\n */", "", {"is_in_comment": True}),
    ("java", "class A {\n    /** Doc. */\n    ¦\n}\n", "class", {"is_after_documentation": True}),
    ("go", "func f() error {\n\tif err := g(); err != nil {\n\t\t¦\n\t}\n}\n", "if function",
     EMPTY_BLOCK | {"block_indent": 16}),
    ("go", "x := []int{1, ¦}", "brackets", {"open_brackets": "{"}),
    ("go", "type T struct {\n\t¦\n}\n", "class", EMPTY_BLOCK),
    ("rust", "fn f<'a>(x: &'a str) {\n    let y = 'z';\n    ¦\n}\n", "function", {"num_statements_before": 1}),
    ("rust", "fn f() -> u8 {\n    match x {\n        Some(y) => {¦}\n    }\n}\n", "case switch function", EMPTY_BLOCK),
    ("rust", 'let s = r#"a " b"#;\n¦', "", {"is_in_string": False, "num_statements_before": 1}),
    ("rust", "let p = Point { x: ¦", "brackets", {"open_brackets": "{"}),
    ("c", "#include <x.h>\n#define F(x) {\nint f(void)\n{\n  ¦\n}\n", "function", EMPTY_BLOCK),
    ("c", "int main(void) {\n    switch (a) {\n    case 1:\n        ¦\n    }\n}\n", "case switch function", EMPTY_BLOCK),
    ("c", "struct point origin(void) {\n  ¦", "function", EMPTY_BLOCK),
    ("c", "int a[] = {1, ¦", "brackets", {"open_brackets": "{"}),
    ("cpp", "namespace a {\nclass B : public C {\n public:\n  B(int x) : x_(x) {\n    ¦", "function class module",
     EMPTY_BLOCK),
    ("cpp", "auto f = [&](int x) {\n  ¦\n};\n", "function", EMPTY_BLOCK),
    ("cpp", "const X * A::get() const {\n  ¦\n}\n", "function", EMPTY_BLOCK),
    # --- a brace left open above does not swallow what follows
    ("java", "class A {\n    void f() {\n        if (x) {\n    }\n\n    ¦\n}\n", "class", {"num_statements_before": 1}),
    # --- without a grammar
    ("kotlin", "fun f(x: Int) {\n    when (x) {\n        1 -> {\n            ¦", "case switch function", EMPTY_BLOCK),
    ("ruby", "class A\n  def f(x)\n    ¦\n  end\nend\n", "function class", EMPTY_BLOCK),
    ("lua", "function f(x)\n  ¦\nend\n", "function", EMPTY_BLOCK),
    ("shell", "if [ -n \"$x\" ]; then\n  ¦\nfi\n", "if", EMPTY_BLOCK),
    ("swift", "func f() {\n  guard let x = y else {¦}\n}\n", "if function", EMPTY_BLOCK),
    ("csharp", "class A {\n    int F() {\n        return x ?? ¦", "function class", {"is_empty_block_start": False}),
    ("php", "<?php\nfunction f($a) {\n    # it's\n    ¦\n}\n", "function", {"is_after_documentation": True}),
    ("frob", "thing foo {\n  a # x\n  ¦\n}\n", "other", {}),
    ("markdown", "It's (a) text\n¦", "", {"is_in_string": False}),
]  # fmt: skip


@pytest.mark.parametrize("has_tree", [True, False], ids=["tree", "text"])
@pytest.mark.parametrize(("name", "marked", "blocks", "facts"), CASES)
def test_place(name: str, marked: str, blocks: str, facts: dict[str, Any], has_tree: bool) -> None:
    """Facts that a cursor shows, with and without a tree."""
    cursor, language = at_mark(marked, name)
    tree = parse(cursor.document.text, language, around=cursor.offset) if has_tree else None
    place = place_at(cursor, language, tree)
    assert place.blocks == (*blocks.split(), "module")
    assert {fact: getattr(place, fact) for fact in facts} == facts


def test_clean_code_is_confirmed_by_the_grammar() -> None:
    cursor, language = at_mark("class A {\n  int f() {\n    return ¦1;\n  }\n}\n", "java")
    tree = parse(cursor.document.text, language, around=cursor.offset)
    assert place_at(cursor, language, tree).is_by_grammar
    assert not place_at(cursor, language, None).is_by_grammar


def test_the_grammar_knows_that_text_in_jsx_is_no_string() -> None:
    cursor, language = at_mark("const a = <p>Don't {¦x}</p>;\n", "javascriptreact")
    tree = parse(cursor.document.text, language, around=cursor.offset)
    assert place_at(cursor, language, None).is_in_string
    assert not place_at(cursor, language, tree).is_in_string


def test_a_tree_of_an_earlier_state_is_not_asked() -> None:
    cursor, language = at_mark("def f():\n    x = '¦'\n", "python")
    old = parse("y = 1\nz = 2222222222222222222222\n", language, around=0)
    assert not place_at(cursor, language, old).is_by_grammar


NASTY = st.text(
    st.one_of(
        st.sampled_from("(){}[]'\"`#/*\\\n\t\r :;,.=<>|$_ax0"),
        st.characters(exclude_categories=()),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(NASTY, st.integers(0, 80), st.sampled_from([case[0] for case in CASES]))
def test_nothing_raises(text: str, offset: int, name: str) -> None:
    """Any Unicode, lone surrogates and NUL included, in any language."""
    language = language_named(name)
    cursor = Cursor(document=Document(path="", text=text), offset=min(offset, len(text)))
    place = place_at(cursor, language, parse(text, language, around=cursor.offset))
    assert isinstance(place, Place)
    assert place.blocks[-1] == "module"
    assert place.num_statements_before >= 0
    assert place.num_statements_after >= 0


@pytest.mark.parametrize(
    "piece", ["x", "(", "'", "/a[", "{\n", "\t", "# a\n", "    if x:\n", '"""', "\\\n", "`${"]
)
@pytest.mark.parametrize("name", ["python", "javascript", "frob"])
def test_large_odd_texts_are_read_in_part(name: str, piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    cursor = Cursor(document=Document(path="", text=text), offset=len(text) // 2)
    assert place_at(cursor, language_named(name), None).blocks[-1] == "module"
