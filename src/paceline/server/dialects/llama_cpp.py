"""llama.cpp's `/infill`, as llama.vim and llama.vscode speak it; served by the completion brain.

The cursor stands between `input_prefix` + `prompt` and `input_suffix`. The reply is compact JSON:
llama.vim looks for `"content":"` and silently ignores a space after the colon. `n_predict` 0 asks to
warm a cache; it is answered at once. Temperature is 0 unless the client sets it.

Beyond the protocol: the request may name a `mode`, and the reply has `paceline` with the reason why
nothing is shown. `docs` below says which fields are read; all others are accepted and ignored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from paceline.complete.modes import Mode
from paceline.complete.service import CompleteRequest, Completion, Service
from paceline.core.types import Cursor, Document, Snippet
from paceline.server.errors import ErrorBody
from paceline.server.fields import MAX_SEED, CodeText
from paceline.server.streaming import SseResponse, run_while_connected

STOP_TYPES = {"stop": "eos", "length": "limit", "deadline": "limit", "cancelled": "limit"}


class ExtraText(BaseModel):
    """A piece of another file."""

    model_config = ConfigDict(extra="ignore")

    text: CodeText = ""
    filename: CodeText = ""


class InfillRequest(BaseModel):
    """Text around a cursor. Sampler, slot and cache fields of llama.cpp are accepted and ignored."""

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
    input_extra: list[ExtraText] = Field([], description="Pieces of other files, best first.")
    n_predict: int | None = Field(
        None, description="Most tokens; 0 only warms the cache; negative or absent: the mode's own."
    )
    mode: Mode = Field("single_line", description="Ours: how much to complete.")
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="Absent is 0: the most probable token."
    )
    seed: Annotated[int, Field(ge=-MAX_SEED, le=MAX_SEED)] | None = Field(
        None, description="Of the sampling; negative or absent: fresh."
    )
    stop: list[str] | None = Field(None, description="The completion ends before any of these.")
    stream: bool | None = Field(False, description="Send server-sent events.")
    t_max_predict_ms: float | None = Field(None, description="Accepted and ignored.")
    response_fields: list[str] | None = Field(
        None, description="Only these fields; `timings/prompt_n` is that one inside `timings`."
    )
    model: str | None = Field(None, description="A name from GET /v1/models; empty: the default.")


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

    drop_reason: str | None = Field(description="Why `content` is empty; null if it is not.")
    mode: Mode
    latency_ms: float


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
    document = Document(path="", text=prefix + body.input_suffix)
    is_limited = body.n_predict is not None and body.n_predict > 0
    return CompleteRequest(
        cursor=Cursor(document=document, offset=len(prefix)),
        mode=body.mode,
        snippets=tuple(
            Snippet(path=extra.filename, text=extra.text)
            for extra in body.input_extra
            if extra.text
        ),
        model_id=body.model or None,
        max_tokens=body.n_predict if is_limited else None,
        temperature=body.temperature or 0.0,
        stop=tuple(text for text in body.stop or () if text),
        seed=None if body.seed is None or body.seed < 0 else body.seed,
    )


def to_reply(completion: Completion) -> InfillReply:
    """Translate a completion."""
    predicted_ms = max(completion.latency_ms - completion.ttft_ms, 0.0)
    return InfillReply(
        content=completion.text,
        model=completion.model_id,
        tokens_predicted=completion.num_tokens,
        tokens_evaluated=completion.prompt_tokens,
        tokens_cached=completion.cached_tokens,
        stop_type=STOP_TYPES[completion.finish_reason],
        timings=Timings(
            cache_n=completion.cached_tokens,
            prompt_n=completion.prompt_tokens - completion.cached_tokens,
            prompt_ms=round(completion.ttft_ms, 3),
            prompt_per_second=_rate(completion.prompt_tokens, completion.ttft_ms),
            predicted_n=completion.num_tokens,
            predicted_ms=round(predicted_ms, 3),
            predicted_per_second=_rate(completion.num_tokens, predicted_ms),
        ),
        paceline=PacelineNote(
            drop_reason=completion.drop.reason if completion.drop else None,
            mode=completion.mode,
            latency_ms=round(completion.latency_ms, 3),
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


def create_llama_router(service: Service, default_model_id: str) -> APIRouter:
    """Routes of this dialect."""
    router = APIRouter(tags=["llama.cpp"], responses={"4XX": {"model": ErrorBody}})

    @router.post("/infill", response_model=InfillReply)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """Complete code at a cursor; the text is post-processed and ready to show."""
        if body.n_predict == 0:
            completion = _warmed(body, default_model_id)
        else:
            work = service.complete(to_request(body))
            completion = await run_while_connected(request.receive, work)
            request.state.num_tokens = completion.num_tokens
        reply = to_reply(completion).model_dump()
        if body.stream:
            return SseResponse(_events(reply, body.response_fields), _nothing)
        return JSONResponse(select_fields(reply, body.response_fields))

    return router


def _warmed(body: InfillRequest, default_model_id: str) -> Completion:
    """The answer to `n_predict` 0. Nothing is computed until the engine has a cache to fill."""
    return Completion(
        text="",
        drop=None,
        mode=body.mode,
        model_id=body.model or default_model_id,
        num_tokens=0,
        prompt_tokens=0,
        cached_tokens=0,
        finish_reason="length",
        latency_ms=0.0,
        ttft_ms=0.0,
    )


async def _events(reply: dict[str, Any], fields: list[str] | None) -> AsyncGenerator[str, None]:
    """The text in one piece, because post-processing may still cut it, then the figures."""
    if reply["content"]:
        yield _compact(reply | {"stop": False}, ["index", "content", "stop"])
    yield _compact(reply | {"content": ""}, fields)


def _compact(reply: dict[str, Any], fields: list[str] | None) -> str:
    return json.dumps(select_fields(reply, fields), ensure_ascii=False, separators=(",", ":"))


async def _nothing() -> None:
    return None
