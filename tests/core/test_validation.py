"""What msgspec refuses, in our words."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from paceline.core.errors import FieldError, InputError
from paceline.core.validation import explain


class Dog(msgspec.Struct, tag_field="type", tag="dog", forbid_unknown_fields=True):
    size: Annotated[Literal["big", "small"], Meta(description="At the shoulder.")] | None = None
    name: Annotated[str, Meta(pattern="^[a-z]+$")] = ""
    puppies: list[Dog] = []


class Cat(msgspec.Struct, tag_field="type", tag="cat"):
    size: int


def explained(raw: str) -> InputError:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(raw, type=Dog | Cat)
    return explain(caught.value, Dog | Cat, where="docs/pets.md")


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        ('{"type":"SECRET"}', "type", "must be one of dog, cat"),
        ('{"type":"dog","size":"SECRET"}', "size", "must be one of big, small"),
        (
            '{"type":"dog","puppies":[{"type":"dog"},{"type":"dog","size":"SECRET"}]}',
            "puppies.1.size",
            "must be one of big, small",
        ),
        ('{"type":"cat","size":"SECRET"}', "size", "expected int, got str"),
        ('{"type":"cat"}', "size", "is missing; send it"),
        ('{"type":"dog","nam":1}', "nam", "is not known; leave it out or correct its name"),
        (
            '{"type":"dog","puppies":[{"type":"dog","if SECRET":1}]}',
            "puppies.0",
            "a field of it is not known; leave it out or correct its name",
        ),
        (
            '{"type":"dog","name":"SECRET"}',
            "name",
            "may have visible ASCII characters only, and an id no space",
        ),
    ],
)
def test_the_field_and_what_it_may_be_are_told(raw: str, field: str, reason: str) -> None:
    error = explained(raw)
    assert isinstance(error, FieldError)
    assert error.field == field
    assert str(error) == f"Field {field!r}: {reason}."


def test_of_the_whole_it_is_told_where_to_read() -> None:
    error = explained('["SECRET"]')
    assert not isinstance(error, FieldError)
    assert str(error) == "The body: expected object, got array; docs/pets.md shows what to send."
