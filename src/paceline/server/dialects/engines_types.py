"""The wire types of Copilot's completion proxy, which FauxPilot speaks as well."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from paceline.server.dialects.openai_types import CompletionRequest
from paceline.server.fields import CodeText, NameText

MAX_CONTEXT = 128
"""Copilot sends about 20."""
MAX_INDENT = 10_000


class EngineExtra(BaseModel):
    """What Copilot sends beyond OpenAI's fields."""

    model_config = ConfigDict(extra="ignore")

    language: NameText | None = Field(
        None, description="VS Code's name of it; says which words go on with a block."
    )
    trim_by_indentation: bool | None = Field(
        False, description="End before the first line that is outside the block at the cursor."
    )
    next_indent: Annotated[int, Field(ge=-1, le=MAX_INDENT)] | None = Field(
        None, description="White characters before the next line of code: the block ends there."
    )
    force_indent: Annotated[int, Field(ge=-1, le=MAX_INDENT)] | None = Field(
        None, description="The block ends at this indentation instead; -1: next_indent decides."
    )
    prompt_tokens: int | None = None
    suffix_tokens: int | None = None
    context: Annotated[list[CodeText], Field(max_length=MAX_CONTEXT, fail_fast=True)] | None = (
        Field(None, description="Texts from elsewhere, best first.")
    )


class EngineRequest(CompletionRequest):
    """What to continue, and how. A prompt that does not fit is cut at its far ends."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"prompt": "def area(width, height):\n    ", "suffix": "", "stream": True}]
        },
    )

    logit_bias: dict[str, float] | None = Field(
        None, description="Ignored: older Copilots send it."
    )
    nwo: NameText | None = Field(
        None, description="`owner/name` of the repository; models that know such names see it."
    )
    code_annotations: bool | None = None
    extra: EngineExtra | None = None

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _refuse_unsupported(cls, value: object, info: ValidationInfo) -> object:
        if value:
            raise ValueError("is not supported; send 0 or leave it out")
        return value


class Endpoints(BaseModel):
    """Where a Copilot client sends its requests."""

    api: str
    proxy: str


class TokenReply(BaseModel):
    """What GitHub gives Copilot's clients before their first request."""

    token: str
    expires_at: int = Field(description="Seconds since 1970.")
    refresh_in: int = Field(description="Seconds.")
    endpoints: Endpoints
