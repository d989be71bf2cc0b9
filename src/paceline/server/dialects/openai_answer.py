"""Answers of raw completions: the streams of a plan are read together and told in OpenAI's objects."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Literal

from fastapi import Request
from fastapi.responses import Response

from paceline.core.errors import PacelineError
from paceline.generate.types import FinishReason, ModelInfo, TextChunk, TextGenerator, TokenDetail
from paceline.server.caller import note_usage
from paceline.server.dialects.engines_endings import Ending, cut_stream
from paceline.server.dialects.merge import merge_streams
from paceline.server.dialects.openai_plan import Plan
from paceline.server.dialects.openai_types import (
    Choice,
    CompletionReply,
    Logprobs,
    StopReason,
    Usage,
)
from paceline.server.errors import response_for
from paceline.server.streaming import SseResponse, run_while_connected

Chunks = AsyncGenerator[tuple[int, TextChunk], None]


class Answer:
    """Builds the reply objects of one request and counts its tokens."""

    def __init__(self, model_id: str, plan: Plan) -> None:
        self.plan, self.model_id = plan, model_id
        self.id, self.created = f"cmpl-{uuid.uuid4().hex}", int(time.time())
        num_streams = len(plan.params)
        self._offsets = [0] * num_streams
        """Characters of the tokens reported so far, of each stream."""
        self._prompt_tokens, self._cached_tokens = [0] * num_streams, [0] * num_streams
        self._num_tokens, self._logprobs = [0] * num_streams, [0.0] * num_streams

    def piece(self, index: int, chunk: TextChunk) -> Choice:
        """The part of stream `index` that `chunk` brings; its tokens are counted."""
        self._prompt_tokens[index] = max(self._prompt_tokens[index], chunk.prompt_tokens)
        self._cached_tokens[index] = max(self._cached_tokens[index], chunk.cached_tokens)
        self._num_tokens[index] += chunk.num_tokens
        self._logprobs[index] += chunk.logprob
        choice = Choice(text=chunk.text, index=index)
        if chunk.finish_reason is not None:
            choice.finish_reason, choice.stop_reason = to_finish_reason(chunk.finish_reason)
        if chunk.tokens:
            choice.logprobs = Logprobs()
            for token in chunk.tokens:
                _add_token(choice.logprobs, token, self._offsets[index])
                self._offsets[index] += len(token.text)
        return choice

    @property
    def usage(self) -> Usage:
        """Each prompt counts once, however many answers it gets; each answer counts, returned or not."""
        size = self.plan.num_written
        starts = range(0, len(self._prompt_tokens), size)
        num_prompt = sum(max(self._prompt_tokens[start : start + size]) for start in starts)
        num_written = sum(self._num_tokens)
        return Usage(
            prompt_tokens=num_prompt,
            completion_tokens=num_written,
            total_tokens=num_prompt + num_written,
        )

    def note_usage(self, request: Request) -> None:
        """Say what was computed."""
        num_computed = sum(self._prompt_tokens) - sum(self._cached_tokens)
        note_usage(request, prompt_tokens=num_computed, num_tokens=sum(self._num_tokens))

    def best(self, choices: list[Choice]) -> list[Choice]:
        """Of the answers to each prompt those that are returned, the best first if more were written."""
        size, num_returned = self.plan.num_written, self.plan.num_returned
        found: list[Choice] = []
        for start in range(0, len(choices), size):
            some = choices[start : start + size]
            if num_returned < size:
                some.sort(key=lambda choice: self._mean_logprob(choice.index), reverse=True)
            found += some[:num_returned]
        return [choice.model_copy(update={"index": index}) for index, choice in enumerate(found)]

    def _mean_logprob(self, index: int) -> float:
        """Per token, so that lengths compare; nothing is known of an answer without one."""
        num_tokens = self._num_tokens[index]
        return self._logprobs[index] / num_tokens if num_tokens else -math.inf

    def reply(self, choices: list[Choice], usage: Usage | None = None) -> CompletionReply:
        """One completion object."""
        return CompletionReply(
            id=self.id, created=self.created, model=self.model_id, choices=choices, usage=usage
        )


async def answer_plan(
    generator: TextGenerator,
    plan: Plan,
    info: ModelInfo,
    request: Request,
    *,
    is_streamed: bool,
    is_usage_sent: bool = False,
    ending: Ending | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Compute all streams together and answer, in one piece or as server-sent events.

    A client that leaves stops them all within one step.

    Args:
        ending: where an answer ends before the model ends it.
    """
    streams = [
        generator.stream(plan.prompts[plan.prompt_of(index)], params, model_id=info.model_id)
        for index, params in enumerate(plan.params)
    ]
    cut = streams if ending is None else [cut_stream(stream, ending) for stream in streams]
    merged = merge_streams(cut)
    answer = Answer(info.model_id, plan)
    response: Response
    if is_streamed:
        response = await start_events(
            merged,
            request,
            events_from=lambda first: _events(first, merged, answer, is_usage_sent),
            note_usage=answer.note_usage,
            end="[DONE]",
        )
    else:
        try:
            reply = await run_while_connected(request.receive, _read_all(merged, answer))
        finally:
            answer.note_usage(request)
        response = Response(reply.model_dump_json(), media_type="application/json")
    response.headers.update(headers or {})
    return response


