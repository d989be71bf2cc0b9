"""Imported names near the cursor bring their signatures, from open documents or the workspace's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.core.types import Cursor, Document
from paceline.hygiene.paths import PathRules
from paceline.prompt.context.blocks import blocks_of
from paceline.prompt.context.choose import ContextChooser
from paceline.prompt.context.config import ContextConfig, SourceConfig
from paceline.prompt.context.imports import Uses, definition_in, imports_in, names_wanted
from paceline.prompt.context.types import ChosenContext, EditorContext
from paceline.syntax.languages import language_of

OFF = SourceConfig(is_enabled=False)
CONFIG = ContextConfig(open_document=OFF, same_directory=OFF)
STORE_PY = '''import os

RATE = 0.2


@cached
def load_invoice(number: int, *, is_paid: bool = False) -> Invoice:
    """Read an invoice."""
    return Invoice(number)


class Store:
    def save(self, invoice: Invoice) -> None:
        pass
'''
FILES = {
    "python": ("shop/store.py", STORE_PY),
    "typescript": (
        "shop/store.ts",
        "export interface Order { id: number }\n\nexport function loadInvoice(id: number): Invoice {\n  return find(id)\n}\n",
    ),
    "java": (
        "src/main/java/shop/Store.java",
        "package shop;\n\npublic class Store {\n  public Invoice loadInvoice(int id) {\n    return null;\n  }\n}\n",
    ),
    "go": (
        "store/store.go",
        "package store\n\n// LoadInvoice reads one.\nfunc LoadInvoice(id int) (*Invoice, error) {\n\treturn nil, nil\n}\n",
    ),
    "rust": (
        "src/store.rs",
        "use std::io;\n\npub fn load_invoice(id: u32) -> Option<Invoice> {\n    None\n}\n",
    ),
    "c": ("shop/store.h", "#pragma once\n\nstruct invoice *load_invoice(int id);\n"),
}
USES = {
    "python": ("shop/web.py", "from shop.store import load_invoice\n\n\ndef f():\n    x = load_invoice("),
    "typescript": ("shop/web.ts", "import { loadInvoice } from './store'\n\nconst x = loadInvoice("),
    "java": ("src/main/java/web/Web.java", "import shop.Store;\n\nclass Web {\n  Store s = new Store("),
    "go": ("web/web.go", 'package web\n\nimport "example.org/shop/store"\n\nvar x = store.LoadInvoice('),
    "rust": ("src/web.rs", "use crate::store::load_invoice;\n\nfn f() {\n    let x = load_invoice("),
    "c": ("shop/web.c", '#include "store.h"\n\nvoid f() {\n    x = load_invoice('),
}  # fmt: skip


def choose(
    path: str, text: str, context: EditorContext, config: ContextConfig = CONFIG
) -> ChosenContext:
    cursor = Cursor(document=Document(path=path, text=text), offset=len(text))
    return ContextChooser(config, PathRules()).choose(cursor, context)


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_signature_is_found(tmp_path: Path, language: str, is_open: bool) -> None:
    path, text = FILES[language]
    if is_open:
        context = EditorContext(open_documents=(Document(path=f"/w/{path}", text=text),))
        own = f"/w/{USES[language][0]}"
    else:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
        context = EditorContext(workspace_root=str(tmp_path))
        own = str(tmp_path / USES[language][0])
    chosen = choose(own, USES[language][1], context)
    assert [snippet.origin for snippet in chosen.snippets] == ["import"], chosen.skipped
    found = chosen.snippets[0]
    assert found.path == (Path(path).name if is_open else path)
    name = (
        "Store"
        if language == "java"
        else "oadInvoice"
        if language in ("typescript", "go")
        else "load_invoice"
    )
    assert name in found.text
    assert "return" not in found.text and "None" not in found.text.split(")")[-1]


def test_only_names_in_use_are_looked_up() -> None:
    context = EditorContext(open_documents=(Document(path="shop/store.py", text=STORE_PY),))
    for text, expected in (
        ("from shop.store import Store, load_invoice\nload_invoice(", ["load_invoice"]),
        ("from shop.store import Store as Shop\nx = Shop()", ["Store"]),
        ("import shop.store\nshop.store.load_invoice(", ["load_invoice"]),
        ("import shop.store as st\nst.load_invoice(", ["load_invoice"]),
        ("from shop import store\nstore.load_invoice(", ["load_invoice"]),
        ("from .store import load_invoice\nload_invoice(", ["load_invoice"]),
        ("from shop.store import *\nload_invoice(", ["load_invoice"]),
        ("from shop.store import load_invoice\n" + "x = 1\n" * 30, []),
        ("from other.store import load_invoice\nload_invoice(", []),
    ):
        chosen = choose("shop/web.py", text, context)
        for name in ("Store", "load_invoice"):
            assert any(name in s.text for s in chosen.snippets) == (name in expected), text


def test_secret_ignored_and_outside_files_define_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("local.py\n")
    for name in ("local.py", "id_rsa.py", "store.py"):
        (tmp_path / name).write_text(STORE_PY)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "far.py").write_text(STORE_PY)
    (tmp_path / "linked").symlink_to(outside)
    context = EditorContext(workspace_root=str(tmp_path))
    for module, reason in (
        ("local", "git_ignored"),
        ("linked.far", "outside_workspace"),
        ("store", None),
    ):
        text = f"from {module} import load_invoice\nload_invoice("
        chosen = choose(str(tmp_path / "web.py"), text, context)
        reasons = [item.reason for item in chosen.skipped]
        assert (chosen.snippets == ()) == (reason is not None), module
        assert reasons == ([reason] if reason else [])
    opened = EditorContext(
        open_documents=(Document(path="local.py", text=STORE_PY),), workspace_root=str(tmp_path)
    )
    chosen = choose("web.py", "from local import load_invoice\nload_invoice(", opened)
    assert chosen.snippets == ()


@pytest.mark.parametrize(
    ("text", "name", "first", "last"),
    [
        (STORE_PY, "load_invoice", "@cached", "    return Invoice(number)"),
        (STORE_PY, "RATE", "RATE = 0.2", "RATE = 0.2"),
        ("static int\nadd(int a)\n{\n  return a;\n}\nint b;\n", "b", "", ""),
        ("int add(int a)\n{\n  return a;\n}\nint b;\n", "add", "int add(int a)", "}"),
        ("  return add(1)\nx = add(2)\n", "add", "", ""),
        ("x" * 100_000 + " add(", "add", "", ""),
        (" " * 100_000 + "def add(): pass", "add", "", ""),
        ("", "x", "", ""),
        (
            "type Shop struct {\n}\n\nfunc (s *Shop) Load() {\n}\n",
            "Shop",
            "type Shop struct {",
            "}",
        ),
    ],
)
def test_blocks(text: str, name: str, first: str, last: str) -> None:
    lines = blocks_of(text, name).rstrip().split("\n")
    assert (lines[0], lines[-1]) == (first, last)


def test_a_signature_stays_until_its_file_changes() -> None:
    text = "from shop.store import Store, load_invoice\n\n\ndef f():\n    load_invoice(Store"
    cursor = Cursor(document=Document(path="shop/web.py", text=text), offset=len(text))
    chooser = ContextChooser(CONFIG, PathRules())
    store = Document(path="shop/store.py", text=STORE_PY)
    before = chooser.choose(cursor, EditorContext(open_documents=(store,)))
    assert [snippet.origin for snippet in before.snippets] == ["import"]
    after = chooser.choose(cursor, EditorContext(open_documents=(store,)), before)
    assert after.snippets == before.snippets
    edited = Document(path="shop/store.py", text=STORE_PY.replace("is_paid", "is_open"))
    after = chooser.choose(cursor, EditorContext(open_documents=(edited,)), before)
    assert after.snippets == ()


def test_methods_that_stand_apart_come_with_their_type() -> None:
    for path, text in (
        ("a.go", "type Shop struct {\n}\n\nvar x = 1\n\nfunc (s *Shop) Load(id int) {\n}\n"),
        ("a.rs", "struct Shop {}\n\nconst X: u8 = 1;\n\nimpl Shop {\n    fn Load(&self) {}\n}\n"),
    ):
        found = definition_in(text, "Shop", language_of(Document(path=path, text="")))
        assert "struct Shop" in found or "type Shop struct" in found
        assert "Load(" in found


def test_wanted_names_and_heads() -> None:
    python = language_of(Document(path="a.py", text=""))
    (entry,) = imports_in("from a import (\n    b as c,\n    d,\n)", python)
    assert names_wanted(entry, Uses("c(d.e)")) == ["b", "d", "e"]
    assert names_wanted(entry, Uses("x")) == []
    assert imports_in("", python) == ()
