"""How far a candidate is worth showing: up to the first word that is more likely wrong than worth reading.

A user who knows what they want reads ghost text word by word until it is wrong, takes what is right, and
repairs or types the rest. The next word, of n characters, is right with probability q (given that all before
it is). Showing it spares n keys if it is right, costs reading in any case, and a repair if it is wrong:

    worth showing   <=>   q * n  >  read_keys * n  +  (1 - q) * repair_keys
                    <=>   q  >  (read_keys * n + repair_keys) / (n + repair_keys)

all in keys of typing. Everything after a word that is not worth it would be read even more rarely, so the
candidate ends there; and nothing more need be computed. The first word is exempt: whether to show anything
at all is the gate's question (gate.py).

This is correctability as a rule: a wrong end is what costs, so it is not shown. The probabilities are the
model's own; a generator that tells none is never cut.
"""

from __future__ import annotations

import math

import msgspec

from paceline.core.errors import ConfigError


class ConfidenceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a word must be worth."""

    is_enabled: bool = True
    read_keys: float = 0.18
    """Reading a character, in keys of typing: 42 ms of 239 ms (traces/user.py)."""
    repair_keys: float = 1.0
    """Repairing a wrong word. The simulated user needs 2 (one chord), but not every wrong word is accepted:
    of 0.5, 1, 2 and 3, 1 saved the most time on the tune half of replay-python (docs/lab-notebook.md)."""

    def __post_init__(self) -> None:
        if self.read_keys < 0 or self.repair_keys < 0:
            raise ConfigError("read_keys and repair_keys must not be negative.")

    def min_probability(self, num_chars: int) -> float:
        """That a word of so many characters must at least have."""
        cost = self.read_keys * num_chars + self.repair_keys
        return min(cost / max(num_chars + self.repair_keys, 1e-9), 1.0)


class Confidence:
    """Reads a stream of (text, log-probability) and says where it stops being worth showing.

    The unit is what lies between two borders of words at ends of tokens: a name, a number, a run of
    signs, each with the white space before it.
    """

    def __init__(self, config: ConfidenceConfig) -> None:
        self._config = config
        self._num_chars = 0
        self._start = 0
        """Where the word begins that is being read."""
        self._logprob = 0.0
        self._last = ""
        self._num_ink = 0
        """Characters of the word that are no white space."""
        self._num_tokens = 0
        self.num_tokens, self.logprob = 0, 0.0
        """Of the words that are worth showing."""
        self.end: int | None = None
        """Where the text should end; None as long as all of it is worth showing."""

    def add(self, text: str, logprob: float, num_tokens: int = 1) -> None:
        """Read one more token (or several, as one)."""
        if self.end is not None:
            return
        if text and self._num_ink and not _is_one_word(self._last, text[0]):
            self._close()
        self._logprob += logprob
        self._num_tokens += num_tokens
        self._num_chars += len(text)
        self._num_ink += len("".join(text.split()))
        self._last = text[-1:] or self._last
        if self.num_tokens and self._num_ink and self._probability < self._config.read_keys:
            self._close()  # however long the word gets, it will not be worth it

    def finish(self) -> int | None:
        """The stream is over: judge the last word too, and return where the text should end."""
        if self.end is None and self._num_ink:
            self._close()
        return self.end

    @property
    def _probability(self) -> float:
        """Of the word so far; it only falls."""
        return math.exp(min(self._logprob, 0.0))

    def _close(self) -> None:
        is_first = self.num_tokens == 0
        if not is_first and self._probability < self._config.min_probability(self._num_ink):
            self.end = self._start
            return
        self.num_tokens += self._num_tokens
        self.logprob += self._logprob
        self._start, self._logprob, self._num_ink = self._num_chars, 0.0, 0
        self._num_tokens = 0


def _is_one_word(before: str, after: str) -> bool:
    """Does a word go on from one character to the next?"""
    return (before.isalnum() or before == "_") and (after.isalnum() or after == "_")
