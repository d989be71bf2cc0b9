"""What became of a completion: the arrow from editors to telemetry and experiments.

Numbers and names only: no code, no paths. `docs/events.schema.json` is generated from these types
(`json_schema`), for clients in other languages.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EventKind = Literal[
    "shown",
    "partially_accepted",
    "accepted",
    "rejected",
    "ignored",
    "typed_through",
    "retained",
]
"""shown: the editor drew it. partially_accepted: `num_chars` of it, counted from its start, in all. accepted: the
whole. rejected: the user dismissed it. ignored: it went away because the user did something else.
typed_through: the user typed all of it. retained: how much was still there `after_s` later."""

EventOrigin = Literal["client", "inferred"]
"""client: the editor said so. inferred: the server read it from the text of a later request."""

MAX_ID_CHARS = 128
MAX_BATCH_EVENTS = 1_000


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One thing that happened to one completion."""

    event_id: str
    """Chosen by the client, unique for it: a batch that is sent again is counted once."""
    request_id: str
    """Of the completion, as the reply named it."""
    kind: EventKind
    at_s: float = 0.0
    """Seconds since 1970 on the client's clock; 0: when the server got it."""
    num_chars: int = 0
    """partially_accepted: accepted characters (code points) from its start, in all. retained: of those accepted,
    how many are still there."""
    after_s: float = 0.0
    """retained: seconds since it was accepted (15, 30, 120, 300, 600, 1200)."""
    alternative: int = 0
    """Which one of several: its place in the reply."""
    client: str = ""
    """Which editor or plugin, with version."""


class EventBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/events."""

    events: list[Event]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of EventBatch."""
    return msgspec.json.schema(EventBatch)
