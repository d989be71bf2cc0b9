"""One sequence: the ids of a prompt, those produced so far, and where it is in its life. No torch.

    WAITING ──admit(slot)──> RUNNING ──finish(reason)──> FINISHED
       └────────────────finish(reason)──────────────────────^

    token_ids   [ prompt ........................ | output ........ ]
                  0        num_computed            num_prompt_tokens  num_tokens
                  KV is in the cache for positions below num_computed.

A scored sequence has `targets`, the given ids that its last rows should predict: the last row the
last target, and so on backwards. Their log-probabilities are reported and nothing is drawn.
"""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Sequence as Ids
from typing import Protocol

import msgspec

from paceline.core.errors import InputError


class Phase(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class FinishReason(enum.Enum):
    STOP = "stop"
    """A stop id was drawn (it is not reported), or all given ids are scored."""
    LENGTH = "length"
    CANCELLED = "cancelled"
    ERROR = "error"


class Guide(Protocol):
    """Says which ids may come next. Called on the engine's thread before each draw; must be quick."""

    def allowed_ids(self, output_ids: Ids[int]) -> Ids[int] | None:
        """The ids of which the next one must be, given those produced so far; None allows all."""
        ...


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to draw ids."""

    max_tokens: int = 64
    temperature: float = 0.0
    """0 is greedy."""
    stop_ids: frozenset[int] = frozenset()
    seed: int | None = None
    """Only source of randomness: the n-th id depends on the logits, the seed and n alone. None
    draws a fresh seed."""
    guide: Guide | None = None
    """Narrows what may be drawn; log-probabilities stay those of the model alone."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, not {self.max_tokens}.")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature must be 0 or more, not {self.temperature}.")


class Listener(Protocol):
    """Who is told what happens to a sequence. Called on the engine's thread; must not block."""

    is_cancel_requested: bool
    """May be set from any thread; the sequence is in no step that is planned afterwards."""

    def on_token(self, token_id: int, logprob: float) -> None: ...

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called once, last."""
        ...


class Sequence:
    """Owned by the scheduler from the moment it is queued."""

    def __init__(
        self,
        sequence_id: int,
        token_ids: Ids[int],
        params: SamplingParams,
        listener: Listener,
        *,
        targets: Ids[int] = (),
    ) -> None:
        self.sequence_id = sequence_id
        self.token_ids = list(token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        self.num_computed = 0
        self.params = params
        self.seed = secrets.randbits(63) if params.seed is None else params.seed
        self.listener = listener
        self.targets = list(targets)
        self.slot: int | None = None
        self.phase = Phase.WAITING
        self.finish_reason: FinishReason | None = None

    @property
    def num_uncomputed(self) -> int:
        """Ids that still need a row in a forward pass; 1 while decoding."""
        return len(self.token_ids) - self.num_computed

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    def allowed_ids(self) -> Ids[int] | None:
        """The ids of which the next one must be; None allows all."""
        guide = self.params.guide
        return guide.allowed_ids(self.token_ids[self.num_prompt_tokens :]) if guide else None

    def num_logit_rows(self, end: int) -> int:
        """How many of the rows num_computed .. end-1 need logits; always the last of them."""
        if self.targets:
            first = len(self.token_ids) - len(self.targets)
            return max(0, end - max(self.num_computed, first))
        return 1 if end == len(self.token_ids) else 0

    def admit(self, slot: int) -> None:
        """Enter RUNNING with a slot of the cache. The scheduler alone may call this."""
        assert self.phase is Phase.WAITING, f"sequence {self.sequence_id} is {self.phase.value}"
        self.phase, self.slot = Phase.RUNNING, slot

    def finish(self, reason: FinishReason, error: Exception | None = None) -> None:
        """Enter FINISHED and tell the listener. The scheduler alone may call this, and only once."""
        assert self.phase is not Phase.FINISHED, f"sequence {self.sequence_id} finished twice"
        self.phase, self.finish_reason, self.slot = Phase.FINISHED, reason, None
        self.listener.on_finish(reason, error)

    def check(self, context_tokens: int) -> None:
        """Assert what must hold between steps."""
        assert 0 <= self.num_computed <= len(self.token_ids) <= context_tokens, self.sequence_id
        assert (self.slot is not None) == (self.phase is Phase.RUNNING), self.sequence_id
        assert (self.finish_reason is not None) == (self.phase is Phase.FINISHED), self.sequence_id
        if self.phase is Phase.RUNNING and self.num_output_tokens:
            assert self.num_uncomputed == 1, f"sequence {self.sequence_id} decodes more than one id"
            assert self.num_output_tokens < self.params.max_tokens, self.sequence_id
