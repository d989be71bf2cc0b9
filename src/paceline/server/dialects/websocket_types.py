"""The messages of `WebSocket /v1/session`: JSON objects, told apart by `type` (docs/protocols.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from paceline.artifacts.events import MAX_BATCH_EVENTS, Event
from paceline.complete.wire import (
    Count,
    Encoding,
    Name,
    WireCompletion,
    WireOptions,
    WireRange,
)

MessageId = int | Annotated[str, Meta(max_length=128)]
"""Chosen by the client; the answer carries it."""
DocumentId = Annotated[str, Meta(min_length=1, max_length=1_024)]
"""Chosen by the client, such as the document's address."""


class Hello(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="hello",
):
    """The first message."""

    client: Name = ""
    """Which editor or plugin, with version."""
    encoding: Encoding = "utf-16"
    """Of all columns on this connection."""
    session_id: Name = ""
    """This editor; empty draws one. The same name on a later connection goes on with what was learnt."""
    workspace_root: str = ""
    """As in POST /v1/complete."""


class Open(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="open",
):
    """A document is open in the editor, or its text is sent anew."""

    document_id: DocumentId
    text: str
    version: Count
    path: str = ""
    language: str = ""


class TextEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` takes the place of `range`."""

    range: WireRange
    text: str


class Change(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="change",
):
    """Edits, one after the other: each range is of the text as the edits before have left it."""

    document_id: DocumentId
    version: Count
    """Of the text after the edits: one more than before them."""
    edits: list[TextEdit]


class Close(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="close",
):
    """The document is not open any more."""

    document_id: DocumentId


class Focus(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="focus",
):
    """The user looks at this document now."""

    document_id: DocumentId


class Complete(
    WireOptions,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="complete",
):
    """Complete at `position`."""

    id: MessageId
    document_id: DocumentId
    version: Count
    """Of the text that the position is in."""


class Cancel(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="cancel",
):
    """Nobody waits for that answer any more."""

    id: MessageId


class Report(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="events",
):
    """What became of completions, as in POST /v1/events."""

    events: Annotated[list[Event], Meta(max_length=MAX_BATCH_EVENTS)]
    id: MessageId | None = None


ClientMessage = Hello | Open | Change | Close | Focus | Complete | Cancel | Report


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ready"):
    """The answer to `hello`."""

    session_id: str
    server: str
    models: list[str]
    """The first is the default."""


class CompletionReply(
    WireCompletion, frozen=True, kw_only=True, tag_field="type", tag="completion"
):
    """The answer to `complete`."""

    id: int | str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, as in HTTP's replies."""

    message: str
    code: str
    """Such as `invalid_request`, `cancelled`, `superseded`, `quota`, `resync`."""
    param: str | None = None
    """The field that is wrong, if one is."""
    retry_after_s: int | None = None


class Failure(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="error"
):
    """A message could not be obeyed. The connection stays."""

    error: Problem
    id: int | str | None = None
    """Of the message, if it had one."""
    document_id: str | None = None
    """That is not held (any more), if that is the problem."""


class Resync(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resync"):
    """The server does not know the document's text: send `open`. Until then its changes are ignored."""

    document_id: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="recorded"):
    """The answer to `events`: they are kept, and would survive a crash."""

    num_new: int
    id: int | str | None = None


ServerMessage = Ready | CompletionReply | Failure | Resync | Recorded
