"""A generator that remembers: the same prompt is computed once, however many variants of the brain ask it.

Greedy text is a function of the prompt, so what one variant read, another may read again. A variant that
stops later than any before makes the rest be computed. Times are those of the first reading: the clock
is moved by them, so that latencies stay what they were.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from paceline.evals.replay.clock import ReplayClock
from paceline.generate.types import (
    GenerateParams,
    ModelInfo,
    PromptParts,
    TextChunk,
    TextGenerator,
)


class _Heard(msgspec.Struct):
    """What was read for one prompt."""

    chunks: list[tuple[float, TextChunk]]
    """Each with the time since the request."""
    is_whole: bool = False
    """Did the model itself end there?"""


class MemoGenerator:
    """Wraps a greedy generator. Requests that draw at random pass through."""

    def __init__(self, inner: TextGenerator, clock: ReplayClock) -> None:
        self._inner, self._clock = inner, clock
        self._heard: dict[Any, _Heard] = {}
        self.num_computed = 0
        """Requests that the inner generator had to answer."""
        self.num_tokens = 0
        """Tokens that readers were given, computed or remembered."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The inner generator's."""
        return self._inner.models

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Continue `parts`, from memory as far as it reaches."""
        if params.temperature > 0:
            async for chunk in self._inner.stream(parts, params, model_id=model_id):
                yield chunk
            return
        key = (parts, params.max_tokens, params.stop, params.max_prompt_tokens, model_id)
        heard = self._heard.get(key)
        if heard is None or not _reaches(heard, params):
            heard = self._heard[key] = await self._compute(parts, params, model_id)
            began_ms = None
        else:
            began_ms = self._clock.now_ms()
        text = ""
        for at_ms, chunk in heard.chunks:
            if began_ms is not None:
                self._clock.skip(at_ms - (self._clock.now_ms() - began_ms))
            text += chunk.text
            self.num_tokens += chunk.num_tokens
            if params.stop_when is not None and params.stop_when(text):
                yield replace(chunk, finish_reason="stop")
                return
            yield chunk

    async def _compute(
        self, parts: PromptParts, params: GenerateParams, model_id: str | None
    ) -> _Heard:
        """Ask the inner generator, and read to its end. Its own time passes for the caller."""
        self.num_computed += 1
        started_ms = self._clock.now_ms()
        heard = _Heard([])
        # Without a session: replays of several traces must not supersede each other.
        quiet = replace(params, session=None, max_latency_ms=None)
        stream = self._inner.stream(parts, quiet, model_id=model_id)
        async with aclosing(cast(AsyncGenerator[TextChunk, None], stream)) as chunks:
            text = ""
            async for chunk in chunks:
                heard.chunks.append((self._clock.now_ms() - started_ms, chunk))
                text += chunk.text
                if params.stop_when is not None and params.stop_when(text):
                    return heard
                if chunk.finish_reason is not None:
                    heard.is_whole = not (params.stop_when and params.stop_when(text))
        return heard


def _reaches(heard: _Heard, params: GenerateParams) -> bool:
    """Is enough remembered for a reader who stops by `params.stop_when`?"""
    if heard.is_whole or params.stop_when is None:
        return heard.is_whole
    text = ""
    for _, chunk in heard.chunks:
        text += chunk.text
        if params.stop_when(text):
            return True
    return False
