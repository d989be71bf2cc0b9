"""`POST /v1/completions` is spoken by two protocols: OpenAI's has `prompt`, Tabby's has `segments`.

The body alone tells them apart, before it is validated, so that each is held to its own type and errors name its
own fields.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Discriminator, Tag

from paceline.server.dialects.openai_types import CompletionReply, CompletionRequest
from paceline.server.dialects.tabby_types import SegmentsRequest, TabbyReply

OPENAI, TABBY = "[openai]", "[tabby]"
"""In brackets, so that explain_validation keeps them out of the names of fields."""


def protocol_of(body: Any) -> str:
    """Which of the two a body is; what is neither is OpenAI's."""
    if isinstance(body, SegmentsRequest):
        return TABBY
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    is_raw = "prompt" not in fields and isinstance(fields.get("debug_options"), dict)
    return TABBY if "segments" in fields or is_raw else OPENAI


CompletionBody = Annotated[
    Annotated[CompletionRequest, Tag(OPENAI)] | Annotated[SegmentsRequest, Tag(TABBY)],
    Discriminator(protocol_of),
]
AnyCompletionReply = CompletionReply | TabbyReply
