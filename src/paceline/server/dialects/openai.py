"""OpenAI's text completions: raw model output, below the completion brain.

Defaults are OpenAI's: 16 tokens at temperature 1. With `suffix` (even an empty one) the model fills
in the middle; without it, it continues the text. What is not supported is refused by name, never
ignored; fields that neither OpenAI nor CompletionRequest has are ignored. A prompt is never cut to fit.

The n choices of a request are n streams of the generator, started together: they share its batches and
the cached prompt.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from msgspec.structs import replace

from paceline.core.errors import PacelineError, PromptTooLongError, UnknownModelError
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    ModelInfo,
    PromptParts,
    Session,
    TextChunk,
    TextGenerator,
    TokenDetail,
)
from paceline.server.context import ServerContext
from paceline.server.dialects.completions import AnyCompletionReply, CompletionBody
from paceline.server.dialects.merge import merge_streams
from paceline.server.dialects.openai_types import (
    Choice,
    CompletionReply,
    CompletionRequest,
    Logprobs,
    ModelEntry,
    ModelList,
    StopReason,
    Usage,
    require_ids,
)
from paceline.server.dialects.tabby import answer_segments
from paceline.server.dialects.tabby_types import SegmentsRequest
from paceline.server.errors import ErrorBody, response_for
from paceline.server.fields import to_session, to_top_k
from paceline.server.streaming import SseResponse, run_while_connected

_Chunks = AsyncGenerator[tuple[int, TextChunk], None]

MAX_CHARS_PER_TOKEN = 128
"""No vocabulary packs ordinary text tighter; a longer prompt is refused before it is tokenized."""


class _Answer:
    """Builds the reply objects of one request and counts its tokens."""

    def __init__(self, model_id: str, num_choices: int) -> None:
        self.id, self.created, self.model_id = (
            f"cmpl-{uuid.uuid4().hex}",
            int(time.time()),
            model_id,
        )
        self.usage = Usage()
        self._offsets = [0] * num_choices
        """Characters of the tokens reported so far, of each choice."""

    def piece(self, index: int, chunk: TextChunk) -> Choice:
        """The part of choice `index` that `chunk` brings; its tokens are counted."""
        self.usage.prompt_tokens = max(self.usage.prompt_tokens, chunk.prompt_tokens)
        self.usage.completion_tokens += chunk.num_tokens
        self.usage.total_tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        choice = Choice(text=chunk.text, index=index)
        if chunk.finish_reason is not None:
            choice.finish_reason, choice.stop_reason = to_finish_reason(chunk.finish_reason)
        if chunk.tokens:
            choice.logprobs = Logprobs()
            for token in chunk.tokens:
                _add_token(choice.logprobs, token, self._offsets[index])
                self._offsets[index] += len(token.text)
        return choice

    def reply(self, choices: list[Choice], usage: Usage | None = None) -> CompletionReply:
        return CompletionReply(
            id=self.id, created=self.created, model=self.model_id, choices=choices, usage=usage
        )


def _add_token(logprobs: Logprobs, token: TokenDetail, offset: int) -> None:
    logprobs.tokens.append(token.text)
    logprobs.token_logprobs.append(token.logprob)
    # From the least probable on: of two ids with the same text, the likelier one is reported.
    top = dict(reversed(token.alternatives))
    logprobs.top_logprobs.append(top | {token.text: token.logprob})
    logprobs.text_offset.append(offset)


def _append(choice: Choice, piece: Choice) -> None:
    """Add a later piece of the same choice to it."""
    choice.text += piece.text
    choice.finish_reason = piece.finish_reason or choice.finish_reason
    choice.stop_reason = piece.stop_reason or choice.stop_reason
    if piece.logprobs is None:
        return
    if choice.logprobs is None:
        choice.logprobs = Logprobs()
    choice.logprobs.tokens += piece.logprobs.tokens
    choice.logprobs.token_logprobs += piece.logprobs.token_logprobs
    choice.logprobs.top_logprobs += piece.logprobs.top_logprobs
    choice.logprobs.text_offset += piece.logprobs.text_offset


def to_generate(body: CompletionRequest) -> tuple[PromptParts, list[GenerateParams]]:
    """Translate a request to a prompt and the parameters of each choice.

    An absent field and a null mean OpenAI's default.
    """
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if isinstance(body.prompt, str):
        parts = PromptParts(prefix=body.prompt, suffix=body.suffix, is_truncatable=False)
    else:
        parts = PromptParts(prefix="", is_truncatable=False, prompt_ids=body.prompt)
    params = GenerateParams(
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        stop=tuple(text for text in stop if text),
        seed=body.seed,
        top_k=to_top_k(body.top_k),
        top_p=1.0 if body.top_p is None else body.top_p,
        min_p=body.min_p or 0.0,
        num_top_logprobs=body.logprobs,
        is_end_ignored=bool(body.ignore_eos),
        session=to_session(body.session_id, body.document_id),
        lane=body.lane or "interactive",
        user_id=body.user or body.session_id or "",
    )
    return parts, [_params_of_choice(params, index) for index in range(body.n or 1)]


def _params_of_choice(params: GenerateParams, index: int) -> GenerateParams:
    """Choice 0 is what a request for one choice gives. The choices do not supersede each other: each
    is a document of its own."""
    session = params.session
    if index and session is not None:
        session = Session(session.session_id, f"{session.document_id}\0{index}")
    seed = None if params.seed is None else params.seed + index
    return replace(params, seed=seed, session=session)


def refuse_hopeless(parts: PromptParts, params: GenerateParams, info: ModelInfo) -> None:
    """Refuse a prompt that cannot fit however it is tokenized: tokenizing megabytes takes seconds.

    Raises:
        PromptTooLongError: it states the fewest tokens that the prompt can have.
    """
    fewest = (len(parts.prefix) + len(parts.suffix or "")) // MAX_CHARS_PER_TOKEN
    fewest = len(parts.prompt_ids) if parts.prompt_ids is not None else fewest
    if fewest > info.context_tokens:
        raise PromptTooLongError(
            prompt_tokens=fewest, max_tokens=params.max_tokens, context_tokens=info.context_tokens
        )


def _require_ids(prompt_ids: Sequence[object]) -> None:
    """Refuse what is no id, as the request's own checks refuse it."""
    try:
        require_ids(prompt_ids)
    except ValueError as cause:
        problem = {"type": "value_error", "loc": ("body", "prompt"), "msg": str(cause)}
        raise RequestValidationError([problem]) from cause


