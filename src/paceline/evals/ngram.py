"""Baseline (a), its core: an n-gram model with interpolated modified Kneser-Ney smoothing.

Source: Chen & Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling"
(TR-10-98), §3 and the closed form of the three discounts per order. Where we differ:
- one stream of tokens with an end-of-text token between documents, so contexts may reach across it;
  there is no padding at the start of a document;
- an n-gram that begins the stream has no left neighbour; it counts as having one;
- where the counts are too few for the closed form, the discounts are 0.5, 1 and 1.5 (as in KenLM);
- the unigram distribution is interpolated with the uniform one over the vocabulary.

The counts are a trie in compressed rows: order k lists, for every (k-1)-gram, the tokens that follow.
`Level.starts[c] : Level.starts[c + 1]` are the entries after context `c`; the index of an entry is the
id of its k-gram, and so the id of a context of the next level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[Any]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


class Level(NamedTuple):
    """The k-grams of one order, sorted by context, then token."""

    starts: Ints
    tokens: Ints
    counts: Ints
    """Occurrences at the highest order; below it, the number of different left neighbours."""


class KneserNey:
    """Distributions of the next token."""

    def __init__(self, levels: Sequence[Level], vocab_size: int) -> None:
        self.levels = tuple(levels)
        self.order = len(self.levels)
        self.vocab_size = vocab_size
        self.discounts = np.array([discounts_of(level.counts) for level in self.levels])
        uniform = np.full(vocab_size, 1.0 / vocab_size)
        self._unigram = self._interpolate(uniform, 0, 0)

    def next_distribution(self, context: Sequence[int]) -> tuple[Floats, int]:
        """Probabilities over the vocabulary, and how many last tokens of `context` were found.

        Only the last `order - 1` tokens matter. The array is the caller's to change.
        """
        probabilities = self._unigram.copy()
        recent = [int(token) for token in context[max(0, len(context) - self.order + 1) :]]
        for length in range(1, len(recent) + 1):
            node = self._find(recent[len(recent) - length :])
            if node is None:
                return probabilities, length - 1
            probabilities = self._interpolate(probabilities, length, node)
        return probabilities, len(recent)

    def log2_prob(self, context: Sequence[int], token: int) -> float:
        """Base-2 logarithm of the probability of `token` after `context`."""
        return float(np.log2(self.next_distribution(context)[0][token]))

    def _find(self, context: Sequence[int]) -> int | None:
        """Id of a context that something follows, or None."""
        node = 0
        for level, token in zip(self.levels, context, strict=False):
            low, high = int(level.starts[node]), int(level.starts[node + 1])
            node = low + int(np.searchsorted(level.tokens[low:high], token))
            if node == high or level.tokens[node] != token:
                return None
        starts = self.levels[len(context)].starts
        return node if starts[node] < starts[node + 1] else None

    def _interpolate(self, lower: Floats, length: int, node: int) -> Floats:
        """Discount the counts after one context and give what they lose to `lower`, in place."""
        level = self.levels[length]
        low, high = int(level.starts[node]), int(level.starts[node + 1])
        counts = level.counts[low:high]
        taken = self.discounts[length][np.minimum(counts, 3)]
        total = float(counts.sum())
        lower *= float(taken.sum()) / total
        lower[level.tokens[low:high]] += (counts - taken) / total
        return lower


def discounts_of(counts: Ints) -> Floats:
    """What a count of 0, 1, 2 and 3 or more loses (Chen & Goodman, equation 26)."""
    n1, n2, n3, n4 = (float(n) for n in np.bincount(np.minimum(counts, 5), minlength=6)[1:5])
    if min(n1, n2, n3, n4) > 0:
        share = n1 / (n1 + 2 * n2)
        losses = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
        if all(0 < loss < limit for limit, loss in enumerate(losses, start=1)):
            return np.array([0.0, *losses])
    return np.array([0.0, *FALLBACK_DISCOUNTS])


def count_ngrams(stream: Ints, order: int, vocab_size: int) -> list[Level]:
    """Count all n-grams of `stream` up to `order`, by sorting (context id, token) keys level by level.

    Needs about 40 bytes of memory for each token of the stream while it runs.
    """
    assert len(stream) >= order, "the stream must hold at least one n-gram"
    levels: list[Level] = []
    ids = np.zeros(len(stream), np.int32)
    num_contexts = 1
    for length in range(order):
        keys = ids[: len(stream) - length].astype(np.int64)
        keys *= vocab_size
        keys += stream[length:]
        by_key = np.argsort(keys)
        keys = keys[by_key]
        is_first = np.ones(len(keys), np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
        firsts = np.flatnonzero(is_first)
        if levels:
            neighbours = np.bincount(ids[by_key[firsts] + 1], minlength=num_contexts)
            continuations = np.maximum(neighbours, 1).astype(np.int32)
            levels[-1] = levels[-1]._replace(counts=continuations)
        levels.append(
            _level(keys[firsts], np.diff(firsts, append=len(keys)), num_contexts, vocab_size)
        )
        num_contexts = len(firsts)
        ids = np.empty(len(keys), np.int32)
        ids[by_key] = np.cumsum(is_first, dtype=np.int32) - 1
    return levels


def _level(keys: Ints, counts: Ints, num_contexts: int, vocab_size: int) -> Level:
    contexts, tokens = np.divmod(keys, vocab_size)
    starts = np.zeros(num_contexts + 1, np.int32)
    np.cumsum(np.bincount(contexts, minlength=num_contexts), out=starts[1:])
    token_type = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    return Level(starts, tokens.astype(token_type), counts.astype(np.int32))
