"""Several completions of one place that are worth cycling through: few, and different."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paceline.core.types import Candidate
from paceline.generate.types import GenerateParams

MAX_ALTERNATIVES = 3
"""More are not read. Copilot and Tabby offer as many (facts/clients.md section 2.6)."""
SAMPLING_TEMPERATURE = 0.8
"""As Tabby's for the same purpose; at 0 every one would be the same."""


def choose(
    candidates: Iterable[Candidate], max_alternatives: int = MAX_ALTERNATIVES
) -> tuple[Candidate, ...]:
    """Up to `max_alternatives` different ones: the first given, then by mean log-probability.

    Two that differ in white space only are one alternative, and so are two of which one goes on where the
    other ends, with the same first line; the one that ranks higher stays.

    Args:
        candidates: judged ones, the greedy one first.
    """
    given = list(candidates)
    ranked = given[:1] + sorted(given[1:], key=_mean_logprob, reverse=True)
    chosen: list[Candidate] = []
    for candidate in ranked:
        if len(chosen) >= max_alternatives:
            break
        if not any(_is_same(candidate.text, other.text) for other in chosen):
            chosen.append(candidate)
    return tuple(chosen)


def sampling_plan(
    params: GenerateParams,
    num_alternatives: int,
    *,
    temperature: float = SAMPLING_TEMPERATURE,
    seed: int = 0,
) -> tuple[GenerateParams, ...]:
    """How to ask for each: the first as `params` says, the others drawn, each with its own seed.

    The others belong to no session: they are asked at the same time and must not supersede each other.
    Closing their streams cancels them. A greater temperature that `params` already has is kept.
    """
    extra = (
        msgspec.structs.replace(
            params,
            temperature=max(temperature, params.temperature),
            seed=seed + number,
            session=None,
        )
        for number in range(1, min(num_alternatives, MAX_ALTERNATIVES))
    )
    return (params, *extra)


def _mean_logprob(candidate: Candidate) -> float:
    """Per token, so that lengths compare. One without a token was not drawn: nothing is known of it."""
    if not candidate.num_tokens:
        return float("-inf")
    return candidate.logprob / candidate.num_tokens


def _is_same(text: str, other: str) -> bool:
    """Would a reader see no choice between the two?"""
    first, second = "".join(text.split()), "".join(other.split())
    if first == second:
        return True
    has_same_line = "".join(_first_line(text).split()) == "".join(_first_line(other).split())
    return has_same_line and (first.startswith(second) or second.startswith(first))


def _first_line(text: str) -> str:
    """The first line that is not blank."""
    return text.lstrip().partition("\n")[0]
