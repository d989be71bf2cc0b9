"""The seam between what is asked and what computes it. Text in, text out; no ids, no tensors.

`complete`, `evals` and `server` ask for these Protocols; the local fleet, a remote server and the
tests' fake implement them. `cli/wiring.py` alone chooses which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

import msgspec

from paceline.core.types import Snippet

FinishReason = Literal["stop", "length", "cancelled", "superseded", "deadline"]
"""stop: the model ended or a stop string was met; length: max_tokens or the window was reached."""


class PromptParts(msgspec.Struct, frozen=True, kw_only=True):
    """What to continue, before a model's template and tokenizer see it."""

    prefix: str
    suffix: str | None = None
    """None asks for plain left-to-right text; a string, even an empty one, for fill-in-the-middle."""
    snippets: tuple[Snippet, ...] = ()
    path: str = ""
    """Of the file at the cursor; shown to models that were trained to see it. Best relative to the project."""
    project: str = ""
    """Name of the repository, for the same models."""
    is_truncatable: bool = True
    """May far ends be cut to fit the window? If not, a long prompt raises PromptTooLongError."""
    prompt_ids: tuple[int, ...] | None = None
    """The prompt as ids of the model's own vocabulary; then nothing above is read. For clients that
    tokenize themselves."""


class Session(msgspec.Struct, frozen=True):
    """One document in one editor. A newer request of a session supersedes the older one, unless what
    was typed since agrees with what the older one writes: then that one answers both."""

    session_id: str
    document_id: str = ""


class GenerateParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to continue."""

    max_tokens: int = 64
    temperature: float = 0.0
    """0 is greedy."""
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these; the stop string itself is not returned."""
    seed: int | None = None
    """Only source of randomness when temperature > 0; None draws a fresh one."""
    top_k: int | None = None
    """Only the k most probable ids may be drawn; None allows all."""
    top_p: float = 1.0
    """Only the most probable ids that together reach this share."""
    min_p: float = 0.0
    """Only ids at least this probable, as a share of the most probable one."""
    num_top_logprobs: int | None = None
    """Report each token, with this many alternatives; None reports none."""
    is_end_ignored: bool = False
    """Go on after the model says that it is done? For benchmarks."""
    max_prompt_tokens: int | None = None
    """Budget for a truncatable prompt; None is all that the window leaves."""
    max_latency_ms: float | None = None
    """Work not done by then is dropped: finish_reason `deadline`."""
    stop_when: Callable[[str], bool] | None = None
    """Called with all text so far, possibly on another thread, must be quick and depend on the text
    alone; True ends the stream there."""
    stop_kind: str = ""
    """Which rule `stop_when` is: requests of different kinds are never answered by one sequence."""
    session: Session | None = None
    lane: Literal["interactive", "batch"] = "interactive"
    """batch: may wait minutes, and runs only where nothing interactive does."""
    user_id: str = ""
    """Whose share of the machine is used; compared, never stored."""


class TokenDetail(msgspec.Struct, frozen=True):
    """One token of a stream; its text may be part of a character."""

    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()
    """The most probable tokens here, with their log-probabilities."""


class TextChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a stream. The last one, and only it, has a finish_reason."""

    text: str
    num_tokens: int = 0
    """Tokens that this chunk adds to the count of completion tokens."""
    logprob: float = 0.0
    """Sum of their natural log-probabilities."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None
    tokens: tuple[TokenDetail, ...] = ()
    """Filled if `num_top_logprobs` was set."""
    marks: tuple[tuple[int, float], ...] = ()
    """For each token, in order: how many characters of `text` follow it, and its log-probability. Empty if
    the generator does not say; then nothing is known but their sum."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may know of a model."""

    model_id: str
    context_tokens: int
    num_parameters: int = 0
    path: str = ""
    created_at_s: int = 0
    license: str = ""
    languages: tuple[str, ...] = ()
    """Names of the languages that it was trained on; empty: not known, so none is declined."""


class TextGenerator(Protocol):
    """Anything that continues a prompt."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The models that `model_id` may name; the first is the default."""
        ...

    def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncIterator[TextChunk]:
        """Continue `parts`. Closing the iterator cancels the work within one step.

        Raises, at the first `__anext__`: EmptyPromptError, PromptTooLongError, UnknownModelError.
        """
        ...


class TextScore(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model predicts a given text."""

    bits: float
    num_bytes: int
    num_tokens: int


class TextScorer(Protocol):
    """Anything that can say how probable a given continuation is."""

    def score(self, parts: PromptParts, continuation: str) -> TextScore:
        """Return the negative log2-probability of `continuation` (without an end token)."""
        ...
