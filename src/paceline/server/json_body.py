"""JSON into msgspec types, with errors that name the field and repeat nothing else that was sent."""

from __future__ import annotations

import json
import re
from typing import TypeVar

import msgspec

from paceline.core.errors import FieldError, InputError
from paceline.server.fields import replace_lone_surrogates

T = TypeVar("T")

_PLACE = re.compile(r" - at `\$\.?([\w.\[\]]{0,100})`$")
_HARMLESS = re.compile(r"\w{1,32}")
"""A name that may be repeated though we do not know it; any other may be code."""
_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)


def decode_json(raw: bytes | str, wanted: type[T]) -> T:
    """Read JSON as a value of type `wanted`. Half a surrogate pair in a string becomes U+FFFD.

    Raises:
        FieldError: a field is missing, unknown or of another type; named as `document.text` or `edits[3].text`.
        InputError: it is no JSON at all.
    """
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_tolerantly(raw, wanted)


def _decode_tolerantly(raw: bytes | str, wanted: type[T]) -> T:
    """The same by the standard library, which lets half a surrogate pair pass (a cursor inside an emoji)."""
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
        return msgspec.json.decode(replace_lone_surrogates(text), type=wanted)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (ValueError, RecursionError):
        raise InputError("The body is not valid JSON in UTF-8; correct it.") from None


def explain(error: msgspec.ValidationError) -> InputError:
    """Translate what msgspec says."""
    text = str(error)
    found = _PLACE.search(text)
    place, reason = (found[1], text[: found.start()]) if found else ("", text)
    named = _NAMED.match(reason)
    if named and named[1] == "missing required":
        place, reason = _join(place, named[2]), "is missing; send it"
    elif named and _HARMLESS.fullmatch(named[2]):
        place, reason = _join(place, named[2]), "is not known; leave it out or correct its name"
    elif named:
        reason = "a field of it is not known; leave it out or correct its name"
    elif reason.startswith("Invalid "):  # an enum or a tag; what follows is the client's
        reason = "must be one of the values that /docs lists"
    elif "matching regex" in reason:
        reason = "may have visible ASCII characters only, and no space"
    reason = reason.replace("Expected", "expected", 1).replace("`", "")
    if not place:
        return InputError(f"The body: {reason}; /docs shows what to send.")
    return FieldError(place, reason)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
