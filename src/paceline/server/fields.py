"""Field types that several dialects share, and what they mean below."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo

from paceline.generate.types import Session


def replace_lone_surrogates(value: str) -> str:
    """JSON may hold half a surrogate pair (a cursor inside an emoji); make it U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _replace_if_text(value: object) -> object:
    return replace_lone_surrogates(value) if isinstance(value, str) else value


CodeText = Annotated[str, BeforeValidator(_replace_if_text)]
"""Any text that JSON can carry."""

MAX_SEED = 2**63 - 1
MAX_NAME_CHARS = 256
MAX_TOP_K = 2**31 - 1
MAX_STOP_CHARS = 256
"""Of each stop string: every one is looked for in every token that is written."""

NameText = Annotated[CodeText, Field(max_length=MAX_NAME_CHARS)]
"""A name that the client made up; it is compared, never looked into."""
StopText = Annotated[CodeText, Field(max_length=MAX_STOP_CHARS)]
TopK = Annotated[int, Field(le=MAX_TOP_K)]
"""Zero and less allow all, as vLLM and llama.cpp have it."""
TopP = Annotated[float, Field(gt=0, le=1)]
MinP = Annotated[float, Field(ge=0, le=1)]


def require_session(value: str | None, info: ValidationInfo) -> str | None:
    """Refuse a `document_id` without the `session_id` that it belongs to. For `field_validator`."""
    if value is not None and info.data.get("session_id") is None:
        raise ValueError("send session_id with it; a document alone is nobody's")
    return value


def to_top_k(value: int | None) -> int | None:
    """None where all ids are allowed."""
    return value if value is not None and value > 0 else None


def to_session(session_id: str | None, document_id: str | None) -> Session | None:
    """The session that a request names; without `session_id` there is none."""
    return None if session_id is None else Session(session_id, document_id or "")
