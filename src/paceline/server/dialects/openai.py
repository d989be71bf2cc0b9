"""OpenAI's text completions: raw model output, below the completion brain.

Defaults are OpenAI's: 16 tokens at temperature 1. With `suffix` (even an empty one) the model fills
in the middle; without it, it continues the text. What is not supported is refused by name, never
ignored; fields that OpenAI does not have are ignored. A prompt is never cut to fit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from paceline.complete.service import open_stream
from paceline.core.errors import PacelineError, PromptTooLongError, UnknownModelError
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    ModelInfo,
    PromptParts,
    TextChunk,
    TextGenerator,
)
from paceline.server.dialects.openai_types import (
    Choice,
    CompletionReply,
    CompletionRequest,
    ModelEntry,
    ModelList,
    Usage,
)
from paceline.server.errors import ErrorBody, response_for
from paceline.server.streaming import SseResponse, run_while_connected

MAX_CHARS_PER_TOKEN = 128
"""No vocabulary packs ordinary text tighter; a longer prompt is refused before it is tokenized."""


class _Answer:
    """Builds the reply objects of one request and counts its tokens."""

    def __init__(self, model_id: str) -> None:
        self.id, self.created, self.model_id = (
            f"cmpl-{uuid.uuid4().hex}",
            int(time.time()),
            model_id,
        )
        self.usage = Usage()

    def count(self, chunk: TextChunk) -> None:
        self.usage.prompt_tokens = max(self.usage.prompt_tokens, chunk.prompt_tokens)
        self.usage.completion_tokens += chunk.num_tokens
        self.usage.total_tokens = self.usage.prompt_tokens + self.usage.completion_tokens

    def reply(self, choices: list[Choice], usage: Usage | None = None) -> CompletionReply:
        return CompletionReply(
            id=self.id, created=self.created, model=self.model_id, choices=choices, usage=usage
        )


def to_generate(body: CompletionRequest) -> tuple[PromptParts, GenerateParams]:
    """Translate a request; an absent field and a null mean OpenAI's default."""
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    parts = PromptParts(prefix=prompt, suffix=body.suffix, is_truncatable=False)
    params = GenerateParams(
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        stop=tuple(text for text in stop if text),
        seed=body.seed,
    )
    return parts, params


def refuse_hopeless(parts: PromptParts, params: GenerateParams, info: ModelInfo) -> None:
    """Refuse a prompt that cannot fit however it is tokenized: tokenizing megabytes takes seconds.

    Raises:
        PromptTooLongError: it states the fewest tokens that the prompt can have.
    """
    fewest = (len(parts.prefix) + len(parts.suffix or "")) // MAX_CHARS_PER_TOKEN
    if fewest > info.context_tokens:
        raise PromptTooLongError(
            prompt_tokens=fewest, max_tokens=params.max_tokens, context_tokens=info.context_tokens
        )


def to_finish_reason(reason: FinishReason) -> Literal["stop", "length"]:
    """OpenAI knows two reasons: the model ended, or something else did."""
    return "stop" if reason == "stop" else "length"


def create_openai_router(generator: TextGenerator) -> APIRouter:
    """Routes of this dialect."""
    router = APIRouter(tags=["OpenAI"], responses={"4XX": {"model": ErrorBody}})

    @router.get("/v1/models")
    async def list_models() -> ModelList:
        """The models that are served; the first is the default."""
        return ModelList(data=[_entry(info) for info in generator.models])

    @router.get("/v1/models/{model_id}")
    async def get_model(model_id: str) -> ModelEntry:
        """One model."""
        return _entry(_find(generator, model_id))

    @router.post("/v1/completions", response_model=CompletionReply)
    async def complete_text(body: CompletionRequest, request: Request) -> Any:
        """Continue a prompt, or fill the middle between prompt and suffix: raw model output.

        With `stream`, the answer is server-sent events: completion objects, then `[DONE]`.
        """
        parts, params = to_generate(body)
        info = _find(generator, body.model)
        refuse_hopeless(parts, params, info)
        stream = generator.stream(parts, params, model_id=info.model_id)
        answer = _Answer(info.model_id)
        if body.stream:
            is_usage_sent = bool(body.stream_options and body.stream_options.include_usage)
            return await _start_events(stream, answer, request, is_usage_sent)
        reply = await run_while_connected(request.receive, _read_all(stream, answer))
        request.state.num_tokens = answer.usage.completion_tokens
        return reply

    return router


def _find(generator: TextGenerator, model_id: str | None) -> ModelInfo:
    """The model of that name; without a name, the default."""
    for info in generator.models:
        if not model_id or info.model_id == model_id:
            return info
    known = tuple(info.model_id for info in generator.models)
    raise UnknownModelError(model_id=model_id or "", known=known)


def _entry(info: ModelInfo) -> ModelEntry:
    return ModelEntry(
        id=info.model_id,
        created=info.created_at_s,
        context_tokens=info.context_tokens,
        num_parameters=info.num_parameters,
        license=info.license,
    )


async def _read_all(stream: AsyncIterator[TextChunk], answer: _Answer) -> CompletionReply:
    text, reason = "", None
    async with open_stream(stream):
        async for chunk in stream:
            answer.count(chunk)
            text += chunk.text
            reason = chunk.finish_reason or reason
    choice = Choice(text=text, finish_reason=to_finish_reason(reason or "length"))
    return answer.reply([choice], answer.usage)


async def _start_events(
    stream: AsyncIterator[TextChunk], answer: _Answer, request: Request, is_usage_sent: bool
) -> Response:
    """Wait for the first chunk, so that a bad request still gets its status; then stream."""

    async def first_chunk() -> TextChunk | None:
        return await anext(stream, None)

    async def close() -> None:
        request.state.num_tokens = answer.usage.completion_tokens
        async with open_stream(stream):
            pass

    try:
        first = await run_while_connected(request.receive, first_chunk())
    except BaseException:
        await close()
        raise
    return SseResponse(_events(first, stream, answer, is_usage_sent), close)


async def _events(
    first: TextChunk | None,
    stream: AsyncIterator[TextChunk],
    answer: _Answer,
    is_usage_sent: bool,
) -> AsyncGenerator[str, None]:
    """Yield the data of each event."""
    chunk = first
    try:
        while chunk is not None:
            answer.count(chunk)
            reason = to_finish_reason(chunk.finish_reason) if chunk.finish_reason else None
            if chunk.text or reason:
                piece = answer.reply([Choice(text=chunk.text, finish_reason=reason)])
                yield piece.model_dump_json(exclude=None if is_usage_sent else {"usage"})
            chunk = await anext(stream, None)
    except PacelineError as error:
        yield bytes(response_for(error).body).decode()
    else:
        if is_usage_sent:
            yield answer.reply([], answer.usage).model_dump_json()
    yield "[DONE]"
