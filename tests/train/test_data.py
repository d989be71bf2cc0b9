"""Rows: pure functions of their index, whole samples, honest labels."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import CorpusError
from paceline.prompt.fim import fim_ids
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from paceline.train.config import DataConfig
from paceline.train.data import IGNORED, RowSource
from paceline.train.middles import choose_lines, choose_middle, choose_rest_of_line

TEXTS = [
    "\n".join(f"def f{i}_{j}(x):\n    return x * {j} + {i}" for j in range(40)) for i in range(12)
]
CONFIG = DataConfig(row_tokens=256, min_sample_tokens=96)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, vocab_size=400)


@given(text=st.text(max_size=300), seed=st.integers(0, 1000))
def test_middle_round_trips(text: str, seed: int) -> None:
    lo, hi = choose_middle(text, random.Random(seed), DataConfig())
    assert 0 <= lo <= hi <= len(text)
    assert text[:lo] + text[lo:hi] + text[hi:] == text


@given(text=st.text(alphabet="ab \n", max_size=120), seed=st.integers(0, 1000))
def test_rest_of_line_is_one_line_and_lines_are_whole(text: str, seed: int) -> None:
    lo, hi = choose_rest_of_line(text, random.Random(seed))
    assert "\n" not in text[lo:hi]
    assert hi == len(text) or text[hi] == "\n"
    lo, hi = choose_lines(text, random.Random(seed), 400)
    start = text.rfind("\n", 0, lo) + 1
    assert not text[start:lo].strip(), "only indentation stands before whole lines"
    assert hi == len(text) or text[hi] == "\n"


def test_a_row_depends_on_its_index_only(tokenizer: Tokenizer) -> None:
    first = RowSource(TEXTS, tokenizer, CONFIG, seed=1)
    second = RowSource(TEXTS, tokenizer, CONFIG, seed=1)
    expected = {i: first.row(i) for i in range(40)}
    for i in reversed(range(40)):
        for a, b in zip(expected[i], second.row(i), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(expected[0][0], RowSource(TEXTS, tokenizer, CONFIG, seed=2).row(0)[0])


def test_labels_are_the_next_ids_and_sentinels_bear_no_loss(tokenizer: Tokenizer) -> None:
    rows, ids = RowSource(TEXTS, tokenizer, CONFIG, seed=1), fim_ids(tokenizer)
    ids_BT, labels_BT = rows.batch(0, 50)
    assert ids_BT.shape == labels_BT.shape == (50, 256)
    counted = labels_BT[:, :-1] != IGNORED
    assert np.array_equal(labels_BT[:, :-1][counted], ids_BT[:, 1:][counted])
    assert ids.middle is not None
    assert not np.isin(labels_BT, [ids.prefix, ids.suffix, ids.middle]).any()
    assert counted.mean() > 0.8, "little is padding"


def test_every_fim_sample_is_whole_and_reads_back_as_its_source(tokenizer: Tokenizer) -> None:
    rows = RowSource(TEXTS, tokenizer, CONFIG, seed=3)
    ids = fim_ids(tokenizer)
    assert ids.middle is not None
    num_spm = num_psm = 0
    for index in range(60):
        row = rows.row(index)[0].tolist()
        for sample in _samples(row, ids.end):
            if sample[0] != ids.prefix:
                continue
            assert [sample.count(i) for i in (ids.prefix, ids.suffix, ids.middle)] == [1, 1, 1]
            middle = sample.index(ids.middle)
            if sample[1] == ids.suffix:
                num_spm += 1
                text = tokenizer.decode(sample[middle + 1 :]) + tokenizer.decode(sample[2:middle])
            else:
                num_psm += 1
                cut = sample.index(ids.suffix)
                prefix, suffix = sample[1:cut], sample[cut + 1 : middle]
                text = "".join(map(tokenizer.decode, (prefix, sample[middle + 1 :], suffix)))
            assert any(text in source for source in TEXTS)
    assert num_spm > num_psm > 0


def test_an_epoch_visits_every_window_once(tokenizer: Tokenizer) -> None:
    rows = RowSource(TEXTS, tokenizer, CONFIG, seed=4)
    visited = [tuple(rows._window_at(i)) for i in range(rows.rows_per_epoch)]
    assert len(set(visited)) == rows.rows_per_epoch
    again = [tuple(rows._window_at(i + rows.rows_per_epoch)) for i in range(rows.rows_per_epoch)]
    assert sorted(again) == sorted(visited)
    assert again != visited


def test_no_text_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(CorpusError, match="no text"):
        RowSource(["x"], tokenizer, CONFIG, seed=0)


def _samples(row: list[int], end: int) -> list[list[int]]:
    samples: list[list[int]] = []
    current: list[int] = []
    for token_id in row:
        if token_id == end:
            if current:
                samples.append(current)
            current = []
        else:
            current.append(token_id)
    return samples
