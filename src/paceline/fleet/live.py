"""One sequence of the engine whose text may answer several requests (type-through).

    request 1   prefix "x = fo"    text  "o(bar)"
    request 2   prefix "x = foo("  typed "o("  agrees with it: reads the same text from there

Text is compared here, once; the engine only hears that a sequence goes on, ends or is cancelled.
Everything runs on one asyncio loop. Whichever reader waits first reads from the engine for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from msgspec.structs import replace

from paceline.core.errors import PacelineError
from paceline.engine.params import FinishReason as EngineReason
from paceline.engine.prefix_cache import common_tokens
from paceline.engine.stream import Token, TokenStream
from paceline.fleet.chunks import ChunkAssembler
from paceline.generate.types import FinishReason, GenerateParams, PromptParts, TextChunk

TAIL_CHARS = 256
"""Text before the cursor by which an older request of the same document is recognised."""
MAX_TYPED_TOKENS = 64
"""Prompts of ids that differ in more ids at their ends are not of one place."""

_REASONS: dict[EngineReason, FinishReason] = {
    EngineReason.STOP: "stop",
    EngineReason.LENGTH: "length",
    EngineReason.CANCELLED: "cancelled",
    EngineReason.SUPERSEDED: "superseded",
    EngineReason.DEADLINE: "deadline",
}


class DivergedError(Exception):
    """What was typed is not what the sequence writes. Never leaves the fleet."""


class LiveText:
    """The text of one sequence while it grows, and who reads it."""

    def __init__(
        self,
        parts: PromptParts,
        params: GenerateParams,
        stream: TokenStream,
        assembler: ChunkAssembler,
        *,
        prompt_tokens: int,
    ) -> None:
        self.parts, self.params, self.stream = parts, params, stream
        self.prompt_tokens = prompt_tokens
        self.text = ""
        self.is_done = False
        self._assembler = assembler
        self._chunks: list[TextChunk] = []
        self._turn = asyncio.Lock()
        self._num_readers = 0
        self._error: PacelineError | None = None

    def typed_since(self, parts: PromptParts, decode: Callable[[Sequence[int]], str]) -> str | None:
        """What `parts` has more before the cursor than this text's own prompt; None if it is another
        place."""
        old = self.parts
        if parts.prompt_ids is not None and old.prompt_ids is not None:
            return _typed_ids(old.prompt_ids, parts.prompt_ids, decode)
        if (parts.suffix, parts.snippets) != (old.suffix, old.snippets):
            return None
        if parts.prefix.startswith(old.prefix):
            return parts.prefix[len(old.prefix) :]
        tail = old.prefix[-TAIL_CHARS:]  # the window on the document may have moved on
        end = parts.prefix.rfind(tail) + len(tail)
        if end < len(tail) or not old.prefix.endswith(parts.prefix[:end]):
            return None
        return parts.prefix[end:]

    def agrees(self, typed: str) -> bool:
        """Does, or may still, the text begin with `typed`?"""
        return self.text.startswith(typed) or (not self.is_done and typed.startswith(self.text))

    async def follow(self, typed: str) -> AsyncGenerator[TextChunk, None]:
        """Yield the text after `typed`; the first chunk is marked with the prompt's figures.

        The last reader to leave ends the sequence: nobody wants it any more.

        Raises:
            DivergedError: before the first chunk, if the text turns out to disagree with `typed`, or
                to have nothing but blanks after it: where this text ends, a new one may go on.
        """
        self._num_readers += 1
        try:
            num_chars = index = 0
            is_first = True
            while True:
                while self._is_waited_for(typed, index):
                    await self._advance(len(self._chunks))
                if not self.agrees(typed) or (typed and not self._has_more_than(typed)):
                    raise DivergedError
                if index == len(self._chunks):
                    if self._error is not None:
                        raise self._error
                    return
                chunk = self._chunks[index]
                index += 1
                fresh = chunk.text[max(len(typed) - num_chars, 0) :]
                num_chars += len(chunk.text)
                if fresh or chunk.finish_reason is not None:
                    yield self._marked(chunk, fresh, is_first=is_first)
                    is_first = False
        finally:
            self._num_readers -= 1
            if not self._num_readers and not self.is_done:
                self.stream.cancel()

    def _is_waited_for(self, typed: str, index: int) -> bool:
        """Must a reader of chunk `index` wait for more of the text?"""
        if self.is_done or not self.agrees(typed):
            return False
        return index == len(self._chunks) or (bool(typed) and not self._has_more_than(typed))

    def _has_more_than(self, typed: str) -> bool:
        return bool(self.text[len(typed) :].strip())

    def _marked(self, chunk: TextChunk, text: str, *, is_first: bool) -> TextChunk:
        """A chunk as one reader sees it: tokens whose text it has typed itself do not count."""
        if chunk.text and not text:
            chunk = replace(chunk, num_tokens=0, logprob=0.0, tokens=(), marks=())
        elif len(text) < len(chunk.text):
            left = tuple(mark for mark in chunk.marks if mark[0] < len(text))
            chunk = replace(chunk, marks=left)
        return replace(
            chunk,
            text=text,
            prompt_tokens=self.prompt_tokens if is_first else 0,
            cached_tokens=(self.stream.cached_tokens or 0) if is_first else 0,
        )

    async def _advance(self, index: int) -> None:
        """Read from the engine, unless another reader has done so meanwhile."""
        async with self._turn:
            if index < len(self._chunks) or self.is_done:
                return
            try:
                tokens = await self.stream.read()
            except PacelineError as error:
                self._error, self.is_done = error, True
                return
            self._absorb(tokens)
            if not tokens and not self.is_done:
                self._end(_REASONS[self.stream.finish_reason or EngineReason.STOP])

    @property
    def can_be_joined(self) -> bool:
        """Is it still being written, with somebody who reads it?"""
        return not self.is_done and self._num_readers > 0

    def poll(self) -> None:
        """Take in what the engine has produced so far, without waiting."""
        if not self.is_done:
            self._absorb(self.stream.take())

    def _absorb(self, tokens: Sequence[Token]) -> None:
        """Tokens to text; ends at a stop string and at max_tokens."""
        assembler, max_tokens = self._assembler, self.params.max_tokens
        for token in tokens:
            assembler.add(token)
            if assembler.is_stopped or assembler.num_tokens == max_tokens:
                self.stream.stop()
                self._end("length" if assembler.num_tokens == max_tokens else "stop")
                return
        chunk = assembler.take()
        if chunk is not None:
            self._append(chunk)

    def _end(self, reason: FinishReason) -> None:
        self.is_done = True
        self._append(self._assembler.finish(reason))

    def _append(self, chunk: TextChunk) -> None:
        self.text += chunk.text
        self._chunks.append(chunk)


def _typed_ids(
    old_ids: Sequence[int], new_ids: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> str | None:
    """The text by which a prompt of ids grew. The ids before the cursor may have changed with it."""
    common = common_tokens(old_ids, new_ids)
    if max(len(old_ids), len(new_ids)) - common > MAX_TYPED_TOKENS:
        return None
    old_text, new_text = decode(old_ids[common:]), decode(new_ids[common:])
    return new_text[len(old_text) :] if new_text.startswith(old_text) else None
