"""Cursor to completion: prompt parts, a stream that is closed as soon as possible, post-processing.

Knows no model, no ids and no HTTP; it asks a TextGenerator. Raises only what the generator raises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from paceline.complete.config import CompleteConfig
from paceline.complete.ending import certain_end
from paceline.complete.modes import Mode
from paceline.complete.postprocess import postprocess
from paceline.core.errors import EmptyPromptError
from paceline.core.types import Candidate, Cursor, Drop, Snippet
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    PromptParts,
    TextChunk,
    TextGenerator,
)


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One ask. None leaves a choice to the service's config."""

    cursor: Cursor
    mode: Mode = "single_line"
    snippets: tuple[Snippet, ...] = ()
    model_id: str | None = None
    max_tokens: int | None = None
    max_latency_ms: float | None = None
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What to show, or why nothing, and what it cost."""

    text: str
    drop: Drop | None
    mode: Mode
    model_id: str
    num_tokens: int
    """Tokens that the model produced, shown or not."""
    prompt_tokens: int
    cached_tokens: int
    finish_reason: FinishReason
    latency_ms: float
    ttft_ms: float
    """To the first text; the whole latency if there was none."""


class _Progress(msgspec.Struct):
    """What the stream has brought so far."""

    text: str = ""
    num_tokens: int = 0
    logprob: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason = "deadline"
    first_text_ms: float | None = None

    def add(self, chunk: TextChunk, now_ms: float) -> None:
        """Append one chunk that arrived at `now_ms`."""
        self.text += chunk.text
        self.num_tokens += chunk.num_tokens
        self.logprob += chunk.logprob
        self.prompt_tokens = max(self.prompt_tokens, chunk.prompt_tokens)
        self.cached_tokens = max(self.cached_tokens, chunk.cached_tokens)
        if self.first_text_ms is None and chunk.text:
            self.first_text_ms = now_ms


def monotonic_ms() -> float:
    """Milliseconds since an arbitrary start."""
    return time.perf_counter() * 1000


@asynccontextmanager
async def open_stream(stream: AsyncIterator[TextChunk]) -> AsyncGenerator[AsyncIterator[TextChunk]]:
    """Close `stream` on leaving, which cancels the engine's work for it."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


class Service:
    """Answers completion requests with one generator."""

    def __init__(
        self,
        generator: TextGenerator,
        config: CompleteConfig | None = None,
        *,
        now_ms: Callable[[], float] = monotonic_ms,
    ) -> None:
        self.config = config or CompleteConfig()
        self._generator = generator
        self._now_ms = now_ms

    async def complete(self, request: CompleteRequest) -> Completion:
        """Return the completion at the request's cursor.

        Cancelling the task that waits for it cancels the engine's work too.

        Raises:
            EmptyPromptError: the document is empty.
            UnknownModelError: no model of that name is served.
        """
        started_ms = self._now_ms()
        progress = await self._generate(request)
        candidate = Candidate(
            text=progress.text,
            num_tokens=progress.num_tokens,
            logprob=progress.logprob,
            finish_reason=progress.finish_reason,
        )
        result = postprocess(candidate, request.cursor, request.mode)
        finished_ms = self._now_ms()
        first_ms = finished_ms if progress.first_text_ms is None else progress.first_text_ms
        return Completion(
            text="" if isinstance(result, Drop) else result.text,
            drop=result if isinstance(result, Drop) else None,
            mode=request.mode,
            model_id=request.model_id or self._generator.models[0].model_id,
            num_tokens=progress.num_tokens,
            prompt_tokens=progress.prompt_tokens,
            cached_tokens=progress.cached_tokens,
            finish_reason=progress.finish_reason,
            latency_ms=finished_ms - started_ms,
            ttft_ms=first_ms - started_ms,
        )

    async def _generate(self, request: CompleteRequest) -> _Progress:
        limit_ms = request.max_latency_ms or self.config.max_latency_ms
        timer = asyncio.timeout(limit_ms / 1000 if limit_ms else None)
        progress = _Progress()
        stream = self._generator.stream(
            self.prompt_parts(request), self._params(request), model_id=request.model_id
        )
        async with open_stream(stream):
            try:
                async with timer:
                    await self._read(stream, request, progress)
            except TimeoutError:
                if not timer.expired():
                    raise
        return progress

    async def _read(
        self, stream: AsyncIterator[TextChunk], request: CompleteRequest, progress: _Progress
    ) -> None:
        """Read until the model ends or the end of the completion is certain."""
        async for chunk in stream:
            progress.add(chunk, self._now_ms())
            if chunk.finish_reason is not None:
                progress.finish_reason = chunk.finish_reason
                return
            if certain_end(progress.text, request.cursor, request.mode) is not None:
                progress.finish_reason = "stop"
                return

    def prompt_parts(self, request: CompleteRequest) -> PromptParts:
        """What the model gets to see: text around the cursor, with line feeds alone as line ends.

        Raises:
            EmptyPromptError: there is none.
        """
        text, offset = request.cursor.document.text, request.cursor.offset
        if not text:
            raise EmptyPromptError
        prefix = text[max(offset - self.config.max_prefix_chars, 0) : offset]
        suffix = text[offset : offset + self.config.max_suffix_chars]
        return PromptParts(
            prefix=prefix.replace("\r\n", "\n"),
            suffix=suffix.replace("\r\n", "\n"),
            snippets=request.snippets,
        )

    def _params(self, request: CompleteRequest) -> GenerateParams:
        wanted = request.max_tokens or self.config.max_tokens(request.mode)
        return GenerateParams(
            max_tokens=min(wanted, self._generator.models[0].context_tokens // 2),
            temperature=request.temperature,
            stop=request.stop,
            seed=request.seed,
            max_prompt_tokens=self.config.max_prompt_tokens,
        )
