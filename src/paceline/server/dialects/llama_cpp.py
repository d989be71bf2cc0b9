"""llama.cpp's `/infill`, as llama.vim and llama.vscode speak it; served by the completion brain.

The cursor stands between `input_prefix` + `prompt` and `input_suffix`. The reply is compact JSON:
llama.vim looks for `"content":"` and silently ignores a space after the colon. `n_predict` 0 warms the
cache: the prompt is computed, where nothing else waits, and the answer is empty. Temperature is 0 unless
the client sets it, and only then are top_k, top_p and min_p read.

Beyond the protocol: the request may name the file, a `trigger` and a `mode` (else the brain decides), and a
`session_id` with a `document_id`, whose newest request supersedes older ones; the reply has `paceline` with
the request's id for `paceline why`, and the reason why nothing is shown. The protocol can only insert, so a
completion that takes the place of text after the cursor is cut to what can be inserted before it. The
fields of InfillRequest are read; all others are accepted and ignored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from paceline.complete.modes import Mode, Trigger
from paceline.complete.request import CompleteRequest, Completion, Source, as_insertion
from paceline.core.types import Cursor, Document, Snippet
from paceline.generate.types import FinishReason
from paceline.server.context import ServerContext
from paceline.server.errors import ErrorBody
from paceline.server.fields import (
    MAX_SEED,
    CodeText,
    MinP,
    NameText,
    StopText,
    TopK,
    TopP,
    require_session,
    to_session,
    to_top_k,
)
from paceline.server.streaming import SseResponse, run_while_connected

STOP_TYPES: dict[FinishReason, str] = {
    "stop": "eos",
    "length": "limit",
    "deadline": "limit",
    "cancelled": "none",
    "superseded": "none",
}
"""llama.cpp's words; `none` is its word for an answer that did not come to an end."""


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MAX_STOP_STRINGS = 32
MAX_EXTRAS = 512
"""llama.vim keeps 16 chunks, and 64 at most."""
MAX_RESPONSE_FIELDS = 64


class ExtraText(BaseModel):
    """A piece of another file."""

    model_config = ConfigDict(extra="ignore")

    text: CodeText = ""
    filename: CodeText = ""


class InfillRequest(BaseModel):
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
    n_predict: int | None = Field(
        None, description="Most tokens; 0 only warms the cache; negative or absent: the mode's own."
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
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="Absent is 0: the most probable token."
    )
    seed: Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = Field(
        None, description="Of the sampling; negative or absent: fresh."
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
    stop: Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)] | None = (
        Field(
            None,
            description=f"Up to {MAX_STOP_STRINGS} strings; the completion ends before any of them.",
        )
    )
    stream: bool | None = Field(False, description="Send server-sent events.")
    t_max_predict_ms: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None,
        description="If above 0: what is written so long after the request came is the completion.",
    )
    session_id: NameText | None = Field(
        None,
        description="Ours: this editor; its newest request for a document supersedes older ones.",
    )
    document_id: NameText | None = Field(None, description="Ours: which document of the session.")
    response_fields: (
        Annotated[list[NameText], Field(max_length=MAX_RESPONSE_FIELDS, fail_fast=True)] | None
    ) = Field(
        None,
        description=f"Only these fields, up to {MAX_RESPONSE_FIELDS}; `timings/prompt_n` is that one "
        "inside `timings`.",
    )
    model: NameText | None = Field(
        None, description="A name from GET /v1/models; empty: the default."
    )

    _check_document_id = field_validator("document_id")(require_session)


class Timings(BaseModel):
    """Where the time went, as llama.cpp reports it."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
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


class InfillReply(BaseModel):
    """llama.cpp's reply, without the fields that make no sense here."""

    content: str
    index: int = 0
    id_slot: int = 0
    stop: bool = True
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    truncated: bool = False
    stop_type: str
    timings: Timings
    paceline: PacelineNote


