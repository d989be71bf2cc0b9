"""What files define, import, bind and read: Python against the interpreter's own compiler, others by example."""

from __future__ import annotations

import argparse
import ast
import inspect
import json.decoder
import symtable
import textwrap
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.syntax.languages import language_named
from paceline.syntax.outlines import definition_text
from paceline.syntax.scopes import names_in_scope
from paceline.syntax.symbols import FileSymbols, symbols
from paceline.syntax.tree import SyntaxTree, parse
from paceline.syntax.uses import names_used
from tests.syntax.cursors import at_mark
from tests.syntax.test_place import NASTY
from tests.syntax.test_tree import SOURCES


def tree_of(text: str, name: str) -> SyntaxTree:
    tree = parse(text, language_named(name), around=0)
    assert tree is not None
    return tree


def symbols_of(text: str, name: str) -> FileSymbols:
    return symbols(tree_of(text, name))


def in_scope(marked: str, name: str) -> frozenset[str]:
    cursor, language = at_mark(marked, name)
    tree = parse(cursor.document.text, language, around=cursor.offset)
    assert tree is not None
    return names_in_scope(tree, cursor.offset)


# --- Python, against ast and symtable

MODULES = [textwrap, json.decoder, argparse]


def module_names(source: str) -> set[str]:
    table = symtable.symtable(source, "x", "exec")
    return {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }


@pytest.mark.parametrize("module", MODULES)
def test_module_names_are_those_of_the_compiler(module: ModuleType) -> None:
    source = inspect.getsource(module)
    assert set(symbols_of(source, "python").names) == module_names(source)


@pytest.mark.parametrize("module", MODULES)
def test_definitions_are_those_of_ast(module: ModuleType) -> None:
    source = inspect.getsource(module)
    found = symbols_of(source, "python")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [entry.name for entry in found.classes] == [node.name for node in classes]
    for entry, node in zip(found.classes, classes, strict=True):
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        assert [method.name for method in entry.methods] == [one.name for one in methods]
        assert entry.bases == tuple(ast.unparse(base) for base in node.bases)
        for method, one in zip(entry.methods, methods, strict=True):
            arguments = {
                argument.arg for argument in ast.walk(one.args) if isinstance(argument, ast.arg)
            }
            assert set(method.parameters) == arguments


