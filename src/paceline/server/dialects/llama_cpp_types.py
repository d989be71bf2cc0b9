"""The wire types of llama.cpp's server: `/infill`, `/completion` and what they reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from paceline.complete.modes import Mode, Trigger
from paceline.complete.request import Source
from paceline.generate.types import FinishReason
from paceline.server.dialects.openai_prompts import Prompts
from paceline.server.fields import (
    MAX_SEED,
    CodeText,
    MinP,
    NameText,
    StopText,
    TopK,
    TopP,
    require_session,
)

MAX_STOP_STRINGS = 32
MAX_EXTRAS = 512
"""llama.vim keeps 16 chunks, and 64 at most."""
MAX_RESPONSE_FIELDS = 64
MAX_SAMPLERS = 32
"""llama.cpp has about a dozen."""
MAX_LORAS = 32
MAX_TIME_PARTS = 4
"""Vim's reltime() has two."""
MAX_COMPLETIONS = 3
"""As many as the brain offers (complete/request.py)."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Millis = Annotated[float, Field(allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)]
StopTexts = Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)]
Samplers = Annotated[list[NameText], Field(max_length=MAX_SAMPLERS, fail_fast=True)]
ResponseFields = Annotated[list[NameText], Field(max_length=MAX_RESPONSE_FIELDS, fail_fast=True)]

RESPONSE_FIELDS_HELP = f"Only these fields, up to {MAX_RESPONSE_FIELDS}; `timings/prompt_n` is that one inside `timings`."


def parse_time(value: object) -> tuple[float, ...] | None:
    """When a piece was picked: one number, or a list of them as Vim's reltime(). Anything else tells nothing."""
    parts = cast("list[object]", value if isinstance(value, list) else [value])
    if not 0 < len(parts) <= MAX_TIME_PARTS:
        return None
    is_number = all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts)
    return tuple(cast("list[float]", parts)) if is_number else None


class ExtraText(BaseModel):
    """A piece of another file."""

    model_config = ConfigDict(extra="ignore")

    text: CodeText = ""
    filename: CodeText = ""
    time: Annotated[Any, BeforeValidator(parse_time)] = Field(
        None, description="When it was picked; if every piece says so, the newest comes first."
    )