def to_request(body: InfillRequest) -> CompleteRequest:
    """Translate a request; the document is what the client sent around its cursor."""
    prefix = body.input_prefix + body.prompt
    document = Document(
        path=body.filename or "", text=prefix + body.input_suffix, language=body.language or ""
    )
    is_limited = body.n_predict is not None and body.n_predict > 0
    is_timed = body.t_max_predict_ms is not None and body.t_max_predict_ms > 0
    is_drawn = bool(body.temperature)
    return CompleteRequest(
        cursor=Cursor(document=document, offset=len(prefix)),
        trigger=body.trigger or "automatic",
        mode=body.mode,
        multi_line_threshold=body.multi_line_threshold,
        show_threshold=body.show_threshold,
        snippets=tuple(
            Snippet(path=extra.filename, text=extra.text)
            for extra in body.input_extra
            if extra.text
        ),
        model_id=body.model or None,
        max_tokens=body.n_predict if is_limited else None,
        max_latency_ms=body.t_max_predict_ms if is_timed else None,
        temperature=body.temperature or 0.0,
        top_k=to_top_k(body.top_k) if is_drawn else None,
        top_p=body.top_p if is_drawn and body.top_p is not None else 1.0,
        min_p=body.min_p if is_drawn and body.min_p is not None else 0.0,
        stop=tuple(text for text in body.stop or () if text),
        seed=None if body.seed is None or body.seed < 0 else body.seed,
        session=to_session(body.session_id, body.document_id),
        user_id=body.session_id or "",
    )


def to_reply(completion: Completion, suffix: str) -> InfillReply:
    """Translate a completion; `suffix` is what stands after the cursor."""
    text = as_insertion(completion, suffix)
    reason = completion.drop.reason if completion.drop else None
    probability = completion.probability
    predicted_ms = max(completion.latency_ms - completion.ttft_ms, 0.0)
    computed_tokens = completion.prompt_tokens - completion.cached_tokens
    mean_logprob = completion.mean_logprob
    return InfillReply(
        content=text,
        model=completion.model_id,
        tokens_predicted=completion.num_tokens,
        tokens_evaluated=completion.prompt_tokens,
        tokens_cached=completion.cached_tokens,
        stop_type=STOP_TYPES[completion.finish_reason],
        timings=Timings(
            cache_n=completion.cached_tokens,
            prompt_n=computed_tokens,
            prompt_ms=round(completion.ttft_ms, 3),
            prompt_per_second=_rate(computed_tokens, completion.ttft_ms),
            predicted_n=completion.num_tokens,
            predicted_ms=round(predicted_ms, 3),
            predicted_per_second=_rate(completion.num_tokens, predicted_ms),
        ),
        paceline=PacelineNote(
            request_id=completion.request_id,
            drop_reason=reason or ("replaces" if completion.text and not text else None),
            mode=completion.mode,
            source=completion.source,
            probability=None if probability is None else round(probability, 4),
            latency_ms=round(completion.latency_ms, 3),
            finish_reason=completion.finish_reason,
            mean_logprob=None if mean_logprob is None else round(mean_logprob, 4),
        ),
    )


def _rate(count: int, ms: float) -> float:
    return round(count / ms * 1000, 3) if ms > 0 else 0.0


def select_fields(reply: dict[str, Any], paths: list[str] | None) -> dict[str, Any]:
    """Keep the named fields; `a/b` becomes a field of that very name. None keeps everything."""
    if paths is None:
        return reply
    found = ((path, _find(reply, path.split("/"))) for path in paths)
    return {path: values[0] for path, values in found if values}


def _find(value: Any, keys: list[str]) -> list[Any]:
    """The value at the end of `keys` in a list, or an empty list if there is none."""
    if not keys:
        return [value]
    is_there = isinstance(value, dict) and keys[0] in value
    return _find(value[keys[0]], keys[1:]) if is_there else []


def create_llama_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    service = server.service
    router = APIRouter(tags=["llama.cpp"], responses={"4XX": {"model": ErrorBody}})

    @router.post("/infill", response_model=InfillReply)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """Complete code at a cursor; the text is post-processed and ready to show."""
        answer = service.warm if body.n_predict == 0 else service.complete
        completion = await run_while_connected(request.receive, answer(to_request(body)))
        request.state.num_tokens = completion.num_tokens
        reply = to_reply(completion, body.input_suffix).model_dump()
        if body.stream:
            return SseResponse(_events(reply, body.response_fields))
        return JSONResponse(select_fields(reply, body.response_fields))

    return router


async def _events(reply: dict[str, Any], fields: list[str] | None) -> AsyncGenerator[str, None]:
    """The text in one piece, because post-processing may still cut it, then the figures."""
    if reply["content"]:
        yield _compact(reply | {"stop": False}, ["index", "content", "stop"])
    yield _compact(reply | {"content": ""}, fields)


def _compact(reply: dict[str, Any], fields: list[str] | None) -> str:
    return json.dumps(select_fields(reply, fields), ensure_ascii=False, separators=(",", ":"))
