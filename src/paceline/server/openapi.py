"""Msgspec types in the OpenAPI document, which FastAPI fills with pydantic's alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from fastapi import FastAPI

REFERENCE = "#/components/schemas/{name}"

STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
"""For the `responses` of a route that can answer with server-sent events, too."""


def body_of(wanted: type[msgspec.Struct]) -> dict[str, Any]:
    """For a route's `openapi_extra`: its body is of this type."""
    content = {"application/json": {"schema": _reference_to(wanted)}}
    return {"requestBody": {"required": True, "content": content}}


def reply_of(wanted: type[msgspec.Struct], description: str) -> dict[str, Any]:
    """For a route's `responses`: a success is of this type."""
    content = {"application/json": {"schema": _reference_to(wanted)}}
    return {"description": description, "content": content}


def add_types(
    app: FastAPI, types: Iterable[type[msgspec.Struct]], examples: dict[str, Any] | None = None
) -> None:
    """Make the app's OpenAPI document hold these types, which `body_of` and `reply_of` refer to.

    Args:
        examples: a value of a type, by the type's name.
    """
    render: Callable[[], dict[str, Any]] = app.openapi
    _, components = msgspec.json.schema_components(tuple(types), ref_template=REFERENCE)
    for name, example in (examples or {}).items():
        components[name]["examples"] = [example]

    def openapi() -> dict[str, Any]:
        schema = render()
        schema["components"]["schemas"].update(components)
        return schema

    app.openapi = openapi


def _reference_to(wanted: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(name=wanted.__name__)}