async def _read_all(stream: Chunks, answer: Answer) -> CompletionReply:
    plan = answer.plan
    choices = [
        Choice(text=plan.echoes[plan.prompt_of(index)], index=index)
        for index in range(len(plan.params))
    ]
    async with aclosing(stream):
        async for index, chunk in stream:
            _append(choices[index], answer.piece(index, chunk))
    for choice in choices:
        choice.finish_reason = choice.finish_reason or "length"
    return answer.reply(answer.best(choices), answer.usage)


async def start_events(
    stream: Chunks,
    request: Request,
    *,
    events_from: Callable[[tuple[int, TextChunk] | None], AsyncGenerator[str, None]],
    note_usage: Callable[[Request], None],
    end: str | None = None,
) -> SseResponse:
    """Wait for the first chunk, so that a bad request still gets its status; then stream.

    Args:
        events_from: makes the events of the first chunk and those of the rest of `stream`.
        note_usage: called when the stream is over, however it ends.
        end: the last event.
    """

    async def first_chunk() -> tuple[int, TextChunk] | None:
        return await anext(stream, None)

    async def close() -> None:
        note_usage(request)
        await stream.aclose()

    try:
        first = await run_while_connected(request.receive, first_chunk())
    except BaseException:
        await close()
        raise
    return SseResponse(events_from(first), close, end=end)


async def _events(
    first: tuple[int, TextChunk] | None, stream: Chunks, answer: Answer, is_usage_sent: bool
) -> AsyncGenerator[str, None]:
    """Yield the data of each event but the last, `[DONE]`."""
    exclude = None if is_usage_sent else {"usage"}
    plan, item = answer.plan, first
    for index in range(len(plan.params)):
        if echo := plan.echoes[plan.prompt_of(index)]:
            reply = answer.reply([Choice(text=echo, index=index)])
            yield reply.model_dump_json(exclude=exclude)
    try:
        while item is not None:
            piece = answer.piece(*item)
            if piece.text or piece.finish_reason or piece.logprobs:
                yield answer.reply([piece]).model_dump_json(exclude=exclude)
            item = await anext(stream, None)
    except PacelineError as error:
        yield bytes(response_for(error).body).decode()
    else:
        if is_usage_sent:
            yield answer.reply([], answer.usage).model_dump_json()


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


def to_finish_reason(reason: FinishReason) -> tuple[Literal["stop", "length"], StopReason]:
    """OpenAI knows two reasons: the model ended, or something else did. The second item says what."""
    if reason in ("stop", "length"):
        return reason, None
    return "length", reason
