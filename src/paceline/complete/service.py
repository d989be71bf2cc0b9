"""Cursor to completion: prompt parts, a stream that is closed as soon as possible, post-processing.

The same rules that end a completion go down to the generator as its `stop_when`, so that nothing is
computed that would be cut, and the latency limit as its deadline.

Knows no model, no ids and no HTTP; it asks a TextGenerator. Raises only what the generator raises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from msgspec.structs import replace

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
    Session,
    TextChunk,
    TextGenerator,
)

DROPPED: tuple[FinishReason, ...] = ("superseded", "cancelled")
"""Ends after which nobody waits for the text: a newer request answers, or the client left."""


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One ask. None leaves a choice to the service's config."""

    cursor: Cursor
    mode: Mode = "single_line"
    snippets: tuple[Snippet, ...] = ()
    model_id: str | None = None
    max_tokens: int | None = None
    max_latency_ms: float | None = None
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    session: Session | None = None
    """Which document this is: the newest request for it supersedes older ones."""
    user_id: str = ""


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
    logprob: float = 0.0
    """Sum of the natural log-probabilities of all `num_tokens`, shown or not."""
    mean_logprob: float | None = None
    """The same per token, so that lengths compare; None without a token."""


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
        progress = await self._generate(self.prompt_parts(request), self._params(request), request)
        return self._completion(_judge(progress, request), progress, request, started_ms)

    async def warm(self, request: CompleteRequest) -> Completion:
        """Compute the prompt of `request` and keep nothing but the cache; the completion is empty.

        It supersedes nothing, and runs in the batch lane: nobody who types waits for it. A document
        without text, but with snippets, warms these. Nothing at all is answered without work.

        Raises: as `complete`, but not EmptyPromptError.
        """
        started_ms = self._now_ms()
        progress = _Progress(finish_reason="length")
        if request.cursor.document.text or request.snippets:
            params = replace(
                self._params(request),
                max_tokens=1,
                stop=(),
                stop_when=None,
                session=None,
                lane="batch",
            )
            parts = self._parts(request)
            if not parts.prefix and not parts.suffix:
                parts = replace(parts, prefix="\n")
            progress = await self._generate(parts, params, request)
        return self._completion(None, progress, request, started_ms)

    def _completion(
        self,
        result: Candidate | Drop | None,
        progress: _Progress,
        request: CompleteRequest,
        started_ms: float,
    ) -> Completion:
        finished_ms = self._now_ms()
        first_ms = finished_ms if progress.first_text_ms is None else progress.first_text_ms
        return Completion(
            text=result.text if isinstance(result, Candidate) else "",
            drop=result if isinstance(result, Drop) else None,
            mode=request.mode,
            model_id=request.model_id or self._generator.models[0].model_id,
            num_tokens=progress.num_tokens,
            prompt_tokens=progress.prompt_tokens,
            cached_tokens=progress.cached_tokens,
            finish_reason=progress.finish_reason,
            latency_ms=finished_ms - started_ms,
            ttft_ms=first_ms - started_ms,
            logprob=progress.logprob,
            mean_logprob=progress.logprob / progress.num_tokens if progress.num_tokens else None,
        )

    async def _generate(
        self, parts: PromptParts, params: GenerateParams, request: CompleteRequest
    ) -> _Progress:
        limit_ms = params.max_latency_ms
        timer = asyncio.timeout((limit_ms + self.config.backstop_ms) / 1000 if limit_ms else None)
        progress = _Progress()
        stream = self._generator.stream(parts, params, model_id=request.model_id)
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
        """Read until the model ends or the end of the completion is certain.

        Generators need not know `stop_when`, so the end is looked for here too; where it is certain,
        it does not matter how the stream went on.
        """
        async for chunk in stream:
            progress.add(chunk, self._now_ms())
            if certain_end(progress.text, request.cursor, request.mode) is not None:
                progress.finish_reason = "stop"
                return
            if chunk.finish_reason is not None:
                progress.finish_reason = chunk.finish_reason
                return

    def prompt_parts(self, request: CompleteRequest) -> PromptParts:
        """What the model gets to see: text around the cursor, with line feeds alone as line ends.

        Raises:
            EmptyPromptError: there is none.
        """
        if not request.cursor.document.text:
            raise EmptyPromptError
        return self._parts(request)

    def _parts(self, request: CompleteRequest) -> PromptParts:
        text, offset = request.cursor.document.text, request.cursor.offset
        prefix = text[max(offset - self.config.max_prefix_chars, 0) : offset]
        suffix = text[offset : offset + self.config.max_suffix_chars]
        return PromptParts(
            prefix=prefix.replace("\r\n", "\n"),
            suffix=suffix.replace("\r\n", "\n"),
            snippets=request.snippets,
        )

    def _params(self, request: CompleteRequest) -> GenerateParams:
        wanted = request.max_tokens or self.config.max_tokens(request.mode)
        cursor, mode = request.cursor, request.mode

        def is_ended(text: str) -> bool:
            return certain_end(text, cursor, mode) is not None

        return GenerateParams(
            max_tokens=min(wanted, self._generator.models[0].context_tokens // 2),
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            min_p=request.min_p,
            stop=request.stop,
            seed=request.seed,
            max_prompt_tokens=self.config.max_prompt_tokens,
            max_latency_ms=request.max_latency_ms or self.config.max_latency_ms,
            stop_when=is_ended,
            stop_kind=mode,
            session=request.session,
            user_id=request.user_id,
        )


def _judge(progress: _Progress, request: CompleteRequest) -> Candidate | Drop:
    """What is shown of the text, or why nothing is."""
    if progress.finish_reason in DROPPED:
        return Drop(progress.finish_reason)
    candidate = Candidate(
        text=progress.text,
        num_tokens=progress.num_tokens,
        logprob=progress.logprob,
        finish_reason=progress.finish_reason,
    )
    return postprocess(candidate, request.cursor, request.mode)
