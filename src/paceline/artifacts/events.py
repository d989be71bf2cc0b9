"""What became of a completion: the arrow from editors to telemetry and experiments.

Numbers and names only: no code, no paths. `docs/events.schema.json` is generated from these types
(`json_schema`, tools/event_schema.py), for clients in other languages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from paceline.core.errors import InputError
from paceline.core.validation import explain

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
"""Twice what any client needs that puts two UUIDs together."""
MAX_CLIENT_CHARS = 128
MAX_BATCH_EVENTS = 1_000
"""A client that was offline sends several batches."""
MAX_CHARS = 10_000_000
"""No document is longer."""
MAX_AT_S = 1e11
"""The year 5138: a larger number counts milliseconds."""
MAX_AFTER_S = 1e9
MAX_ALTERNATIVE = 127
ID_PATTERN = r"^[!-~]+$(?!\n)"
"""Visible ASCII, no space: a name, never a piece of code. Python's `$` alone would let a line feed pass."""
CLIENT_PATTERN = r"^[ -~]*$(?!\n)"
WHERE = "docs/events.schema.json"

EventId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_CHARS,
        pattern=ID_PATTERN,
        description="Chosen by the client, unique for it: a batch that is sent again is counted once.",
    ),
]
RequestId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_CHARS,
        pattern=ID_PATTERN,
        description="Of the completion, as the reply named it.",
    ),
]
KindOfEvent = Annotated[
    EventKind,
    Meta(
        description="shown: it was drawn. partially_accepted: num_chars of it, from its start, in all. "
        "accepted: the whole. rejected: dismissed. ignored: it went away because the user did something else. "
        "typed_through: the user typed all of it. retained: so much was still there after_s later."
    ),
]
AtSeconds = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_AT_S,
        description="Seconds since 1970 on the client's clock; 0: when the server got it.",
    ),
]
NumChars = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_CHARS,
        description="partially_accepted: accepted characters (code points) from its start, in all. "
        "retained: of those accepted, how many are still there.",
    ),
]
AfterSeconds = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_AFTER_S,
        description="retained: seconds since it was accepted (15, 30, 120, 300, 600, 1200).",
    ),
]
PlaceAmongAlternatives = Annotated[
    int,
    Meta(ge=0, le=MAX_ALTERNATIVE, description="Which one of several: its place in the reply."),
]
ClientName = Annotated[
    str,
    Meta(
        max_length=MAX_CLIENT_CHARS,
        pattern=CLIENT_PATTERN,
        description="Which editor or plugin, with version.",
    ),
]


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One thing that happened to one completion."""

    event_id: EventId
    request_id: RequestId
    kind: KindOfEvent
    at_s: AtSeconds = 0.0
    num_chars: NumChars = 0
    after_s: AfterSeconds = 0.0
    alternative: PlaceAmongAlternatives = 0
    client: ClientName = ""


class EventBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/events."""

    events: Annotated[
        list[Event],
        Meta(max_length=MAX_BATCH_EVENTS, description=f"Up to {MAX_BATCH_EVENTS} events."),
    ]


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as it is kept: one line of JSON."""

    event: Event
    received_at_s: float
    """Seconds since 1970 on the server's clock."""
    user_id: str = ""
    """Whose token it came with; empty without tokens. Only with it does a request_id name one completion."""
    origin: EventOrigin = "client"


def encode_batch(batch: EventBatch) -> bytes:
    """JSON of a batch; fields that have their default are left out."""
    return msgspec.json.encode(batch)


def decode_batch(body: bytes | str) -> EventBatch:
    """Read JSON. `decode_batch(encode_batch(batch)) == batch`. Raises as `read_json` and `batch_of`."""
    return batch_of(read_json(body))


def read_json(body: bytes | str) -> Any:
    """Parse JSON in which 3.0 is an integer, as JSON Schema has it and as some clients write them.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return json.loads(body, parse_float=_number)
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError("The body is not valid JSON in UTF-8; correct it.") from None


def batch_of(data: object) -> EventBatch:
    """The batch in `data`, which `read_json` returned.

    Raises:
        FieldError: a field is missing, unknown, of a wrong type or out of range; it is named (`events.3.kind`).
        InputError: it is no object.
    """
    try:
        return msgspec.convert(data, EventBatch)
    except msgspec.ValidationError as error:
        raise explain(error, EventBatch, where=WHERE) from None


def check_events(events: Sequence[Event]) -> None:
    """Hold events that code made to the rules that decoding holds those of clients to.

    Raises:
        FieldError: there are too many, or a field is out of range.
    """
    batch_of({"events": [msgspec.structs.asdict(event) for event in events]})


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of EventBatch, with Event in place rather than by reference."""
    schema = msgspec.json.schema(EventBatch)
    definitions = schema["$defs"]
    batch: dict[str, Any] = definitions["EventBatch"]
    batch["properties"]["events"]["items"] = definitions["Event"]
    batch["examples"] = [
        {"events": [{"event_id": "e-1", "request_id": "cmpl-0123abcd", "kind": "accepted"}]}
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **batch}


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