def to_finish_reason(reason: FinishReason) -> tuple[Literal["stop", "length"], StopReason]:
    """OpenAI knows two reasons: the model ended, or something else did. The second item says what."""
    if reason in ("stop", "length"):
        return reason, None
    return "length", reason


def create_openai_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    generator = server.generator
    router = APIRouter(tags=["OpenAI"], responses={"4XX": {"model": ErrorBody}})

    @router.get("/v1/models")
    async def list_models() -> ModelList:
        """The models that are served; the first is the default."""
        return ModelList(data=[_entry(info) for info in generator.models])

    @router.get("/v1/models/{model_id}")
    async def get_model(model_id: str) -> ModelEntry:
        """One model."""
        return _entry(_find(generator, model_id))

    @router.post("/v1/completions", response_model=AnyCompletionReply)
    async def complete_text(body: CompletionBody, request: Request) -> Any:
        """Continue a prompt, or fill the middle between prompt and suffix: raw model output.

        With `stream`, the answer is server-sent events: completion objects, then `[DONE]`. A body with
        `segments` is Tabby's, and is answered in its form.
        """
        if isinstance(body, SegmentsRequest):
            return await answer_segments(server, body, request)
        parts, params = to_generate(body)
        info = _find(generator, body.model)
        refuse_hopeless(parts, params[0], info)
        _require_ids(parts.prompt_ids or ())
        stream = merge_streams(
            [generator.stream(parts, each, model_id=info.model_id) for each in params]
        )
        answer = _Answer(info.model_id, len(params))
        if body.stream:
            is_usage_sent = bool(body.stream_options and body.stream_options.include_usage)
            return await _start_events(stream, answer, request, is_usage_sent)
        work = _read_all(stream, answer, len(params))
        reply = await run_while_connected(request.receive, work)
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


async def _read_all(stream: _Chunks, answer: _Answer, num_choices: int) -> CompletionReply:
    choices = [Choice(text="", index=index) for index in range(num_choices)]
    async with aclosing(stream):
        async for index, chunk in stream:
            _append(choices[index], answer.piece(index, chunk))
    for choice in choices:
        choice.finish_reason = choice.finish_reason or "length"
    return answer.reply(choices, answer.usage)


async def _start_events(
    stream: _Chunks, answer: _Answer, request: Request, is_usage_sent: bool
) -> Response:
    """Wait for the first chunk, so that a bad request still gets its status; then stream."""

    async def first_chunk() -> tuple[int, TextChunk] | None:
        return await anext(stream, None)

    async def close() -> None:
        request.state.num_tokens = answer.usage.completion_tokens
        await stream.aclose()

    try:
        first = await run_while_connected(request.receive, first_chunk())
    except BaseException:
        await close()
        raise
    events = _events(first, stream, answer, is_usage_sent)
    return SseResponse(events, close, end="[DONE]")


async def _events(
    first: tuple[int, TextChunk] | None, stream: _Chunks, answer: _Answer, is_usage_sent: bool
) -> AsyncGenerator[str, None]:
    """Yield the data of each event but the last, `[DONE]`."""
    item = first
    try:
        while item is not None:
            piece = answer.piece(*item)
            if piece.text or piece.finish_reason or piece.logprobs:
                reply = answer.reply([piece])
                yield reply.model_dump_json(exclude=None if is_usage_sent else {"usage"})
            item = await anext(stream, None)
    except PacelineError as error:
        yield bytes(response_for(error).body).decode()
    else:
        if is_usage_sent:
            yield answer.reply([], answer.usage).model_dump_json()
