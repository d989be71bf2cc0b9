"""What the parts of a remote generator hand each other. No HTTP here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol

import msgspec

from paceline.core.types import Snippet
from paceline.generate.types import GenerateParams, PromptParts, TokenDetail

Framing = Literal["sse", "lines"]
"""How events are told apart: server-sent events, or one JSON object a line."""


PromptForm = Literal["template", "suffix", "infill", "plain"]
"""template: sentinels as text. suffix: two texts, snippets as comments in the first. infill: two texts and
snippets apart. plain: what stands before the cursor only."""


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as text, within its budget."""

    prompt: str
    suffix: str | None = None
    """A string where the server itself puts the sentinels around `prompt` and this."""
    snippets: tuple[Snippet, ...] = ()
    """Those that fit, for servers that take them apart from the prompt."""
    num_pieces: int = 0
    num_tokens: int = 0
    """Estimates of its length."""


class PromptRenderer(Protocol):
    """Makes prompts for one model. `prompt/as_text.py` has one; this room must not know it."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Names of the model's tokens after which a middle is over, should the server write them out."""
        ...

    def render(self, parts: PromptParts, max_prompt_tokens: int | None) -> Rendered:
        """The prompt within so many tokens, by estimate; None cuts nothing."""
        ...

    def learn(self, rendered: Rendered, prompt_tokens: int) -> None:
        """The server says how many tokens a prompt had."""
        ...


class RemoteModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the upstream server has."""

    model_id: str
    """What our clients call it."""
    upstream_name: str
    """What the upstream server calls it."""
    context_tokens: int
    renderer: PromptRenderer
    created_at_s: int = 0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request, before a kind of server puts it in its own words."""

    model: str
    rendered: Rendered
    params: GenerateParams
    prompt_ids: tuple[int, ...] | None = None
    """Instead of the rendered prompt."""
    session_key: str = ""
    """Whose document it is; for servers that keep caches by slot."""
    left_ms: float | None = None
    """Time until the deadline."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is posted."""

    path: str
    body: dict[str, Any]
    num_left_out: int = 0
    """How many groups of fields, which not every server knows, are left out."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What one event of the upstream's stream says."""

    text: str = ""
    tokens: tuple[TokenDetail, ...] = ()
    """With their log-probabilities, if the server tells them."""
    completion_tokens: int | None = None
    """Of the whole stream so far, if the server counts."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    end: Literal["stop", "length", "deadline"] | None = None
    """The model is done; only figures may follow."""
    is_last: bool = False
    """Nothing follows."""


class Dialect(Protocol):
    """One kind of server: how it is asked, and what its events say. No state but what a refusal taught."""

    @property
    def framing(self) -> Framing:
        """How its events are told apart."""
        ...

    def calls(self, ask: Ask) -> Iterator[Call]:
        """Put `ask` in this server's words; what is to be posted next if the server refuses a field of that.

        Raises, when the first is asked for:
            InputError: it cannot be asked that.
        """
        ...

    def read(self, data: bytes) -> Piece:
        """Read one event.

        Raises:
            UpstreamError: it is not what this kind of server sends, or says that the server failed.
        """
        ...

    def settle(self, call: Call) -> None:
        """The server took `call`: what it leaves out is not asked for any more."""
        ...
