"""Baseline (a), third part: finish a line, and say how probable the true rest of it was.

A cursor may stand inside a token. The n-gram is not handicapped by that: what is typed of the last
word is taken back and spelt again by the most probable tokens that agree with it, of which the last
may reach beyond the cursor ("token healing"; the search is Viterbi over the typed characters).
"""

from __future__ import annotations

import re
from bisect import bisect_left
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
        """Spell `typed` after `base`. Contexts follow the best spelling of each start of `typed`."""
        if not typed:
            return Spelling([], 0.0)
        best: dict[int, tuple[float, list[int]]] = {0: (1.0, [])}
        mass: dict[int, float] = {0: 1.0}
        done, total = (0.0, list[int]()), 0.0
        for at in range(len(typed)):
            if at not in best:
                continue
            score, path = best[at]
            history = np.concatenate([base, np.array(path, np.int64)])
            probabilities = self.mixture.next_distribution(history)
            covering = self._starting_with(typed[at:])
            if len(covering):
                token = int(covering[probabilities[covering].argmax()])
                total += mass[at] * float(probabilities[covering].sum())
                done = max(done, (score * float(probabilities[token]), [*path, token]))
            for end, token in self._inside(typed, at):
                probability = float(probabilities[token])
                mass[end] = mass.get(end, 0.0) + mass[at] * probability
                step = (score * probability, [*path, token])
                best[end] = max(best.get(end, step), step)
        if not done[1]:
            return self._spell_plainly(base, typed)
        return Spelling(done[1], float(np.log2(total)))

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
