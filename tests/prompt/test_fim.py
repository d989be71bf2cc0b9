"""Prompt invariants: budget, order, what is cut, what a keystroke changes."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import ConfigError, EmptyPromptError, PromptTooLongError
from paceline.core.types import Snippet
from paceline.prompt.fim import (
    TEMPLATES,
    FimTemplate,
    PromptBudget,
    arrange,
    encode_end,
    encode_start,
    fim_ids,
    render_fim,
    render_plain,
    share_budget,
)
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from tests.fakes import ByteTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["def f(x):\n    return x + 1\n"] * 40, vocab_size=350)


@given(
    num_prefix=st.integers(0, 500),
    num_suffix=st.integers(0, 500),
    budget=st.integers(0, 600),
    share=st.floats(0, 1),
)
def test_budget_is_kept_and_not_wasted(
    num_prefix: int, num_suffix: int, budget: int, share: float
) -> None:
    prefix, suffix = share_budget(num_prefix, num_suffix, budget, share)
    assert 0 <= prefix <= num_prefix
    assert 0 <= suffix <= num_suffix
    assert prefix + suffix == min(budget, num_prefix + num_suffix)


@given(
    prefix=st.text(max_size=300),
    suffix=st.text(max_size=300),
    budget=st.integers(8, 400),
    order=st.sampled_from(["spm", "psm"]),
)
def test_render_keeps_the_text_nearest_to_the_cursor(
    tokenizer: Tokenizer, prefix: str, suffix: str, budget: int, order: str
) -> None:
    ids = fim_ids(tokenizer)
    assert ids.middle is not None
    template = FimTemplate(order="spm" if order == "spm" else "psm")
    prompt = render_fim(prefix, suffix, tokenizer, ids, template, max_prompt_tokens=budget)
    assert len(prompt) <= budget
    assert [prompt.count(i) for i in (ids.prefix, ids.suffix, ids.middle)] == [1, 1, 1]
    at = prompt.index(ids.middle)
    if order == "spm":
        got_suffix, got_prefix = prompt[2:at], prompt[at + 1 :]
    else:
        cut = prompt.index(ids.suffix)
        got_prefix, got_suffix = prompt[1:cut], prompt[cut + 1 : at]
    assert prefix.endswith(tokenizer.decode(got_prefix))
    assert suffix.startswith(tokenizer.decode(got_suffix))
    if len(tokenizer.encode(prefix)) + len(tokenizer.encode(suffix)) <= (budget - 3) * 3 // 4:
        assert tokenizer.decode(got_prefix) + tokenizer.decode(got_suffix) == prefix + suffix


def test_only_the_text_near_the_cursor_is_tokenized(tokenizer: Tokenizer) -> None:
    """Cutting the text first gives the same ids as cutting the ids of the whole text."""
    code = "".join(f"def f{i}(x):\n    return x + {i}\n" for i in range(400))
    whole = tokenizer.encode(code)
    for count in (1, 7, 50, 300):
        assert encode_end(code, tokenizer, count) == whole[-count:]
        assert encode_start(code, tokenizer, count) == whole[:count]
    assert encode_end(code, tokenizer, 10**6) == whole


def test_a_keystroke_changes_only_the_end_of_an_spm_prompt(tokenizer: Tokenizer) -> None:
    ids, suffix = fim_ids(tokenizer), "\n    return x\n" * 5
    before, after = (
        render_fim(p, suffix, tokenizer, ids, FimTemplate(), max_prompt_tokens=200)
        for p in ("def f(x):\n    return x ", "def f(x):\n    return x +")
    )
    common = next(i for i, (a, b) in enumerate(zip([*before, -1], after, strict=False)) if a != b)
    assert len(after) - common <= 4


def test_snippets_come_first_whole_or_not_at_all(tokenizer: Tokenizer) -> None:
    ids = fim_ids(tokenizer)
    snippets = [Snippet(path="a.py", text="x = 1"), Snippet(path="b.py", text="y = 2 " * 300)]
    prompt = render_fim(
        "p", "s", tokenizer, ids, FimTemplate(), max_prompt_tokens=120, snippets=snippets
    )
    assert ids.file_sep is not None
    assert prompt[0] == ids.file_sep
    assert prompt.count(ids.file_sep) == 1
    assert "x = 1" in tokenizer.decode(prompt)


def test_the_file_is_named_after_snippets_where_the_family_was_trained_so() -> None:
    """Frames as in the reports and cards that prompt/templates.py names."""
    snippets = [Snippet(path="b.py", text="y = 1")]

    def text(family: str, snippets: list[Snippet], path: str = "a.py") -> str:
        template, tokenizer = TEMPLATES[family], cast(Tokenizer, FramedTokenizer())
        prompt = render_fim(
            "x", "z", tokenizer, fim_ids(tokenizer, template), template,
            max_prompt_tokens=400, snippets=snippets, path=path, project="shop",
        )  # fmt: skip
        return tokenizer.decode(prompt)

    assert text("qwen", snippets) == (
        "<|repo_name|>shop\n<|file_sep|>b.py\ny = 1\n<|file_sep|>a.py\n"
        "<|fim_prefix|>x<|fim_suffix|>z<|fim_middle|>"
    )
    assert text("starcoder2", snippets) == (
        "<file_sep>b.py\ny = 1\n<file_sep><fim_prefix>a.py\nx<fim_suffix>z<fim_middle>"
    )
    assert text("mellum", snippets) == (
        "<filename>b.py\ny = 1\n<filename>a.py\n<fim_suffix>z<fim_prefix>x<fim_middle>"
    )
    assert text("codestral", snippets) == (
        "<s>[SUFFIX]z[PREFIX]+++++ b.py\ny = 1\n\n+++++ a.py\n x"
    )
    assert "a.py" not in text("paceline", snippets)
    assert "a.py" not in text("qwen", []), "without snippets the file-level form"
    assert text("qwen", snippets, path="").count("<|file_sep|>") == 1


class FramedTokenizer(ByteTokenizer):
    """Bytes, and every sentinel that is asked for."""

    def find_id(self, name: str) -> int:
        return self.special_id(name)

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        starts = [at for at, character in enumerate(text) for _ in character.encode()]
        return self.encode(text), starts


def test_shares_of_the_budget(tokenizer: Tokenizer) -> None:
    ids = fim_ids(tokenizer)
    code = "".join(f"def f{i}(x):\n    return x + {i}\n" for i in range(100))

    def sizes(shares: PromptBudget) -> tuple[int, int]:
        prompt = render_fim(
            code, code, tokenizer, ids, FimTemplate(), max_prompt_tokens=400,
            snippets=[Snippet(path="b.py", text="y = 1 + 2")], shares=shares,
        )  # fmt: skip
        assert ids.file_sep is not None and ids.middle is not None
        return prompt.count(ids.file_sep), prompt.index(ids.middle) - prompt.index(ids.suffix)

    assert sizes(PromptBudget())[0] == 1
    assert sizes(PromptBudget(snippet_share=0.01))[0] == 0
    assert sizes(PromptBudget(suffix_share=0.6))[1] > 2 * sizes(PromptBudget(suffix_share=0.2))[1]
    with pytest.raises(ConfigError):
        PromptBudget(suffix_share=1.5)


@given(st.text(st.characters(exclude_categories=()), max_size=40), st.integers(0, 40))
def test_surrogates_never_reach_the_tokenizer(tokenizer: Tokenizer, text: str, at: int) -> None:
    ids = fim_ids(tokenizer)
    prompt = render_fim(
        text[:at], text[at:], tokenizer, ids, FimTemplate(), max_prompt_tokens=300,
        snippets=[Snippet(path=text, text=text)], path=text, project=text,
    )  # fmt: skip
    tokenizer.decode(prompt).encode()
    if text:
        render_plain(text, tokenizer, ids, max_prompt_tokens=300, is_truncatable=True)


def test_a_huge_snippet_is_not_tokenized_whole(tokenizer: Tokenizer) -> None:
    """Eight megabytes would hold the server for a minute; the prompt must not depend on them."""
    ids = fim_ids(tokenizer)
    huge = Snippet(path="a.py", text="x = 1\n" * 1_400_000)
    prompt = render_fim(
        "p", "s", tokenizer, ids, FimTemplate(), max_prompt_tokens=120, snippets=[huge]
    )
    assert prompt == render_fim("p", "s", tokenizer, ids, FimTemplate(), max_prompt_tokens=120)


def test_plain_prompts(tokenizer: Tokenizer) -> None:
    ids = fim_ids(tokenizer)
    long = "return x + 1\n" * 100
    prompt = render_plain(long, tokenizer, ids, max_prompt_tokens=20, is_truncatable=True)
    assert prompt[0] == ids.end
    assert 15 <= len(prompt) <= 20
    with pytest.raises(PromptTooLongError, match="20 tokens"):
        render_plain(long, tokenizer, ids, max_prompt_tokens=20, is_truncatable=False)
    with pytest.raises(EmptyPromptError):
        render_plain("", tokenizer, ids, max_prompt_tokens=20, is_truncatable=True)


def test_arrange_places_the_middle_last(tokenizer: Tokenizer) -> None:
    ids = fim_ids(tokenizer)
    assert arrange([1, 2], [3], ids, "spm") == [ids.prefix, ids.suffix, 3, ids.middle, 1, 2]
    assert arrange([1, 2], [3], ids, "psm") == [ids.prefix, 1, 2, ids.suffix, 3, ids.middle]
