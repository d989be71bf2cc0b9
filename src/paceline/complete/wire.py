"""Paceline's own protocol as types: what `POST /v1/complete`, the WebSocket and the LSP server exchange.

JSON of these types is documented in docs/protocols.md. Positions are lines and columns from 0; a column counts in
the request's `encoding`. Unknown fields are refused, so that a misspelt one is not silently lost.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from paceline.artifacts.events import MAX_ID_CHARS
from paceline.complete.modes import Mode, Trigger
from paceline.complete.request import Source

Encoding = Literal["utf-8", "utf-16", "utf-32"]
"""What a column counts: bytes, UTF-16 units (LSP's default), or code points."""
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(max_length=256)]
"""A name that the client made up."""
RequestId = Annotated[str, Meta(max_length=MAX_ID_CHARS, pattern=r"^[!-~]*$(?!\n)")]
"""What an event may name: visible ASCII, no space (artifacts.events)."""


class WirePosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a text, as LSP has it."""

    line: Count
    character: Count


class WireRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `start` up to, not including, `end`."""

    start: WirePosition
    end: WirePosition


class WireDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text file as the editor holds it."""

    text: str
    path: str = ""
    """Absolute or relative to the workspace; empty: untitled."""
    language: str = ""
    """LSP's language id; empty: by the path's ending."""


class WireEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change that the user made lately."""

    path: str
    before: str
    after: str
    line: Count = 0
    at_ms: float = 0.0


class WireDiagnostic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a language server says about a line of the document."""

    line: Count
    message: str
    severity: Literal["error", "warning", "information", "hint"] = "error"


class WireSnippet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Text from elsewhere that the client chose itself."""

    path: str
    text: str


class WireOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an ask may say beside the documents, whichever way it comes."""

    position: WirePosition
    trigger: Trigger = "automatic"
    mode: Mode | None = None
    """null: decided from the code and the typing."""
    request_id: RequestId = ""
    """Empty draws one."""
    diagnostics: list[WireDiagnostic] = []
    notebook_cells: list[str] = []
    """Code cells above the cursor's."""
    snippets: list[WireSnippet] = []
    """Best first."""
    clipboard: str = ""
    model: str = ""
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_latency_ms: Annotated[float, Meta(gt=0)] | None = None
    multi_line_threshold: Share | None = None
    show_threshold: Share | None = None
    num_alternatives: Annotated[int, Meta(ge=1, le=3)] = 1
    is_insisting: bool = False
    pressed_at_ms: float | None = None
    """When the key was pressed, on any clock of the client that only moves forward."""
    is_warming: bool = False
    """Only compute the prompt; the answer is empty."""


class WireRequest(WireOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/complete`."""

    document: WireDocument
    encoding: Encoding = "utf-16"
    session_id: Name = ""
    """This editor; its newest request for a document supersedes older ones."""
    document_id: Name = ""
    """Which document of the session; empty: its path."""
    open_documents: list[WireDocument] = []
    """Most recently visited first, without `document`."""
    recent_edits: list[WireEdit] = []
    """Newest first."""
    workspace_root: str = ""
    """Absolute folder on the server's machine. Honoured on loopback only, where that is the client's machine."""


class WireItem(msgspec.Struct, frozen=True, kw_only=True):
    """One text to show."""

    text: str
    range: WireRange
    """What it takes the place of, in the request's encoding; empty at the position where it only inserts."""
    num_replaced_chars: int = 0


class WireAttribution(msgspec.Struct, frozen=True, kw_only=True):
    """Known code that the completion equals."""

    origin: str
    license: str
    num_tokens: int


class WireCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of `POST /v1/complete`."""

    request_id: str
    items: list[WireItem]
    """Empty if there is nothing to show; more than one if alternatives were asked for."""
    drop_reason: str | None
    """Why there is nothing."""
    mode: Mode
    source: Source
    model: str
    probability: float | None
    """That the user keeps it."""
    finish_reason: str
    num_tokens: int
    prompt_tokens: int
    cached_tokens: int
    latency_ms: float
    ttft_ms: float
    reasons: list[str]
    flags: list[str]
    attributions: list[WireAttribution]
