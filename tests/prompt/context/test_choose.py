"""What enters a prompt from elsewhere: each source, ranking, budgets, duplicates, origins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.core.types import Cursor, Document, Snippet
from paceline.hygiene.paths import PathRules
from paceline.prompt.context.choose import ContextChooser
from paceline.prompt.context.config import ContextConfig, SourceConfig
from paceline.prompt.context.types import (
    ChosenContext,
    Diagnostic,
    EditorContext,
    RecentEdit,
)

STORE = """
class InvoiceStore:
    def load_invoice(self, invoice_id):
        row = self.database.fetch("invoice", invoice_id)
        return Invoice(row.number, row.customer, row.total)

    def save_invoice(self, invoice):
        self.database.write("invoice", invoice.number, invoice.customer, invoice.total)
        self.audit.record("saved", invoice.number)
"""
WEATHER = """
def forecast(station, hours):
    readings = station.barometer(hours)
    return [pressure_trend(reading) for reading in readings]
"""
OWN = """def save_order(self, order):
    self.database.write("order", order.number, order.customer, order.total)
    |
"""


def at_mark(text: str, path: str = "orders.py") -> Cursor:
    offset = text.index("|")
    document = Document(path=path, text=text[:offset] + text[offset + 1 :])
    return Cursor(document=document, offset=offset)


def choose(
    context: EditorContext,
    text: str = OWN,
    *,
    config: ContextConfig = ContextConfig(),
    path: str = "orders.py",
    globs: tuple[str, ...] = (),
) -> ChosenContext:
    chooser = ContextChooser(config, PathRules(globs))
    cursor = at_mark(text, path)
    chooser.prepare(cursor, context)
    return chooser.choose(cursor, context)


def origins(chosen: ChosenContext) -> list[str]:
    return [snippet.origin for snippet in chosen.snippets]


def reasons(chosen: ChosenContext) -> dict[str, str]:
    return {item.path: item.reason for item in chosen.skipped}


def test_the_document_that_resembles_the_cursor_is_chosen() -> None:
    context = EditorContext(
        open_documents=(
            Document(path="weather.py", text=WEATHER),
            Document(path="store.py", text="import os\n" * 40 + STORE),
            Document(path="orders.py", text=OWN),
        )
    )
    chosen = choose(context)
    assert [(s.path, s.origin) for s in chosen.snippets] == [("store.py", "open_document")]
    assert "save_invoice" in chosen.snippets[0].text
    assert reasons(chosen) == {"weather.py": "unlike", "orders.py": "duplicate"}


def test_the_continuation_of_the_best_window_comes_along() -> None:
    filler = "".join(f"constant_{number} = {number}\n" for number in range(60))
    after = "    self.audit.record(order.number)\n    self.mailer.confirm(order.customer)\n"
    other = Document(
        path="b.py", text=filler + OWN.replace("|", "").rstrip() + "\n" + after + filler
    )
    chosen = choose(
        EditorContext(open_documents=(other,)), OWN.replace("total)", "total, order.tax)")
    )
    assert chosen.snippets, chosen.skipped
    assert "mailer.confirm" in chosen.snippets[0].text


def test_client_snippets_come_first_as_they_are() -> None:
    sent = (Snippet(path="z.py", text="  odd = 1\n\n"), Snippet(path="a.py", text="b"))
    context = EditorContext(
        client_snippets=sent, open_documents=(Document(path="store.py", text=STORE),)
    )
    chosen = choose(context)
    assert [(s.path, s.text) for s in chosen.snippets[:2]] == [(s.path, s.text) for s in sent]
    assert origins(chosen) == ["client", "client", "open_document"]


def test_recent_edits_show_what_lines_became() -> None:
    edits = (
        RecentEdit(path="store.py", before="x", after="invoice.archive(reason)\n" * 20),
        RecentEdit(path="store.py", before="deleted = 1", after=""),
    )
    chosen = choose(EditorContext(recent_edits=edits))
    assert origins(chosen) == ["recent_edit"]
    assert chosen.snippets[0].text.count("\n") < 8
    assert reasons(chosen) == {"store.py": "empty"}


def test_an_edit_that_the_prompt_shows_anyway_is_no_snippet() -> None:
    line = OWN.split("\n")[1]
    chosen = choose(
        EditorContext(recent_edits=(RecentEdit(path="orders.py", before="", after=line),))
    )
    assert chosen.snippets == ()
    assert reasons(chosen) == {"orders.py": "duplicate"}


def test_notebook_cells_are_whole_and_in_order() -> None:
    cells = tuple(f"table_{number} = read('{number}')\n" + "# notes\n" * 30 for number in range(20))
    chosen = choose(EditorContext(notebook_cells=cells), "table|", path="a.ipynb")
    assert 2 <= len(chosen.snippets) < 20
    texts = [snippet.text for snippet in chosen.snippets]
    assert texts == [cell.rstrip() for cell in cells[-len(texts) :]]
    assert chosen.snippets[-1].path == "a.ipynb#20"


def test_the_clipboard_is_asked_only_if_the_user_says_so() -> None:
    context = EditorContext(clipboard="self.database.write(order.number, order.total)\n")
    assert choose(context).snippets == ()
    config = ContextConfig(clipboard=SourceConfig(share=0.3))
    assert origins(choose(context, config=config)) == ["clipboard"]
    for text in (
        "Dear all, the order with this number is the customer's total.",
        "x.barometer(3)\ny.barometer(4)\n",
        "order.number\n" * 1000,
    ):
        assert choose(EditorContext(clipboard=text), config=config).snippets == ()


def test_diagnostics_near_the_cursor_become_comments() -> None:
    context = EditorContext(
        diagnostics=(
            Diagnostic(line=2, message="expected expression"),
            Diagnostic(line=1, message='unknown\nattribute "customr"'),
            Diagnostic(line=0, message="style", severity="hint"),
            Diagnostic(line=400, message="far away"),
        )
    )
    chosen = choose(context)
    assert [s.text for s in chosen.snippets] == ['# error: unknown attribute "customr"']
    assert choose(context, path="orders.ts").snippets[0].text.startswith("// error")


def test_files_of_the_same_folder_need_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/store.py").write_text(STORE)
    (tmp_path / "shop/notes.md").write_text(STORE)
    (tmp_path / "shop/data.py").write_bytes(b"\0order")
    (tmp_path / "shop/huge.py").write_text(STORE * 1000)
    (tmp_path / "other.py").write_text(STORE)
    os.mkfifo(tmp_path / "shop/pipe.py")
    (tmp_path / "shop/link.py").symlink_to("/etc/passwd")
    path = str(tmp_path / "shop/orders.py")
    chosen = choose(EditorContext(workspace_root=str(tmp_path)), path=path)
    assert [(s.path, s.origin) for s in chosen.snippets] == [("shop/store.py", "same_directory")]
    assert sorted(reasons(chosen).values()) == ["binary", "too_large"]
    assert choose(EditorContext(), path=path).snippets == ()
    outside = choose(EditorContext(workspace_root=str(tmp_path / "shop/x")), path=path)
    assert outside.snippets == ()


def test_budgets_hold() -> None:
    documents = tuple(
        Document(path=f"store{number}.py", text=STORE.replace("invoice", f"bill{number}") * 4)
        for number in range(9)
    )
    context = EditorContext(
        open_documents=documents,
        client_snippets=(
            Snippet(path="c.py", text="x" * 300),
            Snippet(path="d.py", text="y" * 900),
        ),
        notebook_cells=("total = order.total\n" * 10,),
    )
    config = ContextConfig(max_tokens=200, open_document=SourceConfig(share=0.4), min_similarity=0)
    chosen = choose(context, config=config)
    assert sum(len(snippet.text) for snippet in chosen.snippets) <= config.max_chars
    assert reasons(chosen)["d.py"] == "budget"
    spent = sum(len(s.text) for s in chosen.snippets if s.origin == "open_document")
    assert spent <= 0.4 * config.max_chars
    assert choose(context, config=ContextConfig(is_enabled=False)) == ChosenContext()


def test_near_duplicates_enter_once() -> None:
    documents = (
        Document(path="a.py", text=STORE),
        Document(path="b.py", text=STORE.replace('"saved"', '"stored"')),
    )
    chosen = choose(EditorContext(open_documents=documents))
    assert [snippet.path for snippet in chosen.snippets] == ["a.py"]
    assert reasons(chosen) == {"b.py": "duplicate"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\n" * 40_000, "too_large"),
        ("x\0y", "binary"),
        ("order.number;" * 500, "long_lines"),
        (" \n", "empty"),
    ],
)
def test_documents_that_nobody_reads(text: str, reason: str) -> None:
    chosen = choose(EditorContext(open_documents=(Document(path="a.py", text=text),)))
    assert chosen.snippets == ()
    assert reasons(chosen) == {"a.py": reason}


def test_each_source_can_be_switched_off() -> None:
    context = EditorContext(
        open_documents=(Document(path="store.py", text=STORE),),
        recent_edits=(RecentEdit(path="c.py", before="", after="order.cancel()"),),
        notebook_cells=("table = read()",),
        diagnostics=(Diagnostic(line=1, message="wrong"),),
        client_snippets=(Snippet(path="d.py", text="d = 4"),),
    )
    names = ("open_document", "recent_edit", "notebook_cell", "diagnostic", "client")
    assert set(origins(choose(context))) == set(names)
    chooser = ContextChooser(ContextConfig(), PathRules())
    before = chooser.choose(at_mark(OWN), context)
    for name in names:
        off: dict[str, Any] = {name: SourceConfig(is_enabled=False)}
        config = ContextConfig(**off)
        assert set(origins(choose(context, config=config))) == set(names) - {name}
        kept = ContextChooser(config, PathRules()).choose(at_mark(OWN), context, before)
        assert name not in origins(kept), "an earlier choice does not outlive the switch"


def test_many_new_documents_wait_their_turn() -> None:
    documents = tuple(
        Document(path=f"{number}.py", text=f"part_{number} = {number}\n" * 3_000)
        for number in range(4)
    )
    context = EditorContext(open_documents=documents)
    chooser, cursor = ContextChooser(ContextConfig(), PathRules()), at_mark(OWN)
    waiting = [
        sum(item.reason == "waiting" for item in chooser.choose(cursor, context).skipped)
        for _ in range(5)
    ]
    assert waiting == sorted(waiting, reverse=True)
    assert (waiting[0], waiting[-1]) == (3, 0)


def test_the_config_is_checked() -> None:
    with pytest.raises(ConfigError):
        SourceConfig(share=1.5)
    with pytest.raises(ConfigError):
        ContextConfig(max_tokens=0)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@settings(max_examples=40, deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.integers(0, 40), st.lists(ANY_TEXT, max_size=3))
def test_no_text_raises(text: str, path: str, offset: int, others: list[str]) -> None:
    cursor = Cursor(document=Document(path=path, text=text), offset=min(offset, len(text)))
    context = EditorContext(
        open_documents=tuple(Document(path=path + other, text=other) for other in others),
        recent_edits=tuple(RecentEdit(path=other, before="", after=text) for other in others),
        notebook_cells=tuple(others),
        diagnostics=tuple(Diagnostic(line=1, message=other) for other in others),
        clipboard=text,
        workspace_root="/nowhere/" + path,
        client_snippets=tuple(Snippet(path=other, text=text) for other in others),
    )
    config = ContextConfig(clipboard=SourceConfig(), min_similarity=0)
    chooser = ContextChooser(config, PathRules())
    chosen = chooser.choose(cursor, context)
    chosen = chooser.choose(cursor, context, chosen)
    for snippet in chosen.snippets:
        (snippet.path + snippet.text).encode()
