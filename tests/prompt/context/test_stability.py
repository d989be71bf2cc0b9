"""The choice holds still while the user types, and so do the ids of the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from paceline.core.types import Cursor, Document, Snippet
from paceline.hygiene.paths import PathRules
from paceline.prompt.context import choose, index
from paceline.prompt.context.choose import ContextChooser
from paceline.prompt.context.config import ContextConfig, SourceConfig
from paceline.prompt.context.index import DocumentIndex, Query
from paceline.prompt.context.types import ChosenContext, Diagnostic, EditorContext, RecentEdit
from paceline.prompt.fim import FimTemplate, fim_ids, render_fim
from paceline.prompt.suffix import SuffixKeeper
from paceline.prompt.window import text_around
from paceline.tokenizer.bpe import train_tokenizer
from paceline.traces.simulate import TraceConfig, simulate
from paceline.traces.sources import standard_library
from paceline.traces.types import Keystroke, replay

MAX_CHANGED_SHARE = 0.05
FEW_TOKENS = 24
"""A word that is typed may be tokenized anew, and a backspace takes ids away; the rest must stay."""
CONFIG = ContextConfig(min_similarity=0.05)
"""Low, so that there is more to choose from, and to change."""


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    cut = (replace(d, text="\n".join(d.text.split("\n")[:1000])) for d in standard_library(11))
    return list(cut)


def choices(
    documents: list[Document], seed: int, config: ContextConfig = CONFIG
) -> Iterator[tuple[Keystroke, Cursor, ChosenContext]]:
    """Type into the first document while the others are open."""
    trace = simulate(documents[0], seed, TraceConfig(num_holes=4, max_hole_lines=8))
    context = EditorContext(open_documents=tuple(documents[1:]))
    chooser, chosen = ContextChooser(config, PathRules()), None
    for keystroke, cursor in replay(trace):
        chosen = chooser.choose(cursor, context, chosen)
        yield keystroke, cursor, chosen


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_few_keystrokes_change_the_choice(documents: list[Document], seed: int) -> None:
    lists = [chosen.snippets for _, _, chosen in choices(documents[seed:] + documents[:seed], seed)]
    num_changed = sum(a != b for a, b in pairwise(lists))
    assert any(lists), "something was chosen"
    assert num_changed <= MAX_CHANGED_SHARE * len(lists), f"{num_changed} of {len(lists)}"


def test_most_of_the_prompt_stays(documents: list[Document]) -> None:
    tokenizer = train_tokenizer([d.text[:20_000] for d in documents[:4]], vocab_size=1_000)
    ids, keeper = fim_ids(tokenizer), SuffixKeeper()
    previous: list[int] = []
    num_kept = num_all = 0
    for keystroke, cursor, chosen in choices(documents, 5):
        prefix, suffix = text_around(cursor, max_prefix_chars=8_000, max_suffix_chars=4_000)
        prompt = render_fim(
            prefix, keeper.keep(suffix), tokenizer, ids, FimTemplate(),
            max_prompt_tokens=1024, snippets=chosen.snippets,
        )  # fmt: skip
        if previous and keystroke.kind != "jump":
            num_all += 1
            num_kept += num_shared(previous, prompt) >= len(previous) - FEW_TOKENS
        previous = prompt
    assert num_all > 150
    assert num_kept >= (1 - MAX_CHANGED_SHARE) * num_all, f"{num_kept} of {num_all}"


def num_shared(a: list[int], b: list[int]) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))


def test_a_keystroke_reads_no_document_anew(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open document is indexed once, and within a line it is not even compared."""
    indexed: list[str] = []
    compared: list[str] = []

    def make_index(text: str) -> DocumentIndex:
        indexed.append(text)
        return DocumentIndex(text)

    def make_query(text: str, indexes: Iterable[DocumentIndex]) -> Query:
        compared.append(text)
        return Query(text, indexes)

    monkeypatch.setattr(index, "DocumentIndex", make_index)
    monkeypatch.setattr(choose, "Query", make_query)
    previous: ChosenContext | None = None
    num_within_line = num_compared = 0
    for _, _, chosen in choices(documents, 9):
        if previous is not None and previous.place == chosen.place:
            num_within_line += 1
            num_compared += len(compared)
        compared.clear()
        previous = chosen
    assert len(indexed) == len(set(indexed)) <= len(documents) - 1
    assert num_within_line > 100
    assert num_compared == 0


def cursor_at_end(text: str, path: str = "a.py") -> Cursor:
    return Cursor(document=Document(path=path, text=text), offset=len(text))


HEAD = "def total(order):\n    price = order.price\n"
PRICES = Document(
    path="prices.py", text="def price(order):\n    return order.price * order.count\n"
)
CART = Document(
    path="cart.py", text="def total(cart):\n    return sum(cart.order.price for item in cart)\n"
)


def chooser() -> ContextChooser:
    return ContextChooser(CONFIG, PathRules())


