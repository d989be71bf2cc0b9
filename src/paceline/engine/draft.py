"""Guesses of the ids to come, read off what is known without a model. No torch, no threads, no clock.

    guess       the previous completion of this document, from the cursor on
      [d e f g h]     output [d e]        -> [f g h]   PREVIOUS: agrees so far
      [d e f g h]     output [x f g]      -> [h]       REALIGNED: [f g] occurs in the guess
    document    prompt and output of the sequence itself, snippets included
      .. a b c d .. a b c ..  a b         -> [c ..]    DOCUMENT(_SHORT): the latest longest match

A wrong guess costs a row of a step and never changes the output (engine/sampler.py). Sources: drafts by
look-up are Saxena's prompt lookup decoding (2023) and He et al. 2023 (REST, arXiv:2311.08252); drafting
from the previous completion is ours, after "speculative edits".
"""

from __future__ import annotations

import enum
from collections.abc import Sequence as Items
from typing import NamedTuple

MIN_MATCH_TOKENS = 2
MAX_MATCH_TOKENS = 8
"""Longer agreement does not make a better draft, and costs more to find."""
LONG_MATCH_TOKENS = 4
"""Matches from here on are counted as DOCUMENT: they are right far more often than shorter ones."""
MAX_CANDIDATES = 32
"""Occurrences of a pair that are compared, latest first: bounds the work in repetitive text."""


class Source(enum.Enum):
    """Where a draft comes from; each has its own record of how often it is right."""

    PREVIOUS = "previous"
    REALIGNED = "realigned"
    DOCUMENT = "document"
    DOCUMENT_SHORT = "document_short"
    """A match of fewer than LONG_MATCH_TOKENS ids."""


class Draft(NamedTuple):
    """May be empty."""

    ids: list[int]
    source: Source


class _Match(NamedTuple):
    end: int
    """Position after the matching ids: what came there is the draft."""
    num_tokens: int


_NO_MATCH = _Match(0, 0)


class _Pairs:
    """Where each pair of neighbouring ids occurs in a growing list; a chain through equal pairs."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], int] = {}
        self._before = [0, 0]
        """Of the pair that ends before position p, the end of its previous occurrence, or 0."""

    def extend(self, ids: list[int], end: int) -> None:
        """Add the pairs that end at or before position `end`; earlier calls saw the same ids."""
        latest, before = self._latest, self._before
        position = len(before)
        if position > end:
            return
        for pair in zip(ids[position - 2 : end - 1], ids[position - 1 : end], strict=True):
            before.append(latest.get(pair, 0))
            latest[pair] = position
            position += 1

    def longest(self, ids: list[int], query: list[int], near: int) -> _Match:
        """The longest end of `query` that occurs in `ids`; of equally long ones that nearest `near`."""
        limit = len(query)
        best, distance = _NO_MATCH, 0
        end = self._latest.get((query[-2], query[-1]), 0) if limit >= MIN_MATCH_TOKENS else 0
        for _ in range(MAX_CANDIDATES):
            if not end:
                break
            count = MIN_MATCH_TOKENS
            while count < min(limit, end) and ids[end - 1 - count] == query[-1 - count]:
                count += 1
            if (count, -abs(end - near)) > (best.num_tokens, -distance):
                best, distance = _Match(end, count), abs(end - near)
            if count == limit and end <= near:
                break  # those still to come are no longer and farther away
            end = self._before[end]
        return best


class _Guess:
    """One list of ids that may come, and how far the output agrees with it."""

    def __init__(self, ids: Items[int]) -> None:
        self.ids = list(ids)
        self._num_agreed = 0
        self._shift = 0
        """Position in the guess minus number of output ids, where they last agreed."""
        self._pairs: _Pairs | None = None

    def agrees(self, token_ids: list[int], num_prompt_tokens: int) -> bool:
        """Whether the whole output is the beginning of the guess."""
        count, num_output = self._num_agreed, len(token_ids) - num_prompt_tokens
        stop = min(num_output, len(self.ids))
        while count < stop and self.ids[count] == token_ids[num_prompt_tokens + count]:
            count += 1
        self._num_agreed = count
        return count == num_output

    def realign(self, query: list[int], num_output: int) -> _Match:
        """Where the last ids of the output, `query`, occur in the guess."""
        if self._pairs is None:
            self._pairs = _Pairs()
            self._pairs.extend(self.ids, len(self.ids) - 1)
        match = self._pairs.longest(self.ids, query, num_output + self._shift)
        if match.num_tokens:
            self._shift = match.end - num_output
        return match


class Drafter:
    """Drafts for one sequence. Indexes are built when first needed and grow with the sequence."""

    def __init__(self, guesses: Items[Items[int]] = ()) -> None:
        """`guesses`: ids that may come after the prompt, best first."""
        self._guesses = [_Guess(guess) for guess in guesses]
        self._pairs = _Pairs()

    def propose(self, token_ids: list[int], num_prompt_tokens: int, max_tokens: int) -> Draft:
        """Return up to `max_tokens` ids that may follow token_ids, which is prompt and output.

        A guess that agrees with the whole output comes first; else the longer match of guesses and
        document wins, the guess on a tie. From call to call token_ids may only grow.
        """
        if max_tokens < 1:
            return Draft([], Source.DOCUMENT_SHORT)
        for guess in self._guesses:
            if guess.agrees(token_ids, num_prompt_tokens):
                start = len(token_ids) - num_prompt_tokens
                if start < len(guess.ids):
                    return Draft(guess.ids[start : start + max_tokens], Source.PREVIOUS)
        return self._match(token_ids, num_prompt_tokens, max_tokens)

    def _match(self, token_ids: list[int], num_prompt_tokens: int, max_tokens: int) -> Draft:
        num_output = len(token_ids) - num_prompt_tokens
        query = token_ids[-min(num_output, MAX_MATCH_TOKENS) :] if num_output else []
        best, best_ids = _NO_MATCH, list[int]()
        for guess in self._guesses:
            match = guess.realign(query, num_output)
            if match.num_tokens > best.num_tokens:
                best, best_ids = match, guess.ids
        if best.num_tokens < MAX_MATCH_TOKENS:
            self._pairs.extend(token_ids, len(token_ids) - 1)
            match = self._pairs.longest(token_ids, token_ids[-MAX_MATCH_TOKENS:], len(token_ids))
            if match.num_tokens > best.num_tokens:
                is_long = match.num_tokens >= LONG_MATCH_TOKENS
                source = Source.DOCUMENT if is_long else Source.DOCUMENT_SHORT
                return Draft(_continue(token_ids, match.end, max_tokens), source)
        return Draft(best_ids[best.end : best.end + max_tokens], Source.REALIGNED)


def _continue(ids: list[int], start: int, count: int) -> list[int]:
    """`count` ids from `start`; past the end the list is taken to repeat from `start`."""
    draft = ids[start : start + count]
    period = len(draft)
    while len(draft) < count:
        draft.append(draft[-period])
    return draft
