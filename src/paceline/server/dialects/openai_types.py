"""The wire types of OpenAI's text completions, as its own Python client sends and reads them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from paceline.server.dialects.openai_prompts import (
    MAX_PROMPTS,
    ManyTexts,
    Prompts,
    parse_prompts,
)
from paceline.server.fields import (
    MAX_SEED,
    MAX_STOP_CHARS,
    CodeText,
    MinP,
    NameText,
    TopK,
    TopP,
    require_session,
)

MAX_STOP_STRINGS = 32
"""OpenAI allows 4; clients that render prompts themselves, as Continue does, stop at a dozen sentinels."""
MAX_CHOICES = 8
MAX_LOGPROBS = 5
MAX_INPUTS = 2048
"""Of embeddings: OpenAI's limit."""
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
}
"""Fields that are accepted with these values (or null) only."""


StopReason = Literal["superseded", "deadline", "cancelled"] | None


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

    prompt: Prompts = Field(
        description="The text to continue (before the cursor, if there is a suffix), or its token ids; "
        f"or a list of up to {MAX_PROMPTS} of them: the choices of the first come first."
    )
    model: str | None = Field(None, description="A name from GET /v1/models; empty: the default.")
    suffix: CodeText | None = Field(
        None, description="Text after the cursor; if given, even empty, the model fills the middle."
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(16, description="Longest answer.")
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        1.0, description="0 always takes the most probable token."
    )
    top_p: TopP | None = Field(
        1.0, description="Draw only from the most probable tokens that reach this share."
    )
    top_k: Annotated[TopK, Field(ge=-1)] | None = Field(
        None, description="Draw only from so many most probable tokens; 0, -1 or absent: all."
    )
    min_p: MinP | None = Field(
        None, description="Draw only from tokens with this share of the most probable one's."
    )
    ignore_eos: bool | None = Field(
        False, description="Go on to max_tokens after the model says that it is done."
    )
    stop: CodeText | Annotated[list[CodeText], Field(fail_fast=True)] | None = Field(
        None, description=f"Up to {MAX_STOP_STRINGS} strings; the answer ends before the first."
    )
    seed: Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = Field(
        None, description="The same seed gives the same answer; choice i is drawn with seed + i."
    )
    stream: bool | None = Field(False, description="Send events as the text is made.")
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(
        1, description="Number of choices, computed together."
    )
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="Report each token with so many alternatives and their log-probabilities."
    )
    user: NameText | None = Field(
        None, description="Whose share of the machine is used; absent: session_id's."
    )
    session_id: NameText | None = Field(
        None,
        description="Ours: this editor; its newest request for a document supersedes older ones.",
    )
    document_id: NameText | None = Field(None, description="Ours: which document of the session.")
    lane: Literal["interactive", "batch"] | None = Field(
        "interactive", description="Ours: batch waits until nothing interactive runs."
    )
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(
        None,
        description="Write so many answers to each prompt, return the n of the highest mean token "
        "log-probability; not with stream if it is more than n.",
    )
    echo: bool | None = Field(
        False, description="Begin each choice with the prompt; not with token ids or logprobs."
    )
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

    _check_document_id = field_validator("document_id")(require_session)

    @field_validator("suffix")
    @classmethod
    def _refuse_suffix_of_ids(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and _has_ids(info):
            raise ValueError("leave it out if the prompt is token ids; they hold the sentinels")
        return value

    @field_validator("best_of")
    @classmethod
    def _refuse_fewer_than_n(cls, value: int | None, info: ValidationInfo) -> int | None:
        num_choices = info.data.get("n") or 1
        if value is not None and value < num_choices:
            raise ValueError("must not be less than n; leave it out")
        if value is not None and value > num_choices and info.data.get("stream"):
            raise ValueError("must be n for a stream: the best are not known before the end")
        return value

    @field_validator("echo")
    @classmethod
    def _refuse_unknown_text(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and _has_ids(info):
            raise ValueError(
                "leave it out if the prompt is token ids; their text is not known here"
            )
        if value and info.data.get("logprobs") is not None:
            raise ValueError("leave it out or leave logprobs out; a prompt's tokens are not scored")
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _limit_stop(cls, value: object) -> object:
        texts: list[object] = [value]
        if isinstance(value, list):
            texts = cast("list[object]", value)
        if len(texts) > MAX_STOP_STRINGS:
            raise ValueError(f"at most {MAX_STOP_STRINGS} stop strings are allowed")
        if any(isinstance(text, str) and len(text) > MAX_STOP_CHARS for text in texts):
            raise ValueError(f"a stop string may have at most {MAX_STOP_CHARS} characters")
        return cast("object", value)


def _has_ids(info: ValidationInfo) -> bool:
    return any(isinstance(prompt, tuple) for prompt in info.data.get("prompt") or ())


class Logprobs(BaseModel):
    """The tokens of a choice, or of a piece of it; the lists are of one length."""

    tokens: list[str] = []
    token_logprobs: list[float] = []
    """Natural logarithms, at temperature 1 whatever the request's."""
    top_logprobs: list[dict[str, float]] = []
    """The alternatives, and the token itself."""
    text_offset: list[int] = []
    """Where each token starts in the choice's text, in characters; near it where a character is
    spelt by several tokens."""


class Choice(BaseModel):
    """The answer, or one piece of it."""

    text: str
    index: int = 0
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None
    stop_reason: StopReason = None
    """Ours: why it ended, if finish_reason has no word for it."""


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


class EmbeddingsRequest(BaseModel):
    """What to embed. Checked, although nothing here can embed it."""

    model_config = ConfigDict(extra="ignore")

    input: Annotated[
        Any,
        PlainValidator(
            lambda value: parse_prompts(value, MAX_INPUTS), json_schema_input_type=ManyTexts
        ),
    ] = Field(description=f"A text or its token ids, or a list of up to {MAX_INPUTS} of them.")
    model: NameText | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: NameText | None = None
