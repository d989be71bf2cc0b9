"""One sequence: the ids of a prompt, those produced so far, and where it is in its life. No torch.

    WAITING ──admit──> RUNNING ──finish(reason)──> FINISHED
       │  ^──preempt──────┘                           ^
       └──────────────────finish(reason)──────────────┘

    token_ids   [ prompt ........................ | output ........ ]
                  0        num_computed            num_prompt_tokens  num_tokens
                  KV is in `block_ids` for positions below num_computed.

A preempted sequence keeps its output and computes it again like a prompt; what it reported stays
reported. A scored sequence has `targets`, the given ids that its last rows should predict: the last row
the last target, and so on backwards. Their log-probabilities are reported and nothing is drawn.
"""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Sequence as Ids
from typing import Protocol

import msgspec

from paceline.engine.draft import Drafter
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.sampler import Picked


class Phase(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class Lane(enum.IntEnum):
    """Which work goes first."""

    INTERACTIVE = 0
    """Somebody waits for it, in milliseconds."""
    BATCH = 1
    """May wait minutes: takes part in a step only where no interactive work does."""


class SessionKey(msgspec.Struct, frozen=True):
    """One document in one editor: a newer request of the same key supersedes the older."""

    session_id: str
    document_id: str


class SubmitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, how urgently, and what is known of the answer. The defaults suit a lone request."""

    lane: Lane = Lane.INTERACTIVE
    user: str = ""
    """Whose share of the engine it uses. Only compared, never stored or exported."""
    session: SessionKey | None = None
    deadline_s: float = math.inf
    """On the engine's clock; past it the sequence ends with DEADLINE."""
    adapter: int = 0
    guesses: tuple[tuple[int, ...], ...] = ()
    """What the output may turn out to be, likeliest first; drafts are taken from it."""
    is_drafted: bool = True


class Listener(Protocol):
    """Who is told what happens to a sequence. Called on the engine's thread; must not block."""

    is_cancel_requested: bool
    """May be set from any thread; the sequence is in no step that is planned afterwards."""
    is_stop_requested: bool
    """Likewise, by a reader who has all it wanted."""

    def on_tokens(self, tokens: Ids[Picked]) -> None:
        """Called at most once a step, with one or more tokens."""
        ...

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called once, last."""
        ...


DEFAULT_OPTIONS = SubmitOptions()


class Sequence:
    """Owned by the scheduler from the moment it is queued."""

    def __init__(
        self,
        sequence_id: int,
        token_ids: Ids[int],
        params: SamplingParams,
        listener: Listener,
        *,
        options: SubmitOptions = DEFAULT_OPTIONS,
        targets: Ids[int] = (),
    ) -> None:
        self.sequence_id = sequence_id
        self.token_ids = list(token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        self.num_computed = 0
        self.params = params
        self.options = options
        self.seed = secrets.randbits(63) if params.seed is None else params.seed
        self.listener = listener
        self.targets = list(targets)
        self.num_scored = 0
        """Targets that are reported."""
        self.block_ids: list[int] = []
        self.num_cached_blocks = 0
        """Full blocks that are known to be in the prefix cache."""
        self.num_cached_tokens = 0
        """Prompt ids that were found in the prefix cache at the first admission."""
        self.num_admissions = 0
        self.is_superseded = False
        self.phase = Phase.WAITING
        self.finish_reason: FinishReason | None = None
        is_drafted = options.is_drafted and not self.targets
        self.drafter = Drafter(options.guesses) if is_drafted else None

    @property
    def num_uncomputed(self) -> int:
        """Ids that still need a row in a forward pass; 1 while decoding."""
        return len(self.token_ids) - self.num_computed

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def output_ids(self) -> list[int]:
        return self.token_ids[self.num_prompt_tokens :]

    @property
    def first_logit_row(self) -> int:
        """Position of the first row whose logits are still wanted; KV before it may come from a cache."""
        if self.targets:
            return len(self.token_ids) - len(self.targets) + self.num_scored
        return len(self.token_ids) - 1

    def num_logit_rows(self, end: int) -> int:
        """How many of the rows num_computed .. end-1 need logits; always the last of them."""
        return max(0, end - max(self.num_computed, self.first_logit_row))

    def admit(self) -> None:
        """Enter RUNNING. The scheduler alone may call this."""
        assert self.phase is Phase.WAITING, f"sequence {self.sequence_id} is {self.phase.value}"
        self.phase = Phase.RUNNING
        self.num_admissions += 1

    def preempt(self) -> None:
        """Go back to WAITING without KV. The scheduler alone may call this, after taking the blocks."""
        assert self.phase is Phase.RUNNING, f"sequence {self.sequence_id} is {self.phase.value}"
        assert not self.block_ids, f"sequence {self.sequence_id} still holds blocks"
        self.phase, self.num_computed, self.num_cached_blocks = Phase.WAITING, 0, 0

    def finish(self, reason: FinishReason, error: Exception | None = None) -> None:
        """Enter FINISHED and tell the listener. The scheduler alone may call this, and only once."""
        assert self.phase is not Phase.FINISHED, f"sequence {self.sequence_id} finished twice"
        self.phase, self.finish_reason = Phase.FINISHED, reason
        self.drafter = None  # its indexes are large, and sessions remember their last sequence
        self.listener.on_finish(reason, error)

    def check(self, context_tokens: int, block_tokens: int) -> None:
        """Assert what must hold between steps."""
        assert 0 <= self.num_computed <= len(self.token_ids) <= context_tokens, self.sequence_id
        assert self.num_computed <= len(self.block_ids) * block_tokens, self.sequence_id
        assert len(set(self.block_ids)) == len(self.block_ids), self.sequence_id
        assert not self.block_ids or self.phase is Phase.RUNNING, self.sequence_id
        assert (self.finish_reason is not None) == (self.phase is Phase.FINISHED), self.sequence_id
        if self.phase is Phase.RUNNING:
            assert self.num_uncomputed >= 1, f"sequence {self.sequence_id} has nothing to do"
            assert self.num_output_tokens < self.params.max_tokens, self.sequence_id
