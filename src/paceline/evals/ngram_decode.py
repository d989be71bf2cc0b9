"""Baseline (a), third part: finish a line, and say how probable the true rest of it was.

A cursor may stand inside a token. The n-gram is not handicapped by that: what is typed of the last
word is taken back and spelt again by the most probable tokens that agree with it, of which the last
may reach beyond the cursor ("token healing").
"""

from __future__ import annotations

import re
from bisect import bisect_left
from math import log2
from typing import NamedTuple

import numpy as np

from paceline.evals.ngram import Floats, Ints
from paceline.evals.ngram_file import FileMixture
from paceline.tokenizer.bpe import Tokenizer
from paceline.tokenizer.specials import END_OF_TEXT

MAX_TYPED_CHARS = 40
_LAST_WORD = re.compile(r" ?[^\w\s]*\w*\Z")
_LAST_SPACE = re.compile(r"[^\S\n]+\Z")


class Spelling(NamedTuple):
    """Tokens that spell what is typed."""

    ids: list[int]
    """The most probable ones; the last may reach beyond the cursor."""
    log2_prob: float
    """Of what is typed, over all spellings."""


class _Step(NamedTuple):
    """What can follow at one place of the typed text."""

    covering: list[tuple[int, float]]
    """(id, probability) of tokens that begin with all the rest."""
    inside: list[tuple[int, int, float]]
    """(end, id, probability) of tokens that are a piece of the rest."""


class _Vocabulary(NamedTuple):
    """Token texts, sorted, without special tokens and without parts of code points."""

    texts: list[str]
    ids: Ints
    specials: frozenset[int]


def last_word(prefix: str) -> str:
    """The end of `prefix` that a token of the full text could share with what follows the cursor."""
    tail = prefix[-MAX_TYPED_CHARS:]
    match = _LAST_SPACE.search(tail) or _LAST_WORD.search(tail)
    return match.group() if match else ""


class LineGuesser:
    """Greedy decoding and scoring with the n-gram and the file's own prefix."""

    def __init__(self, tokenizer: Tokenizer, mixture: FileMixture) -> None:
        self._tokenizer, self.mixture = tokenizer, mixture
        self._end_id = tokenizer.special_id(END_OF_TEXT)
        self._vocabulary = _read_vocabulary(tokenizer)

    def history(self, text: str) -> Ints:
        """Ids of `text` as a file: the end-of-text token first."""
        return np.array([self._end_id, *self._tokenizer.encode(text)], np.int64)

    def guess(self, prefix: str, *, max_tokens: int) -> str:
        """The most probable rest of the line, token by token; stops at a newline."""
        typed = last_word(prefix)
        base = self.history(prefix[: len(prefix) - len(typed)])
        ids = self.spell(base, typed).ids
        text = self._tokenizer.decode(ids)[len(typed) :]
        while "\n" not in text and len(ids) < max_tokens:
            history = np.concatenate([base, np.array(ids, np.int64)])
            token = int(self.mixture.next_distribution(history).argmax())
            if token in self._vocabulary.specials:
                break
            ids.append(token)
            text = self._tokenizer.decode(ids)[len(typed) :]
        return text.partition("\n")[0]

    def bits(self, prefix: str, middle: str) -> float:
        """Negative log2-probability of `middle` after `prefix`, which may end inside a token.

        P(middle | prefix) is P(tokens of prefix + middle) / P(prefix, however its last word is spelt).
        """
        typed = last_word(prefix)
        base, full = self.history(prefix[: len(prefix) - len(typed)]), self.history(prefix + middle)
        length = min(len(base), len(full))
        differs = np.flatnonzero(base[:length] != full[:length])
        start = int(differs[0]) if len(differs) else length
        typed = self._tokenizer.decode(base[start:].tolist()) + typed
        joint = float(self.mixture.log2_probs(full, start).sum())
        return max(0.0, self.spell(full[:start], typed).log2_prob - joint)

    def spell(self, base: Ints, typed: str) -> Spelling:
        """Spell `typed` after `base`: greedy, token by token, each weighed by how well `typed` can go on.

        A token that ends inside `typed` weighs its probability times that of the rest of `typed` after
        it; one that covers the rest weighs its probability.
        """
        if not typed:
            return Spelling([], 0.0)
        steps = self._steps(base, typed)
        mass: dict[int, float] = {len(typed): 0.0}
        for at in sorted(steps, reverse=True):
            covering, inside = steps[at]
            mass[at] = sum(p for _, p in covering) + sum(p * mass[end] for end, _, p in inside)
        if not mass[0]:
            return self._spell_plainly(base, typed)
        ids: list[int] = []
        at = 0
        while at < len(typed):
            covering, inside = steps[at]
            choices = [(p, token, len(typed)) for token, p in covering]
            choices += [(p * mass[end], token, end) for end, token, p in inside]
            _, token, at = max(choices)
            ids.append(token)
        return Spelling(ids, log2(mass[0]))

    def _steps(self, base: Ints, typed: str) -> dict[int, _Step]:
        """The tokens that can go on from each place in `typed` that tokens can reach.

        A place that several spellings reach takes the most probable one as its context.
        """
        paths: dict[int, tuple[float, list[int]]] = {0: (1.0, [])}
        steps: dict[int, _Step] = {}
        for at in range(len(typed)):
            if at not in paths:
                continue
            score, path = paths[at]
            history = np.concatenate([base, np.array(path, np.int64)])
            probabilities = self.mixture.next_distribution(history)
            covering = [(int(i), float(probabilities[i])) for i in self._starting_with(typed[at:])]
            inside = [(end, i, float(probabilities[i])) for end, i in self._inside(typed, at)]
            steps[at] = _Step(covering, inside)
            for end, token, probability in inside:
                reached = (score * probability, [*path, token])
                paths[end] = max(paths.get(end, reached), reached)
        return steps

    def _spell_plainly(self, base: Ints, typed: str) -> Spelling:
        """For text that whole tokens cannot spell, such as a rare character made of byte tokens."""
        ids = self._tokenizer.encode(typed)
        history = np.concatenate([base, np.array(ids, np.int64)])
        return Spelling(ids, float(self.mixture.log2_probs(history, len(base)).sum()))

    def _starting_with(self, text: str) -> Ints:
        low = bisect_left(self._vocabulary.texts, text)
        high = bisect_left(self._vocabulary.texts, text + chr(0x10FFFF))
        return self._vocabulary.ids[low:high]

    def _inside(self, typed: str, at: int) -> list[tuple[int, int]]:
        """(end, id) of each token that is a piece of `typed` from `at` and ends before its end."""
        found: list[tuple[int, int]] = []
        for end in range(at + 1, len(typed)):
            index = bisect_left(self._vocabulary.texts, typed[at:end])
            if (
                index < len(self._vocabulary.texts)
                and self._vocabulary.texts[index] == typed[at:end]
            ):
                found.append((end, int(self._vocabulary.ids[index])))
        return found


def _read_vocabulary(tokenizer: Tokenizer) -> _Vocabulary:
    texts = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
    specials = frozenset(
        i for i, text in enumerate(texts) if text.startswith("<|") and text.endswith("|>")
    )
    usable = sorted(
        (text, i) for i, text in enumerate(texts) if i not in specials and "�" not in text
    )
    ids = np.array([i for _, i in usable], np.int64)
    return _Vocabulary([text for text, _ in usable], ids, specials)


def bits_of(log2_probs: Floats) -> float:
    """Sum of negative log2-probabilities."""
    return float(-log2_probs.sum())
