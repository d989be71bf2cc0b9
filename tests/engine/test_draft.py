"""Drafts equal those of a slow twin that searches everything anew, and follow what was guessed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence as Items

from paceline.engine.draft import (
    LONG_MATCH_TOKENS,
    MAX_CANDIDATES,
    MAX_MATCH_TOKENS,
    Draft,
    Drafter,
    Source,
)


def slow_match(ids: list[int], query: list[int], near: int) -> tuple[int, int]:
    """(end, length) of the longest end of `query` in `ids` before its last id; then the nearest."""
    found: list[tuple[int, int, int]] = []
    for end in range(len(ids) - 1, 1, -1):
        length = 0
        while length < min(len(query), end) and ids[end - 1 - length] == query[-1 - length]:
            length += 1
        if length >= 2:
            found.append((length, -abs(end - near), end))
    length, _, end = max(found[:MAX_CANDIDATES], default=(0, 0, 0))
    return end, length


class SlowDrafter:
    """The rules of Drafter, without an index."""

    def __init__(self, guesses: Items[list[int]]) -> None:
        self._guesses = guesses
        self._shifts = [0] * len(guesses)

    def propose(self, token_ids: list[int], num_prompt_tokens: int, max_tokens: int) -> Draft:
        output = token_ids[num_prompt_tokens:]
        for guess in self._guesses:
            if guess[: len(output)] == output and len(guess) > len(output):
                return Draft(guess[len(output) :][:max_tokens], Source.PREVIOUS)
        best, rest = 0, list[int]()
        for i, guess in enumerate(self._guesses):
            query = output[-MAX_MATCH_TOKENS:]
            end, length = slow_match(guess, query, len(output) + self._shifts[i])
            self._shifts[i] = end - len(output) if length else self._shifts[i]
            if length > best:
                best, rest = length, guess[end:]
        end, length = slow_match(token_ids, token_ids[-MAX_MATCH_TOKENS:], len(token_ids))
        if length <= best:
            return Draft(rest[:max_tokens], Source.REALIGNED)
        repeated = token_ids[end:] * max_tokens
        source = Source.DOCUMENT if length >= LONG_MATCH_TOKENS else Source.DOCUMENT_SHORT
        return Draft(repeated[:max_tokens], source)


def test_drafts_are_those_of_the_slow_twin() -> None:
    met: Counter[Source] = Counter()
    for seed in range(240):
        chance = random.Random(seed)
        num_ids = (2, 4, 9, 40)[seed % 4]
        token_ids = chance.choices(range(num_ids), k=chance.randrange(1, 40))
        num_prompt_tokens = len(token_ids)
        truth = chance.choices(range(num_ids), k=30)
        guesses = [[i for i in truth if chance.random() < 0.95] for _ in range(chance.randrange(3))]
        fast, slow = Drafter(guesses), SlowDrafter(guesses)
        while truth:
            max_tokens = chance.randrange(1, 7)
            draft = fast.propose(token_ids, num_prompt_tokens, max_tokens)
            expected = slow.propose(token_ids, num_prompt_tokens, max_tokens)
            assert draft.ids == expected.ids
            assert not draft.ids or draft.source is expected.source
            met[draft.source] += bool(draft.ids)
            count = chance.randrange(1, 4)
            token_ids, truth = token_ids + truth[:count], truth[count:]
    assert all(met[source] >= 20 for source in Source), met


def num_steps(output: list[int], drafter: Drafter, prompt: list[int]) -> int:
    """Steps to produce `output` with up to 8 drafts each."""
    produced: list[int] = []
    steps = 0
    while len(produced) < len(output):
        draft = drafter.propose(prompt + produced, len(prompt), 8)
        rest = output[len(produced) :]
        wrong = (i for i, (a, b) in enumerate(zip(draft.ids, rest, strict=False)) if a != b)
        produced += rest[: next(wrong, len(draft.ids)) + 1]
        steps += 1
    return steps


def test_an_unchanged_completion_takes_one_step_for_nine_ids() -> None:
    output = list(range(100, 127))
    assert num_steps(output, Drafter([output]), [1, 2, 3]) == 3
    assert num_steps(output, Drafter(), [1, 2, 3]) == 27


def test_a_changed_id_costs_two_steps_and_then_the_rest_is_found_again() -> None:
    guess = list(range(100, 136))
    replaced = [*guess[:9], 7, *guess[10:]]
    inserted = [*guess[:9], 7, 8, *guess[9:]]
    removed = [*guess[:9], *guess[10:]]
    for output in (replaced, inserted, removed):
        assert num_steps(output, Drafter([guess]), [1, 2, 3]) <= 4 + 4


def test_the_first_guess_that_agrees_is_taken() -> None:
    drafter = Drafter([[1, 2, 3], [1, 5, 6], [1, 5, 7]])
    assert drafter.propose([0, 1], 1, 4) == Draft([2, 3], Source.PREVIOUS)
    assert drafter.propose([0, 1, 5], 1, 4) == Draft([6], Source.PREVIOUS)
    assert drafter.propose([0, 1, 5, 7, 8], 1, 4).ids == []


def test_a_repetition_is_drafted_beyond_its_end() -> None:
    draft = Drafter().propose([1, 2, 3, 1, 2, 3], 6, 7)
    assert draft == Draft([1, 2, 3, 1, 2, 3, 1], Source.DOCUMENT_SHORT)


def test_nothing_to_go_by_is_no_draft() -> None:
    for token_ids in ([], [1], [1, 2], [1, 2, 3]):
        assert Drafter([[]]).propose(token_ids, len(token_ids), 8).ids == []
    assert Drafter([[1, 2]]).propose([9], 1, 0).ids == []
