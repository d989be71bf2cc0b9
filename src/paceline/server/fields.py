"""Field types that several dialects share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator


def replace_lone_surrogates(value: object) -> object:
    """JSON may hold half a surrogate pair (a cursor inside an emoji); make it U+FFFD."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


CodeText = Annotated[str, BeforeValidator(replace_lone_surrogates)]
"""Any text that JSON can carry."""

MAX_SEED = 2**63 - 1
