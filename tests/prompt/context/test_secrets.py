"""Secret, ignored and git-ignored files never enter a prompt, whichever source they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paceline.core.types import Cursor, Document, Snippet
from paceline.hygiene.paths import PathRules
from paceline.prompt.context.choose import ContextChooser
from paceline.prompt.context.config import ContextConfig, SourceConfig
from paceline.prompt.context.types import ChosenContext, EditorContext, RecentEdit

CODE = "def save_order(order):\n    database.write(order.number, order.customer)\n"
"""Looks like the text at the cursor, so that nothing but its path keeps it out."""

Source = Callable[[str], EditorContext]
SOURCES: dict[str, Source] = {
    "open_document": lambda path: EditorContext(open_documents=(Document(path=path, text=CODE),)),
    "recent_edit": lambda path: EditorContext(
        recent_edits=(RecentEdit(path=path, before="", after=CODE),)
    ),
    "client": lambda path: EditorContext(client_snippets=(Snippet(path=path, text=CODE),)),
}
PATHS = {
    ".env": "secret_file",
    "deploy/.env.production": "secret_file",
    "keys/server.pem": "secret_file",
    "/home/someone/.ssh/id_ed25519": "secret_file",
    "/home/someone/.netrc": "secret_file",
    "file:///home/someone/.aws/credentials": "secret_file",
    "generated/orders.py": "ignored_glob",
    "build/orders.py": "git_ignored",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("build/\nlocal_*.py\n")
    return tmp_path


def choose(
    context: EditorContext,
    root: Path,
    *,
    path: str = "orders.py",
    previous: ChosenContext | None = None,
    config: ContextConfig = ContextConfig(),
) -> ChosenContext:
    text = "def update_order(order):\n    database.write(order.number)\n    "
    cursor = Cursor(document=Document(path=path, text=text), offset=len(text))
    context = EditorContext(
        open_documents=context.open_documents,
        recent_edits=context.recent_edits,
        client_snippets=context.client_snippets,
        notebook_cells=context.notebook_cells,
        clipboard=context.clipboard,
        workspace_root=str(root),
    )
    chooser = ContextChooser(config, PathRules(("generated/**",)))
    return chooser.choose(cursor, context, previous)


@pytest.mark.parametrize("origin", SOURCES)
@pytest.mark.parametrize("path", PATHS)
def test_what_the_client_sends_is_judged_by_its_path(root: Path, origin: str, path: str) -> None:
    chosen = choose(SOURCES[origin](path), root)
    assert chosen.snippets == ()
    assert [(item.origin, item.reason) for item in chosen.skipped] == [(origin, PATHS[path])]


@pytest.mark.parametrize("origin", SOURCES)
def test_the_same_text_of_another_file_enters(root: Path, origin: str) -> None:
    for path in ("store.py", str(root / "store.py"), "/usr/lib/python3/store.py"):
        chosen = choose(SOURCES[origin](path), root)
        assert [snippet.origin for snippet in chosen.snippets] == [origin], path


@pytest.mark.parametrize("origin", SOURCES)
def test_a_link_is_judged_by_what_it_leads_to(root: Path, tmp_path: Path, origin: str) -> None:
    (root / "notes.py").symlink_to("/home/someone/.ssh/id_rsa")
    assert choose(SOURCES[origin]("notes.py"), root).snippets == ()


def test_files_of_the_same_folder(root: Path) -> None:
    for name in ("local_orders.py", "generated/a.py", "store.py", ".env"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(CODE)
    chosen = choose(EditorContext(), root, path=str(root / "orders.py"))
    assert [snippet.path for snippet in chosen.snippets] == ["store.py"]
    assert [(item.path, item.reason) for item in chosen.skipped] == [
        (str(root / "local_orders.py"), "git_ignored")
    ]
    assert choose(EditorContext(), root, path=str(root / ".env.local")).snippets == ()
    for folder in ("generated", "build"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "b.py").write_text(CODE)
        assert choose(EditorContext(), root, path=str(root / folder / "c.py")).snippets == ()


def test_cells_of_a_secret_notebook(root: Path) -> None:
    context = EditorContext(notebook_cells=("table = 1",))
    assert choose(context, root, path="build/a.ipynb").snippets == ()
    assert choose(context, root, path="a.ipynb").snippets


def test_secrets_in_harmless_files(root: Path) -> None:
    secret = f'    database.token = "ghp_{"0aB9" * 9}"\n'
    text = CODE + secret
    config = ContextConfig(clipboard=SourceConfig())
    contexts = (
        EditorContext(open_documents=(Document(path="a.py", text=text),)),
        EditorContext(recent_edits=(RecentEdit(path="a.py", before="", after=text),)),
        EditorContext(notebook_cells=(text,)),
        EditorContext(clipboard=text),
    )
    for context in contexts:
        chosen = choose(context, root, config=config)
        assert chosen.snippets == ()
        assert [item.reason for item in chosen.skipped] == ["secret"]


@pytest.mark.parametrize("origin", SOURCES)
def test_a_file_that_becomes_ignored_leaves_the_prompt(root: Path, origin: str) -> None:
    context = SOURCES[origin]("store.py")
    previous = choose(context, root)
    assert choose(context, root, previous=previous).snippets == previous.snippets != ()
    (root / ".gitignore").write_text("store.py\n")
    assert choose(context, root, previous=previous).snippets == ()
