"""What msgspec says of a value that is not of its type, as our errors say it: the field by name, nothing repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec import inspect

from paceline.core.errors import FieldError, InputError

_PLACE = re.compile(r" - at `\$\.?([\w.\[\]]{0,100})`$")
_INDEX = re.compile(r"\[(\d+)\]")
_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)
_HARMLESS = re.compile(r"\w{1,32}")
"""A name that may be repeated though we do not know it; any other may be code."""


def explain(error: msgspec.ValidationError, wanted: object, *, where: str) -> InputError:
    """Translate `error`: what was sent is no value of the type `wanted`.

    The field is named as pydantic's errors are (`edits.3.text`). Of what was sent, nothing is repeated but the
    name of an unknown field, if it looks like one.

    Args:
        where: the document that shows what to send, for errors of the whole.
    """
    text = str(error)
    found = _PLACE.search(text)
    reason = text[: found.start()] if found else text
    parts = _INDEX.sub(r".\1", found[1]).lstrip(".").split(".") if found and found[1] else []
    named = _NAMED.match(reason)
    if named is None:
        reason = _reason(reason, _values_at(wanted, parts))
    elif named[1] == "missing required":
        parts, reason = [*parts, named[2]], "is missing; send it"
    elif _HARMLESS.fullmatch(named[2]):
        parts, reason = [*parts, named[2]], "is not known; leave it out or correct its name"
    else:
        reason = "a field of it is not known; leave it out or correct its name"
    if not parts:
        return InputError(f"The body: {reason}; {where} shows what to send.")
    return FieldError(".".join(parts), reason)


def _reason(reason: str, values: list[str]) -> str:
    if reason.startswith("Invalid "):  # of an enum or a tag; what follows is the client's
        return f"must be one of {', '.join(values)}"
    if "matching regex" in reason:
        return "may have visible ASCII characters only, and an id no space"
    return reason.replace("Expected", "expected", 1).replace("`", "")


def _values_at(wanted: object, parts: list[str]) -> list[str]:
    """What may be sent at that place, if that is one of a few words."""
    found = [inspect.type_info(wanted)]
    for part in parts:
        found = [inner for each in found for inner in _inside(each, part)]
    values = [
        value for each in found if isinstance(each, inspect.LiteralType) for value in each.values
    ]
    return list(dict.fromkeys(map(str, values)))


def _inside(outer: inspect.Type, part: str) -> Iterator[inspect.Type]:
    """The types that a field or an item of `outer` may have."""
    for each in _members(outer):
        if isinstance(each, inspect.StructType):
            for field in each.fields:
                if field.encode_name == part:
                    yield from _members(field.type)
            if each.tag_field == part:
                yield inspect.LiteralType((str(each.tag),))
        elif isinstance(each, inspect.ListType):
            yield from _members(each.item_type)


def _members(outer: inspect.Type) -> Iterator[inspect.Type]:
    """`outer` without what is only said about it, or each of the types of a union."""
    if isinstance(outer, inspect.Metadata):
        yield from _members(outer.type)
    elif isinstance(outer, inspect.UnionType):
        for each in outer.types:
            yield from _members(each)
    else:
        yield outer
