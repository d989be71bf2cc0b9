"""Names, attributes and modules of a project: found where they are, unknown where nobody can say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete import project, words
from paceline.complete.project import MAX_NEW_CHARS, ProjectIndex
from paceline.complete.words import words_of
from paceline.core.types import Document

FILES = {
    "pyproject.toml": '[project]\ndependencies = ["attrs>=2", "scikit-learn[x] ; python_version>\'3\'"]\n',
    "requirements-dev.txt": "pytest-cov==3\n# no\nmypy\n",
    "package.json": '{"dependencies": {"express": "1", "@house/garden": "2"}}',
    ".gitignore": "generated/\nbuilt_*.py\n",
    "src/shop/__init__.py": "",
    "src/shop/prices.py": "",
    "src/shop/api/orders.py": "",
    "src/shop/fast.cpython-311-x86_64-linux-gnu.so": "",
    "web/orders.ts": "",
    "web/users.ts": "",
    "web/lib/index.js": "",
    "web/theme.module.css": "",
    "rust/src/main.rs": "",
    "rust/src/net.rs": "",
    "rust/src/net/tcp.rs": "",
    "c/box.h": "",
    ".venv/lib/python3.11/site-packages/attr/__init__.py": "",
    ".venv/lib/python3.11/site-packages/six.py": "",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("workspace")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    outside = tmp_path_factory.mktemp("outside")
    (outside / "far.py").write_text("")
    (folder / "src/shop/linked").symlink_to(outside)
    return str(folder)


@pytest.mark.parametrize(
    ("path", "language", "name", "answer"),
    [
        ("src/shop/orders.py", "python", ".prices", True),
        ("src/shop/orders.py", "python", ".api.orders", True),
        ("src/shop/orders.py", "python", ".fast", True),
        ("src/shop/orders.py", "python", ".", True),
        ("src/shop/orders.py", "python", ".discounts", False),
        ("src/shop/orders.py", "python", ".api.nothing", False),
        ("src/shop/orders.py", "python", ".nothing.orders", False),
        ("src/shop/orders.py", "python", "._version", None),
        ("src/shop/orders.py", "python", ".built_by_make", None),
        ("src/shop/orders.py", "python", ".linked.far", None),
        ("src/shop/api/orders.py", "python", "..prices", True),
        ("src/shop/api/orders.py", "python", "..rebates", False),
        ("src/shop/api/orders.py", "python", "...........x", None),
        ("src/shop/orders.py", "python", "os.path", True),
        ("src/shop/orders.py", "python", "shop.prices", True),
        ("src/shop/orders.py", "python", "shop.rebates", False),
        ("src/shop/orders.py", "python", "attr", True),
        ("src/shop/orders.py", "python", "six.moves", True),
        ("src/shop/orders.py", "python", "pytest_cov", True),
        ("src/shop/orders.py", "python", "mypy.api", True),
        ("src/shop/orders.py", "python", "orjson_tools", False),
        ("web/orders.ts", "typescript", "./users", True),
        ("web/orders.ts", "typescript", "./users.js", True),
        ("web/orders.ts", "typescript", "./lib", True),
        ("web/orders.ts", "typescript", "./lib/index.js", True),
        ("web/orders.ts", "typescript", "./theme.module.css", True),
        ("web/orders.ts", "typescript", "..", True),
        ("web/orders.ts", "typescript", "./discounts", False),
        ("web/orders.ts", "typescript", "./discounts.js", False),
        ("web/orders.ts", "typescript", "./generated/graphql", None),
        ("web/orders.ts", "typescript", "./$types", None),
        ("web/orders.ts", "typescript", "../../elsewhere", None),
        ("web/orders.ts", "typescriptreact", "express", True),
        ("web/orders.ts", "typescript", "@house/garden/sub", True),
        ("web/orders.ts", "typescript", "node:fs", True),
        ("web/orders.ts", "typescript", "fs/promises", True),
        ("web/orders.ts", "typescript", "left-pad", None),
        ("rust/src/main.rs", "rust", "self::net", True),
        ("rust/src/net.rs", "rust", "self::tcp", True),
        ("rust/src/net.rs", "rust", "self::udp", False),
        ("rust/src/main.rs", "rust", "serde", None),
        ("c/box.c", "c", "./box.h", True),
        ("c/box.c", "c", "./ball.h", None),
        ("c/box.c", "go", "fmt", None),
        ("/elsewhere/a.py", "python", ".prices", None),
        ("\0", "python", ".prices", None),
    ],
)
def test_modules(root: str, path: str, language: str, name: str, answer: bool | None) -> None:
    view = ProjectIndex().seen_from(Document(path=path, text=""), root)
    assert view.has_module(language, name) is answer


def test_modules_without_a_workspace() -> None:
    index = ProjectIndex()
    assert index.has_module("python", "json.decoder") is True
    assert index.has_module("python", "numpy") is None
    assert index.has_module("python", ".prices") is None
    assert index.has_module("javascript", "node:fs") is True
    index.update(Document(path="a.py", text="import numpy as np, yaml.nodes\nfrom attr import s\n"))
    index.update(
        Document(path="a.ts", text="import {x} from '@house/x'\nconst y = require(\"why\")\n")
    )
    assert [index.has_module("python", name) for name in ("numpy", "yaml.nodes", "attr")] == [
        True
    ] * 3
    assert [index.has_module("javascript", name) for name in ("@house/x", "why")] == [True] * 2
    assert index.has_module("python", "why") is None


def test_new_files_are_seen(root: str) -> None:
    view = ProjectIndex().seen_from(Document(path="web/orders.ts", text=""), root)
    assert view.has_module("typescript", "./late") is False
    late = Path(root) / "web/late.ts"
    late.write_text("")
    os.utime(late.parent, ns=(1, 1))
    assert view.has_module("typescript", "./late") is True


def test_names_follow_the_newest_text() -> None:
    index = ProjectIndex()
    index.update(Document(path="a.py", text="def frobnicate(x):\n    return x.width\n"))
    assert index.has_name("python", "frobnicate") and index.has_attribute("python", "width")
    assert index.has_attribute("python", "frobnicate")
    assert not index.has_attribute("python", "return")
    assert not index.has_name("go", "frobnicate")
    index.update(Document(path="a.py", text="class Box: ...\n"))
    assert not index.has_name("python", "frobnicate") and index.has_name("python", "Box")
    index.update(Document(path="b.ts", text="export const net = 1"))
    assert index.has_name("javascriptreact", "net")
    index.forget("b.ts")
    assert not index.has_name("javascript", "net")


def test_what_one_user_wrote_no_other_hears_of() -> None:
    index = ProjectIndex()
    path = "billing.py"
    index.update_all([Document(path=path, text="import vault\nclass Ledger:\n    pin = 1")], "ann")
    index.update_all([Document(path=path, text="x = 1")], "bob")
    ann, bob, nobody = (
        index.seen_from(Document(path=path, text=""), owner=owner) for owner in ("ann", "bob", "")
    )
    assert ann.has_name("python", "Ledger") and ann.has_attribute("python", "pin")
    assert ann.has_module("python", "vault")
    for other in (bob, nobody):
        assert not other.has_name("python", "Ledger")
        assert not other.has_attribute("python", "pin")
        assert other.has_module("python", "vault") is None
    assert bob.has_name("python", "x") and not ann.has_name("python", "x")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "MAX_DOCUMENTS", 3)
    monkeypatch.setattr(project, "MAX_NAMES", 50)
    index = ProjectIndex()
    for number in range(6):
        index.update(Document(path=f"{number}.py", text=f"name_{number} = 1"))
        index.update(Document(path="0.py", text="name_0 = 1"))
    assert index.num_documents == 3
    assert index.has_name("python", "name_0") and not index.has_name("python", "name_2")
    large = Document(path="large.py", text=" ".join(f"word_{number}" for number in range(90)))
    index.update(large)
    assert index.num_documents == 1
    index.update(Document(path="small.py", text="tiny = 1"), "ann")
    assert index.num_documents == 1 and index.has_name("python", "tiny", "ann")


@settings(max_examples=60, deadline=None)
@given(
    st.text(
        alphabet=st.one_of(st.characters(), st.sampled_from("import a,.'\n\0\ud800")), max_size=200
    )
)
def test_any_text(text: str) -> None:
    index = ProjectIndex()
    index.update(Document(path=text, text=text, language="python"))
    view = index.seen_from(Document(path=text, text=text), "/nowhere")
    assert view.has_module("python", text) in (True, False, None)
    assert view.has_module("javascript", "./" + text) in (True, False, None)


def test_after_a_keystroke_one_block_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(
        f"def function_{n}(a, b):\n    return a.field_{n} + b[{n}]" for n in range(700)
    )
    index = ProjectIndex()
    index.update(Document(path="a.py", text=text))
    num_read = words._known_block.cache_info().misses
    for number in range(20):
        index.update(Document(path="a.py", text=f"{text}\nx{number}"))
    assert words._known_block.cache_info().misses == num_read + 20
    assert words_of(text).names >= {"function_1", "function_699"}


def test_many_new_documents_are_read_over_several_keystrokes() -> None:
    index = ProjectIndex()
    text = "name = 1\n" * (MAX_NEW_CHARS // 20)
    documents = [Document(path=f"{number}.py", text=text) for number in range(5)]
    large = Document(path="large.py", text=text * 4)
    assert not index.update_all([large, *documents])
    assert index.num_documents == 1
    known = [index.update_all([large, *documents]) for _ in range(3)]
    assert known == [False, False, True]
    assert index.num_documents == 6


@pytest.mark.parametrize("piece", ["a", "a ", "import \n ", " \n", "a.", "def ", "from a"])
def test_a_text_without_line_ends_or_with_nothing_else_is_read_in_one_pass(piece: str) -> None:
    """Read again from each character, it would take minutes."""
    size = 200_000
    found = words_of("import " + piece * (size // len(piece)))
    assert found.names
    assert "x" in words_of("x = '" + "a" * size + "'").names


def test_lines_without_a_blank_one_among_them_are_read_in_pieces() -> None:
    text = "".join(f"value_{n} = compute_{n}(first, second)\n" for n in range(20_000))
    words_of(text)
    num_read = words._known_block.cache_info().misses
    for at in (0, 300_000, 700_000):
        assert {"value_0", "typed_here", "compute_9999"} <= words_of(
            f"{text[:at]} typed_here {text[at:]}"
        ).names
    assert words._known_block.cache_info().misses - num_read < 30
    assert "".join(words._blocks(text)) == text
    long = "word_1 word_2 " * 1_000
    assert words_of(long).names == {"word_1", "word_2"}


def test_files_of_secrets_are_left_out() -> None:
    index = ProjectIndex()
    assert index.update_all([Document(path=".env", text="token_of_mine = 1", language="python")])
    assert index.num_documents == 0