def test_within_a_line_nothing_new_comes() -> None:
    before = chooser().choose(
        cursor_at_end(HEAD + "    x"), EditorContext(open_documents=(PRICES,))
    )
    assert [snippet.path for snippet in before.snippets] == ["prices.py"]
    context = EditorContext(open_documents=(CART, PRICES))
    after = chooser().choose(cursor_at_end(HEAD + "    x = sum("), context, before)
    assert after == before


def test_on_a_new_line_new_snippets_come_at_the_end() -> None:
    before = chooser().choose(
        cursor_at_end(HEAD + "    x"), EditorContext(open_documents=(PRICES,))
    )
    context = EditorContext(open_documents=(CART, PRICES))
    after = chooser().choose(cursor_at_end(HEAD + "    x = 1\n    y"), context, before)
    assert [snippet.path for snippet in after.snippets] == ["prices.py", "cart.py"]


def test_on_a_new_line_the_last_one_gives_way_to_a_much_better_one() -> None:
    weak = Document(path="weak.py", text="order = load()\n" + "# nothing of interest\n" * 3)
    config = ContextConfig(max_tokens=40, min_similarity=0.01)
    before = ContextChooser(config, PathRules()).choose(
        cursor_at_end(HEAD + "    x"), EditorContext(open_documents=(weak,))
    )
    assert [snippet.path for snippet in before.snippets] == ["weak.py"]
    context = EditorContext(open_documents=(weak, CART))
    after = ContextChooser(config, PathRules()).choose(
        cursor_at_end(HEAD + "    cart = 1\n    y"), context, before
    )
    assert [snippet.path for snippet in after.snippets] == ["cart.py"]


def test_what_is_no_longer_true_goes_at_once() -> None:
    context = EditorContext(
        open_documents=(PRICES, CART),
        recent_edits=(
            RecentEdit(path="cart.py", before="", after="cart.order.price for item in cart"),
        ),
        notebook_cells=("order = 1",),
        diagnostics=(Diagnostic(line=0, message="wrong"),),
        clipboard="order.price(total)",
    )
    config = ContextConfig(min_similarity=0.01, clipboard=SourceConfig(share=0.3))
    cursor = cursor_at_end(HEAD + "    x")
    before = ContextChooser(config, PathRules()).choose(cursor, context)
    gone = {
        "notebook_cell": replace(context, notebook_cells=()),
        "diagnostic": replace(context, diagnostics=()),
        "clipboard": replace(context, clipboard=""),
    }
    for origin, changed in gone.items():
        assert origin in [snippet.origin for snippet in before.snippets]
        after = ContextChooser(config, PathRules()).choose(cursor, changed, before)
        assert after.snippets == tuple(s for s in before.snippets if s.origin != origin)
    edited = replace(PRICES, text=PRICES.text.replace("count", "amount"))
    after = ContextChooser(config, PathRules()).choose(
        cursor, replace(context, open_documents=(edited, CART)), before
    )
    assert not any("count" in snippet.text for snippet in after.snippets)
    assert any(snippet.path == "cart.py" for snippet in after.snippets)


def test_another_function_is_another_choice_with_the_old_ones_first() -> None:
    context = EditorContext(open_documents=(PRICES, CART))
    old = ChosenContext(
        snippets=(Snippet(path="cart.py", text=CART.text.strip(), origin="open_document"),)
    )
    text = HEAD + "    return price\n\n\ndef count_order(order):\n    c"
    chosen = chooser().choose(cursor_at_end(text), context, old)
    assert [snippet.path for snippet in chosen.snippets] == ["cart.py", "prices.py"]
    place = chosen.place
    assert chooser().choose(cursor_at_end(text + "ount"), context, chosen).place == place
    assert (
        chooser().choose(cursor_at_end(HEAD + "    c"), context, chosen).place.block != place.block
    )


@pytest.mark.parametrize(
    ("above", "heading"),
    [
        ("def f(x):\n    if x:\n        for y in x:\n            ", "def f(x):"),
        ("class A:\n    def f(self):\n        pass\n\n    ", "class A:"),
        ("def f():\n    return 1\n\nx = ", ""),
        ("def f():\n", "def f():"),
        (
            "func (s *Shop) Total(o Order) int {\n\tif o.Free {\n\t\t",
            "func (s *Shop) Total(o Order) int {",
        ),
        (
            "public static int total(Order o) {\n    int x = 0;\n    ",
            "public static int total(Order o) {",
        ),
        ("int total(order_t *o)\n{\n    int x = 0;\n    ", ""),
        ("  async load(id) {\n    const x = 1\n    ", "async load(id) {"),
        ("pub fn total(o: &Order) -> u32 {\n    ", "pub fn total(o: &Order) -> u32 {"),
    ],
)
def test_the_heading_of_the_block(above: str, heading: str) -> None:
    from paceline.prompt.context.scope import Scope

    assert Scope(cursor_at_end(above), EditorContext(), CONFIG).heading == heading
