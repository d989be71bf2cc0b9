"""How ids are drawn and why a sequence ends: the words that callers of the engine share. No torch.

Everything is checked here, once: what the sampler reads is known to be in range, except for ids that
depend on the vocabulary, which only the executor knows.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from collections.abc import Sequence as Ids
from typing import Protocol

import msgspec

from paceline.core.errors import InputError

MAX_TOP_LOGPROBS = 20
"""Alternatives reported per id, at most. Source: the limit of OpenAI's API."""


class FinishReason(enum.Enum):
    STOP = "stop"
    """A stop id was drawn (it is not reported), the stop callback said so, or all given ids are
    scored."""
    LENGTH = "length"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A newer request for the same document took over."""
    DEADLINE = "deadline"
    """It could no longer be shown in time."""
    ERROR = "error"


class Guide(Protocol):
    """Says which ids may come next. Called on the engine's thread before each draw; must be quick.

    The answer must depend on the ids alone: drafted ids may be tried, so calls may skip and repeat.
    """

    def allowed_ids(self, output_ids: Ids[int]) -> Ids[int] | None:
        """The ids of which the next one must be, given those produced so far; None allows all.

        `output_ids` must not be kept or changed.
        """
        ...


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to draw ids.

    What may be drawn is narrowed in this order: allowed ids (guide, first_ids), temperature, top_k,
    top_p, min_p; each sees what the one before it left, made to sum to 1. It is the order of Hugging
    Face's logits processors. Log-probabilities stay those of the model alone, at temperature 1.

    Raises:
        InputError: a field is out of range; the message names it.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    """0 is greedy; top_k, top_p and min_p then change nothing."""
    top_k: int | None = None
    """Only the k likeliest ids, and those as likely as the k-th."""
    top_p: float = 1.0
    """Only the fewest likeliest ids that together have this probability."""
    min_p: float = 0.0
    """Only ids at least this many times as likely as the likeliest."""
    stop_ids: frozenset[int] = frozenset()
    stop: Callable[[Ids[int]], bool] | None = None
    """Called on the engine's thread with the output ids after each accepted id, which is kept; True
    ends the sequence with STOP. Must be quick, depend on the ids alone and not keep them."""
    seed: int | None = None
    """Only source of randomness: the n-th id depends on the logits, the seed and n alone. None
    draws a fresh seed."""
    guide: Guide | None = None
    first_ids: frozenset[int] | None = None
    """The first id produced must be one of these; None allows all."""
    num_top_logprobs: int = 0
    """How many of the likeliest ids are reported with each id."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, not {self.max_tokens}.")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature must be 0 or more, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k must be at least 1, or null for all, not {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, not {self.top_p}.")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p must be between 0 and 1, not {self.min_p}.")
        if not 0 <= self.num_top_logprobs <= MAX_TOP_LOGPROBS:
            raise InputError(
                f"num_top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {self.num_top_logprobs}."
            )
        self._check_ids()

    def _check_ids(self) -> None:
        if min(self.stop_ids, default=0) < 0:
            raise InputError(f"stop_ids must be 0 or more, not {min(self.stop_ids)}.")
        if self.first_ids is not None and min(self.first_ids, default=-1) < 0:
            raise InputError("first_ids must hold at least one id, and none below 0.")

    @property
    def is_plain(self) -> bool:
        """Whether each id is the likeliest of all, with nothing else to look at."""
        return (
            self.temperature == 0
            and self.guide is None
            and self.first_ids is None
            and self.stop is None
            and self.num_top_logprobs == 0
        )
