"""JSON into msgspec types, with errors that name the field and repeat nothing else that was sent."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from paceline.core.errors import InputError
from paceline.core.validation import explain
from paceline.server.fields import replace_lone_surrogates

T = TypeVar("T")

WHERE = "docs/protocols.md"
"""There are all messages; /docs has those of HTTP."""


def decode_json(raw: bytes | str, wanted: type[T]) -> T:
    """Read JSON as a value of type `wanted`. Half a surrogate pair in a string becomes U+FFFD.

    Raises:
        FieldError: a field is missing, unknown or of another type; named as `document.text` or `edits.3.text`.
        InputError: it is no JSON at all.
    """
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise explain(error, wanted, where=WHERE) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_tolerantly(raw, wanted)


def _decode_tolerantly(raw: bytes | str, wanted: type[T]) -> T:
    """The same by the standard library, which lets half a surrogate pair pass (a cursor inside an emoji)."""
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
        return msgspec.json.decode(replace_lone_surrogates(text), type=wanted)
    except msgspec.ValidationError as error:
        raise explain(error, wanted, where=WHERE) from None
    except (ValueError, RecursionError):
        raise InputError("The body is not valid JSON in UTF-8; correct it.") from None
