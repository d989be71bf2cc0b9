"""Runs one stream of the generator to its end, or to where the completion is certain to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from paceline.core.types import Candidate
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    PromptParts,
    TextChunk,
    TextGenerator,
)


class Progress(msgspec.Struct):
    """What the stream has brought so far."""

    text: str = ""
    num_tokens: int = 0
    logprob: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason = "deadline"
    first_text_ms: float | None = None
    is_ended_by_model: bool = False
    """Did the model itself say that it is done?"""

    def add(self, chunk: TextChunk, now_ms: float) -> None:
        """Append one chunk that arrived at `now_ms`."""
        self.text += chunk.text
        self.num_tokens += chunk.num_tokens
        self.logprob += chunk.logprob
        self.prompt_tokens = max(self.prompt_tokens, chunk.prompt_tokens)
        self.cached_tokens = max(self.cached_tokens, chunk.cached_tokens)
        if self.first_text_ms is None and chunk.text:
            self.first_text_ms = now_ms

    @property
    def mean_logprob(self) -> float | None:
        """Per token; None without one."""
        return self.logprob / self.num_tokens if self.num_tokens else None

    def candidate(self) -> Candidate:
        """What post-processing starts from."""
        return Candidate(
            text=self.text,
            num_tokens=self.num_tokens,
            logprob=self.logprob,
            finish_reason=self.finish_reason,
        )


@asynccontextmanager
async def open_stream(stream: AsyncIterator[TextChunk]) -> AsyncGenerator[AsyncIterator[TextChunk]]:
    """Close `stream` on leaving, which cancels the engine's work for it."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def generate(
    generator: TextGenerator,
    parts: PromptParts,
    params: GenerateParams,
    *,
    model_id: str | None,
    backstop_ms: float,
    now_ms: Callable[[], float],
) -> Progress:
    """Read until the model ends, the end is certain, or the time is up by more than `backstop_ms`.

    Generators need not know `stop_when`, so the end is looked for here too; where it is certain, it does
    not matter how the stream went on. Raises what the generator raises.
    """
    limit_ms = params.max_latency_ms
    timer = asyncio.timeout((limit_ms + backstop_ms) / 1000 if limit_ms else None)
    progress = Progress()
    async with open_stream(generator.stream(parts, params, model_id=model_id)) as stream:
        try:
            async with timer:
                await _read(stream, params, progress, now_ms)
        except TimeoutError:
            if not timer.expired():
                raise
    return progress


async def _read(
    stream: AsyncIterator[TextChunk],
    params: GenerateParams,
    progress: Progress,
    now_ms: Callable[[], float],
) -> None:
    async for chunk in stream:
        progress.add(chunk, now_ms())
        if params.stop_when is not None and params.stop_when(progress.text):
            progress.finish_reason = "stop"
            return
        if chunk.finish_reason is not None:
            progress.finish_reason = chunk.finish_reason
            progress.is_ended_by_model = chunk.finish_reason == "stop" and not params.stop
            return