class LoraScale(BaseModel):
    """How much of an adapter to use."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(description="Number of an adapter, from 0, in the order of GET /v1/models.")
    scale: Annotated[float, Field(allow_inf_nan=False)] = Field(
        1.0, description="Above 0: use it, whole; of several, the greatest."
    )


class Sampled(BaseModel):
    """What `/infill` and `/completion` have in common."""

    model_config = ConfigDict(extra="ignore")

    n_predict: int | None = Field(
        None, description="Most tokens; 0 only warms the cache; negative or absent: the default."
    )
    n_indent: int | None = Field(
        None, description="A later line that is indented by fewer characters ends the completion."
    )
    seed: Seed | None = Field(None, description="Of the sampling; negative or absent: fresh.")
    samplers: Samplers | NameText | None = Field(
        None,
        description="Of top_k, top_p and min_p, only those named here are read; absent: all.",
    )
    stop: StopTexts | None = Field(
        None,
        description=f"Up to {MAX_STOP_STRINGS} strings; the completion ends before any of them.",
    )
    stream: bool | None = Field(False, description="Send server-sent events.")
    id_slot: int | None = Field(None, description="Said again in the reply; there are no slots.")
    session_id: NameText | None = Field(
        None,
        description="Ours: this editor; its newest request for a document supersedes older ones.",
    )
    document_id: NameText | None = Field(None, description="Ours: which document of the session.")
    response_fields: ResponseFields | None = Field(None, description=RESPONSE_FIELDS_HELP)
    lora: Annotated[list[LoraScale], Field(max_length=MAX_LORAS, fail_fast=True)] | None = Field(
        None, description="Adapters; one that is not served is ignored, `model` overrides it."
    )
    model: NameText | None = Field(
        None, description="A name from GET /v1/models; empty: the default."
    )

    _check_document_id = field_validator("document_id")(require_session)


class InfillRequest(Sampled):
    """Text around a cursor. Other sampler, slot and cache fields of llama.cpp are accepted and ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "input_prefix": "def area(width, height):\n",
                    "prompt": "    return ",
                    "input_suffix": "\n\nprint(area(2, 3))\n",
                }
            ]
        },
    )

    input_prefix: CodeText = Field("", description="Text before the cursor's line.")
    input_suffix: CodeText = Field("", description="Text after the cursor.")
    prompt: CodeText = Field("", description="Text between `input_prefix` and the cursor.")
    input_extra: Annotated[list[ExtraText], Field(max_length=MAX_EXTRAS, fail_fast=True)] = Field(
        [], description=f"Up to {MAX_EXTRAS} pieces of other files, best first."
    )
    mode: Mode | None = Field(
        None,
        description="Ours: how much to complete; absent: decided from the code and the typing.",
    )
    trigger: Trigger | None = Field(
        None, description="Ours: `automatic`, a key was pressed, or `invoked`, the user asked."
    )
    multi_line_threshold: Share | None = Field(
        None, description="Ours: 0 to 1; higher offers single lines more often, 1 always."
    )
    show_threshold: Share | None = Field(
        None,
        description="Ours: 0 to 1; nothing is shown that is less likely to be kept than this.",
    )
    filename: NameText | None = Field(
        None, description="Ours: path of the file; its language is read from its ending."
    )
    language: NameText | None = Field(None, description="Ours: the language, as editors name it.")
    temperature: Temperature | None = Field(
        None, description="Absent is 0: the most probable token."
    )
    top_k: TopK | None = Field(
        None, description="Draw from so many most probable tokens; read if temperature is above 0."
    )
    top_p: TopP | None = Field(
        None,
        description="Draw from the tokens that reach this share; read if temperature is above 0.",
    )
    min_p: MinP | None = Field(
        None,
        description="Smallest share of the most probable one's; read if temperature is above 0.",
    )
    n_cmpl: int | None = Field(
        None,
        description=f"1 to {MAX_COMPLETIONS}; above 1, the reply is a list of completions that differ, "
        "more than one only with `trigger` `invoked`.",
    )
    t_max_prompt_ms: Millis | None = Field(
        None, description="If above 0, added to t_max_predict_ms; read only with that."
    )
    t_max_predict_ms: Millis | None = Field(
        None,
        description="If above 0: what is written so long after the request came (and t_max_prompt_ms "
        "longer) is the completion.",
    )

    @field_validator("n_cmpl")
    @classmethod
    def _limit_completions(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= MAX_COMPLETIONS:
            raise ValueError(f"Value must be between 1 and {MAX_COMPLETIONS}")  # llama.vscode looks
        return value


class RawRequest(Sampled):
    """What to continue, as it is: raw model output. The defaults of the sampling are llama.cpp's."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"prompt": "def area(width, height):\n", "n_predict": 16}]},
    )

    prompt: Prompts = Field(
        description="The text to continue, or its token ids; a list may hold one of them."
    )
    temperature: Temperature | None = Field(0.8, description="0: the most probable token.")
    top_k: TopK | None = Field(40, description="Draw from so many; 0 and less: all.")
    top_p: TopP | None = Field(0.95, description="Draw from the tokens that reach this share.")
    min_p: MinP | None = Field(0.05, description="Smallest share of the most probable one's.")
    ignore_eos: bool | None = Field(
        False, description="Go on to n_predict after the model says that it is done."
    )
    t_max_predict_ms: Millis | None = Field(
        None,
        description="If above 0: what is written so long after the request came is the answer.",
    )

    @field_validator("prompt")
    @classmethod
    def _require_one(cls, value: Sequence[object]) -> Sequence[object]:
        if len(value) != 1:
            raise ValueError("send one prompt in each request")
        return value


class Timings(BaseModel):
    """Where the time went, as llama.cpp reports it."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class PacelineNote(BaseModel):
    """What llama.cpp has no field for."""

    request_id: str = Field(description="`paceline why ID` tells the story.")
    drop_reason: str | None = Field(description="Why `content` is empty; null if it is not.")
    mode: Mode
    source: Source
    probability: float | None = Field(
        description="That the user keeps it; null if nothing to judge."
    )
    latency_ms: float
    finish_reason: FinishReason = Field(description="Why the model wrote no more.")
    mean_logprob: float | None = Field(
        description="Natural log-probability per token written; null if none was."
    )


class GenerationSettings(BaseModel):
    """Of llama.cpp's many settings, what clients read."""

    n_ctx: int = Field(description="Prompt and answer together may be this long, in tokens.")


class RawReply(BaseModel):
    """llama.cpp's reply, without the fields that make no sense here."""

    index: int = 0
    content: str
    id_slot: int = 0
    stop: bool = True
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    generation_settings: GenerationSettings
    truncated: bool = False
    stop_type: str
    timings: Timings


class InfillReply(RawReply):
    """The same for a completion of the brain."""

    paceline: PacelineNote


class PropsReply(BaseModel):
    """What the server is; no path of this machine and no settings."""

    default_generation_settings: GenerationSettings
    total_slots: int = 1
    model_alias: str
    model_path: str = Field(description="The model's name; where it lies is nobody's business.")
    modalities: dict[str, bool] = {"vision": False, "audio": False}
    chat_template: str = ""
    build_info: str


class SlotReply(BaseModel):
    """llama.cpp computes in slots. Here there are none; this one stands for the whole server."""

    id: int = 0
    n_ctx: int
    speculative: bool = False
    is_processing: bool = Field(description="Does any request of this dialect run now?")


Selected = dict[str, Any]
"""What a reply is where `response_fields` names its fields; of no names, nothing."""
