"""A prompt's far ends hold still while the user types, and what is kept fills the budget."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.prompt.cut import _border_rank, cut_end, cut_start, tokenize_end, tokenize_start
from paceline.prompt.fim import FimTemplate, allot_suffix, fim_ids, render_fim
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer

WORDS = [
    "value",
    "index",
    "path",
    "items",
    "result",
    "total",
    "cursor",
    "offset",
    "prefix",
    "block",
    "token",
    "name",
]
FEW_TOKENS = 10
"""A word of this small vocabulary has up to eight ids."""


def make_code(seed: int, num_lines: int) -> str:
    """Lines of mixed length and indentation, blank ones among them; many occur twice."""
    rng = random.Random(seed)

    def line() -> str:
        a, b, c = rng.sample(WORDS, 3)
        forms = (
            f"    {a} = {b}.{c}({rng.randrange(9)})",
            f"        return {a}[{b}] + {c}",
            f"def {a}_{b}({c}):",
            f"    for {a} in {b}:",
            "",
            f"    # {a} of the {b}, unless the {c} says something else entirely",
        )
        return rng.choice(forms)

    return "".join(line() + "\n" for _ in range(num_lines))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([make_code(99, 300)], vocab_size=400)


def keystrokes(
    seed: int, count: int, cursor_line: int, num_lines: int
) -> Iterator[tuple[str, str]]:
    """(prefix, suffix) after each of `count` keystrokes into the middle of a file."""
    lines = make_code(seed, num_lines).splitlines(keepends=True)
    before, after = "".join(lines[:cursor_line]), "".join(lines[cursor_line:])
    typed = make_code(seed + 1, 60)
    for length in range(count):
        yield before + typed[:length], after


def last_lines(text: str, count: int) -> str:
    return "".join(text.splitlines(keepends=True)[-count:])


def num_shared(a: list[int], b: list[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


@pytest.mark.parametrize("window_lines", [10_000, 200])
@pytest.mark.parametrize(
    ("cursor_line", "num_lines", "budget"),
    [(400, 800, 1200), (250, 260, 900), (20, 600, 700), (0, 300, 500), (300, 600, 200)],
    ids=["both long", "short suffix", "short prefix", "from nothing", "small budget"],
)
def test_keystrokes_keep_the_prompt(
    tokenizer: Tokenizer, window_lines: int, cursor_line: int, num_lines: int, budget: int
) -> None:
    ids = fim_ids(tokenizer)
    previous: list[int] = []
    num_kept, num_all = 0, 0
    for prefix, suffix in keystrokes(7, 300, cursor_line, num_lines):
        given = last_lines(prefix, window_lines)
        prompt = render_fim(given, suffix, tokenizer, ids, FimTemplate(), max_prompt_tokens=budget)
        assert budget // 2 <= len(prompt) <= budget
        if previous:
            num_kept += num_shared(previous, prompt) >= len(previous) - FEW_TOKENS
            num_all += 1
        previous = prompt
    assert num_kept >= 0.95 * num_all, f"{num_kept} of {num_all}"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.integers(1, 400), text=st.text(max_size=400))
def test_cuts_keep_the_near_end_and_three_quarters(
    tokenizer: Tokenizer, seed: int, budget: int, text: str
) -> None:
    for whole in (make_code(seed, 60), text, text.replace("\n", "") * 3, "é🙂" * 300):
        end, end_ids = cut_end(tokenize_end(whole, tokenizer, 400), tokenizer, budget)
        start, start_ids = cut_start(tokenize_start(whole, tokenizer, 400), tokenizer, budget)
        assert whole.endswith(end) and tokenizer.decode(end_ids) == end
        assert whole.startswith(start) and tokenizer.decode(start_ids) == start
        num_tokens = len(tokenizer.encode(whole))
        for ids in (end_ids, start_ids):
            assert len(ids) <= budget
            if num_tokens <= budget:
                assert len(ids) == num_tokens
            elif budget >= 100:
                assert len(ids) >= budget // 2
    assert tokenizer.encode(whole) == tokenizer.encode_with_starts(whole)[0]


def test_ids_after_a_cut_are_those_of_the_cut_text(tokenizer: Tokenizer) -> None:
    """Taking ids out of a longer tokenization is as good as tokenizing again."""
    code = make_code(3, 300)
    for budget in range(50, 500, 37):
        text, ids = cut_end(tokenize_end(code, tokenizer, 600), tokenizer, budget)
        assert ids == tokenizer.encode(text)
        assert code[: -len(text)].endswith("\n"), "cut at the start of a line"
        text, ids = cut_start(tokenize_start(code, tokenizer, 600), tokenizer, budget)
        assert ids == tokenizer.encode(text)
        assert text.endswith("\n")


def test_cuts_fall_between_definitions(tokenizer: Tokenizer) -> None:
    """Where one begins within reach, the text that is kept begins, or ends, with a whole definition."""
    function = "\n@decorated\ndef {name}(value):\n    if value:\n        total = value\n\n    return total\n\n"
    code = "".join(function.format(name=name) for name in WORDS * 4)
    for budget in (300, 500, 700):
        kept, _ = cut_end(tokenize_end(code, tokenizer, 800), tokenizer, budget)
        assert kept.startswith("@decorated\n")
        kept, _ = cut_start(tokenize_start(code, tokenizer, 800), tokenizer, budget)
        assert code[len(kept) :].startswith("@decorated\n")
    assert _border_rank("x\n\n    }\n", 3) == 3, "a closing bracket begins nothing"
    assert _border_rank("x\n\n    def f():\n", 3) == 1
    assert _border_rank("x\n\nelse:\n", 3) == 3


def test_cuts_within_a_line_break_no_character(tokenizer: Tokenizer) -> None:
    family = "👩\u200d👩\u200d👧"
    for budget in range(40, 60):
        kept, _ = cut_end(tokenize_end(family * 60, tokenizer, 400), tokenizer, budget)
        assert kept and len(kept) % len(family) == 0
        kept, ids = cut_start(tokenize_start(family * 60, tokenizer, 400), tokenizer, budget)
        assert len(kept) % len(family) == 0 and tokenizer.decode(ids) == kept


def test_one_endless_line_is_cut_by_quanta(tokenizer: Tokenizer) -> None:
    line = make_code(5, 400).replace("\n", " ")
    cuts = set[int]()
    for length in range(6_000, 6_400):
        text, ids = cut_end(tokenize_end(line[:length], tokenizer, 500), tokenizer, 500)
        assert 400 <= len(ids) <= 500
        cuts.add(length - len(text))
    assert len(cuts) <= 5


@given(budget=st.integers(1, 5000), share=st.floats(0, 0.9), num_prefix=st.integers(0, 6000))
def test_the_suffix_is_allotted_in_quanta(budget: int, share: float, num_prefix: int) -> None:
    allotted = allot_suffix(num_prefix, budget, share)
    assert int(budget * share) <= allotted <= budget
    assert allotted + min(num_prefix, budget - int(budget * share)) <= budget
    sizes = {allot_suffix(n, budget, share) for n in range(num_prefix, num_prefix + 64)}
    assert len(sizes) <= (2 if budget >= 512 else 65)
