"""The n-gram equals a slow twin, and every distribution is one."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.evals.ngram import FALLBACK_DISCOUNTS, KneserNey, count_ngrams, discounts_of
from paceline.evals.ngram_file import (
    MAX_MATCH,
    FileMixture,
    default_weights,
    find_followers,
    fit_weights,
)

VOCAB = 7
STREAMS = st.lists(st.integers(0, VOCAB - 1), min_size=6, max_size=80)


class SlowKneserNey:
    """Chen & Goodman 1998 with dictionaries, as one reads it in the paper."""

    def __init__(self, stream: list[int], order: int) -> None:
        self.order = order
        raw = [
            Counter(tuple(stream[i : i + k]) for i in range(len(stream) - k + 1))
            for k in range(order + 1)
        ]
        self.counts: list[dict[tuple[int, ...], int]] = [{} for _ in range(order + 1)]
        self.counts[order] = dict(raw[order])
        for k in range(1, order):
            left: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
            for gram in raw[k + 1]:
                left[gram[1:]].add(gram[0])
            self.counts[k] = {gram: max(1, len(left[gram])) for gram in raw[k]}
        self.discounts = [self._discounts(counts) for counts in self.counts]

    @staticmethod
    def _discounts(counts: dict[tuple[int, ...], int]) -> tuple[float, ...]:
        n = [sum(c == i for c in counts.values()) for i in range(5)]
        if min(n[1:]) == 0:
            return FALLBACK_DISCOUNTS
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
        return found if all(0 < d < i for i, d in enumerate(found, 1)) else FALLBACK_DISCOUNTS

    def prob(self, context: tuple[int, ...], token: int) -> float:
        k = len(context) + 1
        lower = self.prob(context[1:], token) if context else 1 / VOCAB
        after = {g[-1]: c for g, c in self.counts[k].items() if g[:-1] == context}
        if not after:
            return lower
        total = sum(after.values())
        losses = {w: self.discounts[k][min(c, 3) - 1] for w, c in after.items()}
        kept = after[token] - losses[token] if token in after else 0.0
        return kept / total + sum(losses.values()) / total * lower


def make(stream: list[int], order: int) -> KneserNey:
    return KneserNey(count_ngrams(np.array(stream, np.uint32), order, VOCAB), VOCAB)


@settings(max_examples=60)
@given(
    stream=STREAMS, order=st.integers(2, 5), context=st.lists(st.integers(0, VOCAB - 1), max_size=6)
)
def test_equal_to_the_twin(stream: list[int], order: int, context: list[int]) -> None:
    fast, slow = make(stream, order), SlowKneserNey(stream, order)
    for seen in (context, stream[: len(context)]):
        found, _ = fast.next_distribution(seen)
        recent = tuple(seen[max(0, len(seen) - order + 1) :])
        assert found.sum() == pytest.approx(1, abs=1e-9)
        assert found == pytest.approx([slow.prob(recent, t) for t in range(VOCAB)], abs=1e-12)
        assert 2 ** fast.log2_prob(seen, 3) == pytest.approx(slow.prob(recent, 3))


def test_a_long_stream_has_discounts_of_its_own_and_equals_the_twin() -> None:
    rng = np.random.default_rng(5)
    stream: list[int] = [int(t) for t in np.minimum(rng.geometric(0.35, 600) - 1, VOCAB - 1)]
    fast, slow = make(stream, 4), SlowKneserNey(stream, 4)
    assert fast.discounts[3] == pytest.approx([0, *slow.discounts[4]])
    assert tuple(fast.discounts[3][1:]) != FALLBACK_DISCOUNTS
    for start in range(0, 500, 50):
        context = stream[start : start + 3]
        expected = [slow.prob(tuple(context), t) for t in range(VOCAB)]
        assert fast.next_distribution(context)[0] == pytest.approx(expected, abs=1e-12)


def test_discounts_by_hand() -> None:
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4])
    share = 8 / 16
    expected = [0, 1 - 2 * share * 4 / 8, 2 - 3 * share * 2 / 4, 3 - 4 * share * 1 / 2]
    assert discounts_of(counts) == pytest.approx(expected)
    assert tuple(discounts_of(np.array([1, 1]))[1:]) == FALLBACK_DISCOUNTS


def test_known_length_is_the_longest_context_with_followers() -> None:
    ngram = make([0, 1, 2, 3, 0, 1, 2, 4, 5, 5], 4)
    assert ngram.next_distribution([0, 1, 2])[1] == 3
    assert ngram.next_distribution([6, 1, 2])[1] == 2
    assert ngram.next_distribution([6, 6, 6])[1] == 0
    assert ngram.next_distribution([])[1] == 0


@given(history=st.lists(st.integers(0, 3), max_size=40))
def test_followers_equal_a_plain_search(history: list[int]) -> None:
    history = [9, *history]
    expected: list[list[int]] = []
    for m in range(MAX_MATCH + 1):
        last = history[len(history) - m :]
        found = [history[p] for p in range(m + 1, len(history)) if history[p - m : p] == last]
        if not found or m >= len(history):
            break
        expected.append(found)
    assert [f.tolist() for f in find_followers(np.array(history))] == expected


@settings(max_examples=40)
@given(stream=STREAMS, history=STREAMS, order=st.integers(2, 4))
def test_the_mixture_sums_to_one_with_any_weights(
    stream: list[int], history: list[int], order: int
) -> None:
    ngram = make(stream, order)
    fitted = fit_weights(ngram, [np.array(history)])
    for weights in (None, fitted):
        found = FileMixture(ngram, weights).next_distribution(np.array(history))
        assert found.sum() == pytest.approx(1, abs=1e-6)
        assert found.min() > 0


def test_fitted_weights_prefer_the_file_when_it_repeats_itself() -> None:
    ngram = make([int(t) for t in np.random.default_rng(0).integers(0, VOCAB, 400)], 3)
    history = np.array([0, *([1, 2, 3, 4, 5, 6] * 20)])
    fitted = FileMixture(ngram, fit_weights(ngram, [history]))
    plain = FileMixture(ngram)
    assert fitted.log2_probs(history, 60).sum() > plain.log2_probs(history, 60).sum()
    assert fitted.next_distribution(history)[1] > 0.8


def test_default_weights_are_convex() -> None:
    assert default_weights(5).sum(axis=1) == pytest.approx(1)
