"""Runs one stream of the generator to its end, or to where the completion is certain to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from paceline.complete.confidence import Confidence
from paceline.core.types import Candidate
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    PromptParts,
    TextChunk,
    TextGenerator,
)

UNSURE = "unsure"
"""Finish reason of a candidate that was cut where it became unlikely."""


class Progress(msgspec.Struct):
    """What the stream has brought so far."""

    text: str = ""
    num_tokens: int = 0
    logprob: float = 0.0
    token_logprobs: list[float] = []
    """Of each token; fewer than `num_tokens` if the generator does not say."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason = "deadline"
    first_text_ms: float | None = None
    confident_end: int | None = None
    """Where the text should end because what follows is too unlikely; None: nowhere."""
    num_confident_tokens: int = 0
    confident_logprob: float = 0.0
    """Of the text before that end, as far as whole tokens go."""
    is_ended_by_model: bool = False
    """Did the model itself say that it is done?"""

    def add(self, chunk: TextChunk, now_ms: float) -> None:
        """Append one chunk that arrived at `now_ms`."""
        self.text += chunk.text
        self.num_tokens += chunk.num_tokens
        self.logprob += chunk.logprob
        self.token_logprobs += (logprob for _, logprob in chunk.marks)
        self.prompt_tokens = max(self.prompt_tokens, chunk.prompt_tokens)
        self.cached_tokens = max(self.cached_tokens, chunk.cached_tokens)
        if self.first_text_ms is None and chunk.text:
            self.first_text_ms = now_ms

    def end_confidently(self, confidence: Confidence) -> None:
        """Take over where the text should end."""
        self.confident_end = confidence.finish()
        self.num_confident_tokens = confidence.num_tokens
        self.confident_logprob = confidence.logprob

    @property
    def mean_logprob(self) -> float | None:
        """Per token; None without one."""
        return self.logprob / self.num_tokens if self.num_tokens else None

    def candidate(self) -> Candidate:
        """What post-processing starts from: the text as far as it is likely enough."""
        if self.confident_end is not None:
            return Candidate(
                text=self.text[: self.confident_end],
                num_tokens=self.num_confident_tokens,
                logprob=self.confident_logprob,
                finish_reason=UNSURE,
            )
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
    confidence: Confidence | None = None,
) -> Progress:
    """Read until the model ends, the end is certain, what follows is too unlikely (`confidence`), or the time
    is up by more than `backstop_ms`.

    Generators need not know `stop_when`, so the end is looked for here too; where it is certain, it does
    not matter how the stream went on. Raises what the generator raises.
    """
    limit_ms = params.max_latency_ms
    timer = asyncio.timeout((limit_ms + backstop_ms) / 1000 if limit_ms else None)
    progress = Progress()
    async with open_stream(generator.stream(parts, params, model_id=model_id)) as stream:
        try:
            async with timer:
                await _read(stream, params, progress, now_ms, confidence)
        except TimeoutError:
            if not timer.expired():
                raise
    if confidence is not None:
        progress.end_confidently(confidence)
    return progress


async def _read(
    stream: AsyncIterator[TextChunk],
    params: GenerateParams,
    progress: Progress,
    now_ms: Callable[[], float],
    confidence: Confidence | None,
) -> None:
    async for chunk in stream:
        if confidence is not None:
            _weigh(chunk, confidence)
            if confidence.end is not None:
                progress.add(chunk, now_ms())
                progress.finish_reason = "stop"
                return
        progress.add(chunk, now_ms())
        if params.stop_when is not None and params.stop_when(progress.text):
            progress.finish_reason = "stop"
            return
        if chunk.finish_reason is not None:
            progress.finish_reason = chunk.finish_reason
            progress.is_ended_by_model = chunk.finish_reason == "stop" and not params.stop
            return


def _weigh(chunk: TextChunk, confidence: Confidence) -> None:
    """Tell `confidence` of each token, or of the chunk as one if nothing is known of them."""
    if not chunk.marks:
        confidence.add(chunk.text, chunk.logprob, chunk.num_tokens)
        return
    start = 0
    for num_after, logprob in chunk.marks:
        end = len(chunk.text) - num_after
        confidence.add(chunk.text[start:end], logprob)
        start = end
    if start < len(chunk.text):
        confidence.add(chunk.text[start:], 0.0, 0)
