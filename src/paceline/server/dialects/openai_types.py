"""The wire types of OpenAI's text completions, as its own Python client sends and reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from paceline.server.fields import MAX_SEED, CodeText

MAX_STOP_STRINGS = 4
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
}
"""Fields that are accepted with these values (or null) only."""


class StreamOptions(BaseModel):
    """How to stream."""

    include_usage: bool | None = Field(None, description="Send a last event with the usage.")


class CompletionRequest(BaseModel):
    """What to continue, and how."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"prompt": "def area(width, height):\n    return ", "temperature": 0}]
        },
    )

    prompt: CodeText | list[CodeText] = Field(
        description="The text to continue (before the cursor, if there is a suffix); a list may hold one."
    )
    model: str | None = Field(None, description="A name from GET /v1/models; empty: the default.")
    suffix: CodeText | None = Field(
        None, description="Text after the cursor; if given, even empty, the model fills the middle."
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(16, description="Longest answer.")
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        1.0, description="0 always takes the most probable token."
    )
    top_p: float | None = Field(1.0, description="Only 1, unless temperature is 0.")
    stop: str | list[str] | None = Field(
        None, description=f"Up to {MAX_STOP_STRINGS} strings; the answer ends before the first."
    )
    seed: Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = Field(
        None, description="The same seed gives the same answer."
    )
    stream: bool | None = Field(False, description="Send events as the text is made.")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Ignored.")
    n: int | None = Field(1, description="Only 1.")
    best_of: int | None = Field(None, description="Only 1.")
    echo: bool | None = Field(False, description="Not supported.")
    logprobs: int | None = Field(None, description="Not supported.")
    presence_penalty: float | None = Field(0, description="Only 0.")
    frequency_penalty: float | None = Field(0, description="Only 0.")
    logit_bias: dict[str, float] | None = Field(None, description="Not supported.")

    @field_validator(*UNSUPPORTED)
    @classmethod
    def _refuse_unsupported(cls, value: object, info: ValidationInfo) -> object:
        allowed = UNSUPPORTED[str(info.field_name)]
        if value is not None and value not in allowed:
            only = f"send {allowed[0]!r} or leave it out" if allowed else "leave it out"
            raise ValueError(f"{value!r} is not supported; {only}")
        return value

    @field_validator("top_p")
    @classmethod
    def _refuse_top_p(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value not in (None, 1) and info.data.get("temperature") != 0:
            raise ValueError("only 1 is supported; set temperature instead")
        return value

    @field_validator("stop")
    @classmethod
    def _limit_stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > MAX_STOP_STRINGS:
            raise ValueError(f"at most {MAX_STOP_STRINGS} stop strings are allowed")
        return value

    @field_validator("prompt")
    @classmethod
    def _one_prompt(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list) and len(value) != 1:
            raise ValueError("send one prompt in each request")
        return value


class Choice(BaseModel):
    """The answer, or one piece of it."""

    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None = None


class Usage(BaseModel):
    """Token counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class CompletionReply(BaseModel):
    """OpenAI's completion object."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class ModelEntry(BaseModel):
    """One model, with what Paceline knows beyond OpenAI's fields."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "paceline"
    context_tokens: int = Field(description="Prompt and answer together may be this long.")
    num_parameters: int
    license: str


class ModelList(BaseModel):
    """The models that are served; the first is the default."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]
