"""llama.cpp's `/completion`: raw model output, below the completion brain, as Continue asks for it.

Nothing is post-processed. The sampling has llama.cpp's defaults (temperature 0.8, top_k 40, top_p 0.95, min_p
0.05), not those of `/infill`. Clients set their limits for other windows than this model's: a prompt that does not fit
is cut at its far end, and at most half of the window is written.
A prompt that holds some model family's sentinels as text, as Continue's do, is read as what it means.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from paceline.complete.generation import Progress
from paceline.core.errors import PacelineError
from paceline.generate.types import ModelInfo, TextChunk, TextGenerator
from paceline.server.caller import caller_of, note_usage
from paceline.server.context import ServerContext
from paceline.server.dialects.engines_endings import cut_stream, ending_by_indent
from paceline.server.dialects.llama_cpp_params import to_model, to_params
from paceline.server.dialects.llama_cpp_reply import (
    STOP_TYPES,
    compact,
    select_fields,
    to_slot,
    to_timings,
)
from paceline.server.dialects.llama_cpp_types import (
    GenerationSettings,
    RawReply,
    RawRequest,
    Selected,
)
from paceline.server.dialects.merge import merge_streams
from paceline.server.dialects.openai_answer import Chunks, start_events
from paceline.server.dialects.openai_prompts import check_parts, find_model, parts_of
from paceline.server.errors import response_for
from paceline.server.openapi import STREAMED
from paceline.server.streaming import run_while_connected


def add_raw_routes(router: APIRouter, server: ServerContext) -> None:
    """Add POST /completion to llama.cpp's routes."""
    generator = server.generator

    @router.post("/completion", response_model=RawReply | Selected, responses=STREAMED)
    async def continue_text(body: RawRequest, request: Request) -> Response:
        """Continue a prompt: raw model output. With `stream`, as server-sent events."""
        info = find_model(generator, to_model(body, generator.models))
        stream = _open(body, request, generator, info)
        answer = _Answer(body, info)
        if body.stream:
            return await start_events(
                stream,
                request,
                events_from=lambda first: _events(first, stream, answer),
                note_usage=answer.note_usage,
            )
        try:
            await run_while_connected(request.receive, _read_all(stream, answer))
        finally:
            answer.note_usage(request)
        return JSONResponse(select_fields(answer.reply().model_dump(), body.response_fields))


class _Answer:
    """What has been written so far, and since when."""

    def __init__(self, body: RawRequest, info: ModelInfo) -> None:
        self.body, self._info = body, info
        self._progress = Progress(finish_reason="length")
        self._started_ms = _now_ms()

    def add(self, chunk: TextChunk) -> str:
        """Count `chunk`; return the text to send, which is none if the request only warms."""
        self._progress.add(chunk, _now_ms())
        if chunk.finish_reason is not None:
            self._progress.finish_reason = chunk.finish_reason
        return "" if self.body.n_predict == 0 else chunk.text

    def reply(self) -> RawReply:
        """The whole answer."""
        progress, body = self._progress, self.body
        finished_ms = _now_ms()
        first_ms = finished_ms if progress.first_text_ms is None else progress.first_text_ms
        return RawReply(
            content="" if body.n_predict == 0 else progress.text,
            id_slot=to_slot(body.id_slot),
            model=self._info.model_id,
            tokens_predicted=progress.num_tokens,
            tokens_evaluated=progress.prompt_tokens,
            tokens_cached=progress.cached_tokens,
            generation_settings=GenerationSettings(n_ctx=self._info.context_tokens),
            stop_type=STOP_TYPES[progress.finish_reason],
            timings=to_timings(
                prompt_tokens=progress.prompt_tokens,
                cached_tokens=progress.cached_tokens,
                num_tokens=progress.num_tokens,
                ttft_ms=first_ms - self._started_ms,
                latency_ms=finished_ms - self._started_ms,
            ),
        )

    def note_usage(self, request: Request) -> None:
        """Say what was computed."""
        progress = self._progress
        num_computed = progress.prompt_tokens - progress.cached_tokens
        note_usage(request, prompt_tokens=num_computed, num_tokens=progress.num_tokens)


def _now_ms() -> float:
    return time.perf_counter() * 1000


def _open(body: RawRequest, request: Request, generator: TextGenerator, info: ModelInfo) -> Chunks:
    """The stream of chunks; closing it cancels the work."""
    (prompt,) = body.prompt
    parts = parts_of(prompt, is_truncatable=True)
    params = to_params(body, caller_of(request), info.context_tokens)
    check_parts(parts, params, info)
    stream: AsyncIterator[TextChunk] = generator.stream(parts, params, model_id=info.model_id)
    if params.stop_when is not None:
        stream = cut_stream(stream, ending_by_indent(body.n_indent or 0))
    return merge_streams([stream])


async def _read_all(stream: Chunks, answer: _Answer) -> None:
    async with aclosing(stream):
        async for _, chunk in stream:
            answer.add(chunk)


async def _events(
    first: tuple[int, TextChunk] | None, stream: Chunks, answer: _Answer
) -> AsyncGenerator[str, None]:
    """Each piece of text, then the figures."""
    item = first
    try:
        while item is not None:
            if text := answer.add(item[1]):
                yield compact({"index": 0, "content": text, "stop": False}, None)
            item = await anext(stream, None)
    except PacelineError as error:
        yield bytes(response_for(error).body).decode()
    else:
        last = answer.reply().model_dump() | {"content": ""}
        yield compact(last, answer.body.response_fields)
