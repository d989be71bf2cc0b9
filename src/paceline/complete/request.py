"""What a client asks of the brain, and what it gets."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.complete.modes import Mode, Trigger
from paceline.core.errors import ConfigError
from paceline.core.types import Cursor, Drop, Snippet
from paceline.generate.types import FinishReason, Session
from paceline.prompt.context.types import EditorContext

Source = Literal["network", "cache", "typed_as_suggested", "prefetch", "none"]
"""Where the text comes from: the generator, the same place earlier, an older completion whose beginning
was typed, one that was prepared ahead; none: nothing was asked."""


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One ask. None leaves a choice to the brain."""

    cursor: Cursor
    trigger: Trigger = "automatic"
    mode: Mode | None = None
    context: EditorContext = EditorContext()
    snippets: tuple[Snippet, ...] = ()
    """Chosen by the client itself; the same as `context.client_snippets`, before these."""
    model_id: str | None = None
    max_tokens: int | None = None
    max_latency_ms: float | None = None
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    session: Session | None = None
    """Which document this is: the newest request for it supersedes older ones."""
    user_id: str = ""
    """Who asks. Documents and sessions of two are kept apart, and what stands before a NUL is who may say what
    became of the completion (`owner_of`)."""
    request_id: str = ""
    """Under which the trace is kept; empty draws one, and so does the name of another user's request."""
    pressed_at_ms: float | None = None
    """When the key was pressed, on any clock of the client that only moves forward; None: now."""
    multi_line_threshold: float | None = None
    """0 to 1, the user's: higher offers single lines more often, 1 always."""
    show_threshold: float | None = None
    """0 to 1: probability of being kept below which nothing is shown."""
    num_alternatives: int = 1
    """How many different completions to offer, 1 to 3; more than one only when invoked."""
    may_be_ahead: bool = False
    """Does this client ask ahead by itself, as if what it shows had been accepted, and not say so? Then its text
    tells that a completion was accepted only if the next request's text has it too."""
    is_insisting: bool = False
    """Complete even in a language that the model was not trained on."""

    def __post_init__(self) -> None:
        for name in ("multi_line_threshold", "show_threshold"):
            value: float | None = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}; it must be between 0 and 1.")
        if not 1 <= self.num_alternatives <= 3:
            raise ConfigError(f"num_alternatives is {self.num_alternatives}; it must be 1, 2 or 3.")


class Attributed(msgspec.Struct, frozen=True, kw_only=True):
    """Known code that a completion equals."""

    origin: str
    license: str
    num_tokens: int


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """One of several texts that fit; the first is the completion itself."""

    text: str
    num_replaced_chars: int = 0


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What to show, or why nothing, and what it cost."""

    request_id: str
    """`paceline why ID` tells its story."""
    text: str
    drop: Drop | None
    mode: Mode
    model_id: str
    num_replaced_chars: int = 0
    """Characters right after the cursor that the text takes the place of."""
    source: Source = "network"
    num_tokens: int = 0
    """Tokens that the model produced for this request, shown or not; 0 from a cache."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason = "stop"
    latency_ms: float = 0.0
    ttft_ms: float = 0.0
    """To the first text; the whole latency if there was none."""
    logprob: float = 0.0
    """Sum of the natural log-probabilities of all `num_tokens`, shown or not."""
    mean_logprob: float | None = None
    """The same per token, so that lengths compare; None without a token."""
    token_logprobs: tuple[float, ...] = ()
    """Of each token of the first candidate, in order, shown or not; empty if the generator does not say."""
    probability: float | None = None
    """That the user keeps it, as the gate sees it; None if there was nothing to judge."""
    is_exempt: bool = False
    """Shown although the gate would hide it, so that the gate can be judged."""
    reasons: tuple[str, ...] = ()
    """Why this mode."""
    flags: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    """Filled if more than one was asked for."""
    attributions: tuple[Attributed, ...] = ()


def owner_of(user_id: str) -> str:
    """The user behind a `user_id` of the form `user NUL name`, where the name is of the client's making.

    Without a NUL it is nobody in particular: no token was shown.
    """
    owner, separator, _ = user_id.partition("\0")
    return owner if separator else ""


def as_insertion(completion: Completion, suffix: str) -> str:
    """The completion for a client that can only insert before `suffix`, the text after the cursor.

    What it takes the place of is cut from its end, if it ends with that; else it cannot be shown.
    """
    replaced = suffix[: completion.num_replaced_chars]
    return completion.text.removesuffix(replaced) if completion.text.endswith(replaced) else ""
