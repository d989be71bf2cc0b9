"""Decoding and scoring with the n-gram: cursors inside tokens are no handicap."""

from __future__ import annotations

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.evals.ngram import KneserNey, count_ngrams
from paceline.evals.ngram_decode import LineGuesser, last_word
from paceline.evals.ngram_file import FileMixture
from paceline.tokenizer.bpe import Tokenizer
from tests.evals.conftest import TRAIN, make_source


@pytest.fixture(scope="module")
def guesser(tokenizer: Tokenizer) -> LineGuesser:
    ids = [i for document in TRAIN for i in [0, *tokenizer.encode(document.text)]]
    levels = count_ngrams(np.array(ids, np.uint32), 5, tokenizer.vocab_size)
    return LineGuesser(tokenizer, FileMixture(KneserNey(levels, tokenizer.vocab_size)))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("x = self.get_al", ".get_al"),
        ("x = foo(", "("),
        ("x = fo", " fo"),
        ("if x:\n    ", "    "),
        ("x =  ", "  "),
        ("x\n", ""),
        ("", ""),
    ],
)
def test_last_word(prefix: str, expected: str) -> None:
    assert last_word(prefix) == expected


@given(cut=st.integers(1, 24))
def test_a_known_line_is_finished_from_any_cursor(guesser: LineGuesser, cut: int) -> None:
    text = TRAIN[5].text
    line = "        raise ValueError('no "
    start = text.index(line, 400)
    rest = guesser.guess(text[: start + cut], max_tokens=48)
    assert (line[:cut] + rest).startswith(line)


@given(cut=st.integers(100, 900))
def test_spelling_agrees_with_what_is_typed(
    guesser: LineGuesser, tokenizer: Tokenizer, cut: int
) -> None:
    prefix = make_source(77)[:cut]
    typed = last_word(prefix)
    spelling = guesser.spell(guesser.history(prefix[: cut - len(typed)]), typed)
    assert tokenizer.decode(spelling.ids).startswith(typed)
    assert spelling.log2_prob <= 1e-9


def test_indentation_that_is_typed_is_not_guessed_deeper(guesser: LineGuesser) -> None:
    text = make_source(77)
    for match in re.finditer(r"\n( +)(?=\S)", text[:1200]):
        assert guesser.guess(text[: match.end()], max_tokens=8)[:1] != " "


def test_the_masses_of_all_next_characters_sum_to_one(guesser: LineGuesser) -> None:
    base = guesser.history(make_source(77)[:400])
    total = sum(2 ** guesser.spell(base, char).log2_prob for char in string.printable)
    assert 0.95 < total <= 1 + 1e-9


def test_bits_at_a_token_boundary_are_those_of_the_tokens(guesser: LineGuesser) -> None:
    text = make_source(77)
    start = text.index("\n    return") + 1
    history, first = guesser.history(text[: start + 10]), guesser.history(text[:start])
    expected = -guesser.mixture.log2_probs(history, len(first)).sum()
    assert guesser.bits(text[:start], text[start : start + 10]) == pytest.approx(expected)


def test_bits_inside_a_word_are_fewer_than_those_of_the_whole_word(guesser: LineGuesser) -> None:
    text = make_source(77)
    start = text.index("ValueError", 300)
    whole = guesser.bits(text[:start], "ValueError")
    rest = guesser.bits(text[: start + 5], "Error")
    assert 0 <= rest < whole


def test_text_that_tokens_cannot_spell_is_still_scored(guesser: LineGuesser) -> None:
    assert 0 < guesser.bits("x = 'né𝄞", "𝄞'") < 200


def test_the_most_tokens_bound_the_guess(guesser: LineGuesser, tokenizer: Tokenizer) -> None:
    text = make_source(77)
    start = text.index('    """Return') + 4
    assert len(tokenizer.encode(guesser.guess(text[:start], max_tokens=3))) <= 4