@pytest.mark.parametrize("module", MODULES)
def test_names_in_scope_of_functions_are_those_of_the_compiler(module: ModuleType) -> None:
    source = inspect.getsource(module)
    tree = tree_of(source, "python")
    top = module_names(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tables = {(table.get_name(), table.get_lineno()): table for table in all_functions(source)}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or (node.name, node.lineno) not in tables:
            continue
        last = node.body[-1]
        if isinstance(last, ast.FunctionDef | ast.ClassDef | ast.With | ast.For | ast.If | ast.Try):
            continue
        offset = starts[last.lineno - 1] + last.col_offset
        table = tables[node.name, node.lineno]
        own = {
            name for name in (*table.get_locals(), *table.get_frees()) if not name.startswith(".")
        }
        found = names_in_scope(tree, offset)
        assert own | top <= found | {"__class__"}, node.name
        extra = found - own - top
        if not table.is_nested():
            assert not extra, (node.name, extra)


def all_functions(source: str) -> list[symtable.Function]:
    found, stack = [], [symtable.symtable(source, "x", "exec")]
    while stack:
        table = stack.pop()
        stack.extend(table.get_children())
        if isinstance(table, symtable.Function) and table.get_name() not in (
            "lambda",
            "listcomp",
            "genexpr",
        ):
            found.append(table)
    return found


def test_imports_are_those_of_ast() -> None:
    source = (
        "from . import a\nfrom ..b.c import (d as e, f)\nfrom x import *\nimport a.b as c, d.z\n"
        "from __future__ import annotations\ndef f():\n    from q import r\n"
    )
    found = symbols_of(source, "python").imports
    said = [
        (
            entry.level,
            entry.module,
            [(name.name, name.alias) for name in entry.names],
            entry.has_all,
        )
        for entry in found
    ]
    assert said == [
        (1, "", [("a", "")], False),
        (2, "b.c", [("d", "e"), ("f", "")], False),
        (0, "x", [], True),
        (0, "a.b", [], False),
        (0, "d.z", [], False),
        (0, "__future__", [("annotations", "")], False),
        (0, "q", [("r", "")], False),
    ]
    assert [entry.bound_names for entry in found[2:5]] == [(), ("c",), ("d",)]


SCOPES = [
    ("python", "class A:\n    k = 1\n    def f(self, a, *b, c=1):\n        d = [e for e in a]\n        with x as w: pass\n"
     "        for i, (j, m) in d: pass\n        try: pass\n        except E as ex: pass\n        def g(q): r = 1\n"
     "        h = lambda z: z\n        ¦\n    def o(self): no = 1\n", "A self a b c d w i j m ex g h"),
    ("python", "class A:\n    k = 1\n    def f(self):\n        y = 1\n    ¦\n", "A k f"),
    ("python", "def f(a):\n    x = [b for b in c if ¦b]\n", "f a x b"),
    ("python", "def f(a, b=¦):\n    x = 1\n", "f"),
    ("python", "def f(a):\n    xx = 1\n    foo(xx, ¦\n\nclass B:\n    pass\n", "f a xx B foo"),
    ("python", "def f(a):\n    def g(b):\n        ¦\n    c = 1\n", "f a g b c"),
    ("python", "def f():\n    global G\n    G = (n := 1)\n    match n:\n        case [p, {'k': q}, C(r, s=t), *u]:\n            ¦\n",
     "f G n p q r t u"),
    ("javascript", "import z from 'z';\nfunction f(a, {b, c: d}) { const e = 1; for (const i of e) { g(k => { ¦}) } var m }\n",
     "z f a b d e i k m"),
    ("typescript", "class C { m(a: string, b?: number) { const x = 1; ¦ } }", "C a b x"),
    ("java", "class A { int x; void m(String s, int... t) { int y = 1; for (int i : t) { ¦ } } void o(int zz) {} }",
     "A x m o s t y i"),
    ("go", "package p\nfunc (r *R) M(a, b int) (n int) { x, y := 1, 2; for i, v := range x { ¦ } }\nfunc G(zz int) {}",
     "M G r a b n x y i v"),
    ("rust", "fn f(a: u8, (b, c): (u8, u8)) { let d = 1; if let Some(e) = g { ¦ } }", "f a b c d e"),
    ("cpp", "int f(int a, const B& b) { auto c = 1; for (auto& d : e) { ¦ } }", "f a b c d"),
    ("c", "static int *f(int a, char **b) { int c = 1, *d; ¦ }", "f a b c d"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "marked", "expected"), SCOPES)
def test_names_in_scope(name: str, marked: str, expected: str) -> None:
    assert in_scope(marked, name) == frozenset(expected.split())


SYMBOLS = [
    ("javascript", "import d, {a as b} from './m';\nimport * as ns from 'n';\nconst {r, s: t} = require('v');\n"
     "export default class A extends B { x = 1; m({a}, ...c) { this.z = 1; } go = (e) => {} }\n"
     "const f = async (p) => { let w = 1; };\nexport function g() {}\n",
     "f g", {"A": "m go | x z"}, "A b d f g ns r t"),
    ("typescript", "interface I extends J { a: string; m(x: number): void }\ntype T = I;\nenum E { A, B = 1 }\n"
     "abstract class C<T> { private x = 1; constructor(readonly y: string) {} abstract q(): void; }\n"
     "declare function f(x: A): void;\n",
     "f", {"I": "m | a", "E": "| A B", "C": "constructor q | x y"}, "C E I T f"),
    ("java", "import a.b.C;\nclass X extends Y { int a, b = 1; X(int q) { this.r = q; } void m() { int l = 1; } }\n",
     "", {"X": "X m | a b r"}, "C X"),
    ("go", 'package p\nimport (\n f "a/b"\n "k/j/v3"\n)\ntype T struct { A, b int }\ntype I interface { M(x int) }\n'
     "const (\n X = iota\n Y\n)\nvar z, w = 1, 2\nfunc (r *T) N(a int) { x := 1 }\n",
     "N", {"T": "| A b", "I": "M |"}, "I N T X Y f j w z"),
    ("rust", "use a::{c, d as e};\nstruct S { a: u8 }\nenum E { A, B(u8) }\ntrait Tr { fn q(&self); }\n"
     "impl Tr for S { fn q(&self) { let z = 1; } }\nconst K: u8 = 1;\nfn f() {}\n",
     "f", {"S": "q |", "E": "| A B", "Tr": "q |"}, "E K S Tr c e f"),
    ("c", "#define A 1\ntypedef struct { int a; char *b; } S;\nenum E { E1, E2 };\nint g(int x);\nstatic int v;\n"
     "int f(void) { int l; return l; }\n",
     "g f", {"S": "| a b", "E": "| E1 E2"}, "A E E1 E2 S f g v"),
    ("cpp", "using T = int;\nnamespace n { template <class U> class C : public B { public: C(int x) {} int m() const; "
     "int y_ = 0; }; }\nint n::C::m() const { return 1; }\n",
     "m", {"C": "C m | y_"}, "C T U m n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "functions", "classes", "names"), SYMBOLS)
def test_symbols(name: str, text: str, functions: str, classes: dict[str, str], names: str) -> None:
    found = symbols_of(text, name)
    assert [function.name for function in found.functions] == functions.split()
    said = {
        entry.name: f"{' '.join(method.name for method in entry.methods)} | {' '.join(entry.attributes)}".strip()
        for entry in found.classes
    }
    assert said == classes
    assert set(found.names) == set(names.split())


USES = [
    ("python", "from .a import b\nimport os.path as p\ndef f(x: T = D) -> R:\n    y = os.path.join(x, sep=q)\n"
     "    self.foo.bar = z\n@dec\nclass A(B): pass\n",
     ".a@ os.path@ T D R os os.path os.path.join x q self self.foo self.foo.bar z dec B"),
    ("python", "[k for k in m.items() if k]\nprint(k, *a, **b)\nx[i].y\n",
     "k m m.items k print k a b x i x[i].y"),
    ("javascript", "import a from 'm';\nconst {x} = foo.bar(y?.z, {k: v, sh});\n", "m@ foo foo.bar y y.z v sh"),
    ("java", "class A { void m() { foo(this.x); a.b.d(e); List<T> l = new Q(); } }",
     "foo this.x a a.b a.b.d e List T Q"),
    ("go", "package p\nfunc f() { fmt.Println(x, T{A: b}) }", "p fmt fmt.Println x T b"),
    ("rust", "fn f() { a::b(x.y(), S { f: g }); }", "a a.b x x.y S g"),
    ("cpp", "int f() { std::move(a->b); c.d(e); }", "std std.move a a.b c c.d e"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), USES)
def test_names_used(name: str, text: str, expected: str) -> None:
    """An attribute is written with what it is read of; a module with an @."""
    tree = tree_of(text, name)
    said = []
    for use in names_used(tree, 0, len(text)):
        mark = "@" if use.kind == "module" else ""
        said.append((f"{use.receiver}." if use.receiver else "") + use.name + mark)
        assert text[use.start :].startswith(use.name) or use.kind == "module"
    assert " ".join(said) == expected


def test_uses_are_those_of_a_range() -> None:
    text = "a = b\nc = d.e\nf(g)\n"
    found = names_used(tree_of(text, "python"), 6, 13)
    assert [(use.name, use.kind) for use in found] == [("d", "name"), ("e", "attribute")]


def test_uses_in_broken_code_say_so() -> None:
    found = names_used(tree_of("foo(bar.\n", "python"), 0, 9)
    assert {use.name for use in found} == {"foo", "bar"}
    assert all(use.is_in_error for use in found)


OUTLINES = [
    ("python", '@dataclass\nclass A(B):\n    """Doc.\n\n    More.\n    """\n    k: int = 1\n    @property\n    def p(self) -> int:\n'
     '        """Say p."""\n        return 1\n    def q(self): return 2\n', "A",
     '@dataclass\nclass A(B):\n    """Doc."""\n    k: int = 1\n    @property\n    def p(self) -> int:\n        """Say p."""\n'
     "    def q(self): ..."),
    ("python", "async def f(a, b=1):\n    return a\n", "f", "async def f(a, b=1): ..."),
    ("python", "LIMIT = 10\n", "LIMIT", "LIMIT = 10"),
    ("python", "class E(Exception):\n    pass\n", "E", "class E(Exception):\n    ..."),
    ("typescript", "/** Does it.\n * @param a x */\nexport async function f(a: string): Promise<void> { return; }\n", "f",
     "// Does it.\nexport async function f(a: string): Promise<void>;"),
    ("typescript", "export interface I {\n  a: string\n  b(x: number): void\n}\n", "I",
     "export interface I {\n    a: string\n    b(x: number): void;\n}"),
    ("go", "// T is a thing.\ntype T struct {\n\tA, b int\n}\n\n// M does.\nfunc (t *T) M(a int) error { return nil }\n", "T",
     "// T is a thing.\ntype T struct {\n    A, b int\n}\n// M does.\nfunc (t *T) M(a int) error;"),
    ("rust", "/// A struct.\n#[derive(Debug)]\npub struct S {\n    a: u8,\n}\nimpl S {\n    /// New.\n    pub fn new() -> Self { S {} }\n}\n",
     "S", "// A struct.\npub struct S {\n    a: u8\n}\nimpl S {\n    // New.\n    pub fn new() -> Self;\n}"),
    ("java", "/** Doc. */\npublic class X {\n    private int a = 1;\n    @Override\n    public void m() { }\n}\n", "X",
     "// Doc.\npublic class X {\n    private int a = 1;\n    @Override\n    public void m();\n}"),
    ("c", "/* Adds. */\nstatic int add(int a, int b) { return a + b; }\n", "add",
     "// Adds.\nstatic int add(int a, int b);"),
    ("cpp", "class C {\n public:\n  int m() const { return x_; }\n private:\n  int x_;\n};\n", "C",
     "class C {\n  public:\n    int m() const;\n  private:\n    int x_;\n}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "wanted", "expected"), OUTLINES)
def test_definition_text(name: str, text: str, wanted: str, expected: str) -> None:
    assert definition_text(tree_of(text, name), wanted) == expected


def test_what_is_not_defined_has_no_text() -> None:
    assert definition_text(tree_of("x = y\n", "python"), "y") is None


@settings(max_examples=60, deadline=None)
@given(NASTY, st.sampled_from(sorted(SOURCES)), st.integers(0, 200))
def test_nothing_raises_in_broken_code(text: str, name: str, offset: int) -> None:
    """Sound code with nonsense in the middle."""
    source = SOURCES[name]
    at = min(offset, len(source))
    tree = tree_of(source[:at] + text + source[at:], name)
    found = symbols(tree)
    assert isinstance(found, FileSymbols)
    assert set(found.names) <= names_in_scope(tree, at)
    names_used(tree, at, at + len(text))
    for function in found.functions:
        definition_text(tree, function.name)
