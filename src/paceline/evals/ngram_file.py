"""Baseline (a), second part: the n-gram may also use what stands before in the same file.

The next token's probability is a linear interpolation of the Kneser-Ney model and of the relative
frequencies in the file so far after the last 0, 1, ... 4 tokens (a cache model: Kuhn & De Mori 1990;
nested caches for code: Hellendoorn & Devanbu 2017, whose mixing is by fixed rules). The weights depend
on how long a context the file has seen, how often, and how long a context the n-gram knows; they are
fitted by expectation maximisation (Jelinek & Mercer 1980) on training packages that were not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from paceline.evals.ngram import Floats, Ints, KneserNey

MAX_MATCH = 4
"""Longest context that is looked up in the file."""
NUM_PARTS = MAX_MATCH + 2
NUM_COUNTS = 3
NUM_ROUNDS = 40
PRIOR_STRENGTH = 10.0
"""Pseudo-observations in each bucket of weights: half for Kneser-Ney, the rest spread over the file."""


class Parts(NamedTuple):
    """What is mixed for one token."""

    bucket: int
    base: Floats
    followers: list[Ints]
    """For 0, 1, ... matched tokens: every token of the file that came after them."""


def find_followers(history: Ints) -> list[Ints]:
    """The tokens that followed each earlier occurrence of the last 0, 1, ... tokens of `history`.

    The list ends at the longest match. `history[0]` is the end-of-text token before the file.
    """
    if len(history) < 2:
        return []
    found = [history[1:]]
    positions = np.flatnonzero(history[:-1] == history[-1]) + 1
    for length in range(1, MAX_MATCH + 1):
        if not len(positions):
            break
        found.append(history[positions])
        positions = positions[positions > length]
        if len(positions):
            positions = positions[history[positions - length - 1] == history[-length - 1]]
    return found


def num_buckets(order: int) -> int:
    """Rows of the weights for an n-gram of this order."""
    return 1 + (MAX_MATCH + 1) * NUM_COUNTS * order


class FileMixture:
    """Distributions of the next token from the n-gram and the file's own prefix."""

    def __init__(self, ngram: KneserNey, weights: Floats | None = None) -> None:
        self.ngram = ngram
        self.weights = default_weights(ngram.order) if weights is None else weights

    def parts(self, history: Ints) -> Parts:
        """What is mixed after `history` (end-of-text token first)."""
        base, known = self.ngram.next_distribution(history[-self.ngram.order :].tolist())
        followers = find_followers(history)
        if not followers:
            return Parts(0, base, followers)
        count = min(len(followers[-1]), NUM_COUNTS) - 1
        row = ((len(followers) - 1) * NUM_COUNTS + count) * self.ngram.order + known
        return Parts(1 + row, base, followers)

    def next_distribution(self, history: Ints) -> Floats:
        """Probabilities over the vocabulary; they sum to 1."""
        bucket, mixed, followers = self.parts(history)
        weights = self.weights[bucket]
        mixed *= weights[0]
        for weight, tokens in zip(weights[1:], followers, strict=False):
            np.add.at(mixed, tokens, weight / len(tokens))
        return mixed

    def log2_probs(self, history: Ints, start: int) -> Floats:
        """Base-2 log-probability of each token from `history[start]` on, given all before it."""
        found = [
            self.next_distribution(history[:i])[history[i]] for i in range(start, len(history))
        ]
        return np.log2(np.array(found, dtype=np.float64))


def default_weights(order: int) -> Floats:
    """Half for Kneser-Ney, the rest spread evenly over the matched lengths."""
    weights = np.zeros((num_buckets(order), NUM_PARTS))
    weights[:, 0] = 0.5
    for matched in range(MAX_MATCH + 1):
        rows = slice(1 + matched * NUM_COUNTS * order, 1 + (matched + 1) * NUM_COUNTS * order)
        weights[rows, 1 : matched + 2] = 0.5 / (matched + 1)
    weights[0, 0] = 1.0
    return weights


def fit_weights(ngram: KneserNey, histories: Iterable[Ints]) -> Floats:
    """Weights that make the tokens of `histories` most probable (40 rounds of EM, with a weak prior).

    The tokens must not be among those that `ngram` counted.
    """
    mixture = FileMixture(ngram)
    buckets: list[int] = []
    rows: list[Floats] = []
    for history in histories:
        for i in range(1, len(history)):
            bucket, base, followers = mixture.parts(history[:i])
            row = np.zeros(NUM_PARTS)
            row[0] = base[history[i]]
            row[1 : len(followers) + 1] = [np.mean(tokens == history[i]) for tokens in followers]
            buckets.append(bucket)
            rows.append(row)
    return _maximise(mixture.weights, np.array(buckets, np.int64), np.array(rows))


def _maximise(prior: Floats, buckets: Ints, rows: Floats) -> Floats:
    weights = prior
    if not len(rows):
        return weights
    for _ in range(NUM_ROUNDS):
        shares = rows * weights[buckets]
        shares /= shares.sum(axis=1, keepdims=True)
        totals = PRIOR_STRENGTH * prior
        np.add.at(totals, buckets, shares)
        weights = totals / totals.sum(axis=1, keepdims=True)
    return weights
