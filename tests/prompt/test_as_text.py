"""Prompts as text: the ids that a server makes of them are those that fim.py makes, and nothing leaks in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer

from paceline.artifacts.registry import resolve_model
from paceline.core.errors import ConfigError, EmptyPromptError
from paceline.core.types import Snippet
from paceline.generate.remote.types import PromptForm
from paceline.generate.types import PromptParts
from paceline.prompt.as_text import TextRenderer, find_template, guess_family, text_of
from paceline.prompt.estimate import MARGIN, ROUGH, TokenEstimate
from paceline.prompt.fim import TEMPLATES, fim_ids, render_fim, render_plain
from paceline.prompt.templates import PACELINE
from paceline.tokenizer.bpe import FILE_NAME, Tokenizer
from tests.fakes import ByteTokenizer

PARTS = PromptParts(
    prefix="def area(width, height):\n    retur",
    suffix="\n\n\nprint(area(2, 3))  # naïve ≠ 日本\n",
    snippets=(
        Snippet(path="shapes/square.py", text="def square(x):\n    return x * x\n"),
        Snippet(path="b.py", text="y = 1"),
    ),
    path="shapes/area.py",
    project="shop",
)


class FramedTokenizer(ByteTokenizer):
    """Bytes, and every sentinel that is asked for."""

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        starts = [at for at, character in enumerate(text) for _ in character.encode()]
        return self.encode(text), starts


@pytest.fixture(scope="module")
def shipped() -> Path:
    return resolve_model(None).path / FILE_NAME


def test_the_shipped_tokenizer_makes_the_same_ids_of_it(shipped: Path) -> None:
    """As a server does that reads sentinels in the text of a prompt."""
    tokenizer, server = Tokenizer.load(shipped), HfTokenizer.from_file(str(shipped))
    server.encode_special_tokens = False
    ids = fim_ids(tokenizer, PACELINE)
    renderer = TextRenderer(PACELINE)
    for parts in (PARTS, PromptParts(prefix="x = ", suffix=""), PromptParts(prefix="", suffix="y")):
        expected = render_fim(
            parts.prefix, parts.suffix or "", tokenizer, ids, PACELINE,
            max_prompt_tokens=2000, snippets=parts.snippets, path=parts.path, project=parts.project,
        )  # fmt: skip
        text = renderer.render(parts, 2000).prompt
        assert server.encode(text, add_special_tokens=False).ids == expected
    plain = renderer.render(PromptParts(prefix="import os\n"), 2000).prompt
    assert server.encode(plain, add_special_tokens=False).ids == render_plain(
        "import os\n", tokenizer, ids, max_prompt_tokens=2000, is_truncatable=True
    )


@pytest.mark.parametrize("family", TEMPLATES)
def test_every_family_has_the_order_and_frames_of_its_ids(family: str) -> None:
    template, tokenizer = TEMPLATES[family], FramedTokenizer()
    ids = fim_ids(cast(Tokenizer, tokenizer), template)
    expected = render_fim(
        PARTS.prefix, PARTS.suffix or "", cast(Tokenizer, tokenizer), ids, template,
        max_prompt_tokens=4000, snippets=PARTS.snippets, path=PARTS.path, project=PARTS.project,
    )  # fmt: skip
    text = TextRenderer(template, is_begin_written=True).render(PARTS, 4000).prompt
    assert text == tokenizer.decode(expected)
    without = TextRenderer(template).render(PARTS, 4000).prompt
    assert text == (template.begin or "") + without


@given(st.text(max_size=200))
def test_pieces_are_the_text(text: str) -> None:
    text = text.encode(errors="replace").decode()
    ids, starts = ROUGH.encode_with_starts(text)
    assert ROUGH.encode(text) == ids
    assert text_of(ids, PACELINE) == text
    assert starts == sorted(set(starts))
    assert all(text_of(ids[:k], PACELINE) == text[:at] for k, at in enumerate(starts))


@given(
    prefix=st.text(max_size=400),
    suffix=st.text(max_size=400),
    budget=st.integers(10, 120),
    family=st.sampled_from(sorted(TEMPLATES)),
)
def test_what_is_cut_is_far_from_the_cursor(
    prefix: str, suffix: str, budget: int, family: str
) -> None:
    renderer = (
        TextRenderer(None, form="suffix")
        if family == "qwen"
        else TextRenderer(TEMPLATES[family], form="suffix")
    )
    rendered = renderer.render(PromptParts(prefix=prefix, suffix=suffix), budget)
    assert rendered.num_pieces * MARGIN <= budget + 1
    assert rendered.suffix is not None
    whole = renderer.render(PromptParts(prefix=prefix, suffix=suffix), None)
    assert whole.prompt.endswith(rendered.prompt)
    assert (whole.suffix or "").startswith(rendered.suffix)


def test_nothing_is_cut_without_a_budget() -> None:
    code = "def f(x):\n    return x + 1\n\n\n" * 500
    text = TextRenderer(PACELINE).render(PromptParts(prefix=code, suffix=code), None).prompt
    assert text.count(code) == 2
    cut = TextRenderer(PACELINE).render(PromptParts(prefix=code, suffix=code), 400).prompt
    assert len(cut) < len(code) / 5


def test_a_keystroke_changes_only_the_end_of_a_long_spm_prompt() -> None:
    renderer = TextRenderer(PACELINE)
    code = "".join(f"def f{i}(x):\n    return x + {i}\n\n\n" for i in range(300))
    before, after = (
        renderer.render(PromptParts(prefix=code + typed, suffix=code), 500).prompt
        for typed in ("def g(x):\n    retur", "def g(x):\n    return")
    )
    assert after == before + "n"


@pytest.mark.parametrize("family", TEMPLATES)
def test_names_of_sentinels_in_documents_stay_text(family: str) -> None:
    template = TEMPLATES[family]
    names = [name for name in template.sentinels if name]
    hostile = "a = '" + "".join(names) + "'"
    parts = PromptParts(
        prefix=hostile,
        suffix=hostile,
        snippets=(Snippet(path=hostile, text=hostile),),
        path=hostile,
    )
    clean = PromptParts(prefix="a", suffix="b", snippets=(Snippet(path="c", text="d"),), path="e")
    renderer = TextRenderer(template, is_begin_written=True)
    text, expected = (renderer.render(each, 4000).prompt for each in (parts, clean))
    assert [text.count(name) for name in names] == [expected.count(name) for name in names]


def test_two_texts_for_servers_that_fill_in_themselves() -> None:
    infill = TextRenderer(None, form="infill").render(PARTS, 2000)
    assert (infill.prompt, infill.suffix) == (PARTS.prefix, PARTS.suffix)
    assert infill.snippets == PARTS.snippets
    narrow = TextRenderer(None, form="infill").render(PARTS, 60)
    assert narrow.snippets == PARTS.snippets[:1]
    suffix = TextRenderer(TEMPLATES["qwen"], form="suffix").render(PARTS, 2000)
    assert suffix.snippets == ()
    assert suffix.suffix == PARTS.suffix
    assert suffix.prompt == (
        "# shapes/square.py\ndef square(x):\n    return x * x\n\n# b.py\ny = 1\n" + PARTS.prefix
    )
    codestral = TextRenderer(TEMPLATES["codestral"], form="suffix").render(PARTS, 2000)
    assert codestral.prompt.startswith("+++++ shapes/square.py\n")
    assert codestral.prompt.endswith("+++++ shapes/area.py\n" + PARTS.prefix)


@pytest.mark.parametrize("form", ["template", "suffix", "infill", "plain"])
def test_halves_of_characters_are_replaced_everywhere(form: PromptForm) -> None:
    half = "a\ud83d"
    snippets = (Snippet(path=half, text=half),)
    parts = PromptParts(prefix=half, suffix=half, snippets=snippets, path=half, project=half)
    rendered = TextRenderer(TEMPLATES["qwen"], form=form).render(parts, 2000)
    texts = [rendered.prompt, rendered.suffix or "", *(s.path + s.text for s in rendered.snippets)]
    assert "a\ufffd" in "".join(texts)
    "".join(texts).encode()


def test_plain_knows_no_sentinels() -> None:
    rendered = TextRenderer(None, form="plain").render(PARTS, 2000)
    assert (rendered.prompt, rendered.suffix) == (PARTS.prefix, None)
    with pytest.raises(EmptyPromptError):
        TextRenderer(None, form="plain").render(PromptParts(prefix="", suffix="x"), 2000)


def test_the_estimate_follows_the_server_s_counts() -> None:
    estimate = TokenEstimate()
    before = estimate.pieces_within(1000)
    estimate.learn(1000, 1500)
    assert estimate.pieces_within(1000) * 1.5 <= 1000
    for _ in range(200):
        estimate.learn(1000, 900)
    assert estimate.tokens_per_piece <= 1.25
    estimate.learn(10, 1000)
    assert estimate.tokens_per_piece <= 1.25, "a short prompt says little"
    low = TokenEstimate()
    for _ in range(500):
        low.learn(1000, 1)
    assert low.pieces_within(1000) <= 2 * before + 1, "counts without cached tokens do no harm"


def test_the_estimate_holds_still_while_counts_wobble() -> None:
    estimate = TokenEstimate()
    estimate.learn(1000, 1100)
    used = set[float]()
    for k in range(100):
        estimate.learn(1000, 1050 + 50 * (k % 2))
        used.add(estimate.tokens_per_piece)
    assert len(used) == 1


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2.5-Coder-7B", "qwen"),
        ("qwen2.5-coder:1.5b-base", "qwen"),
        ("bigcode/starcoder2-3b", "starcoder2"),
        ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek"),
        ("codellama/CodeLlama-7b-hf", "codellama"),
        ("mistralai/Codestral-22B-v0.1", "codestral"),
        ("codestral-latest", "codestral"),
        ("JetBrains/Mellum-4b-base", "mellum"),
        ("paceline-python", "paceline"),
        ("/home/deepseek/models/gpt-4/", None),
        ("C:\\models\\qwen2.5-coder-q8_0.gguf", "qwen"),
        ("gpt-4", None),
        ("Qwen2.5-7B-Instruct", None),
        ("CodeQwen1.5-7B-coder", None),
    ],
)
def test_families_by_name(name: str, family: str | None) -> None:
    assert guess_family(name) == family


def test_a_family_that_cannot_be_told_is_an_error_that_lists_them() -> None:
    assert find_template("mellum", "anything") is TEMPLATES["mellum"]
    assert find_template(None, "gpt-4", is_needed=False) is None
    with pytest.raises(
        ConfigError, match=re.escape("'gpt-4' does not tell") + ".*--template.*qwen"
    ):
        find_template(None, "gpt-4")
    with pytest.raises(ConfigError, match="No FIM template is called 'nope'; known are paceline"):
        find_template("nope", "qwen2.5-coder")
