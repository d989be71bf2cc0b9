"""How results leave the engine's thread: into asyncio loops, or into a blocking call.

Tokens are put where the reader finds them at once; *waking* the reader is what costs, more than a small
model's token. So a stream's loop is woken for its first token, for its end, and in between at most once
in `interval_s`; and all streams of a loop are woken by one call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence as Items
from concurrent.futures import Future
from typing import NamedTuple

from paceline.engine.errors import EngineClosedError
from paceline.engine.params import FinishReason
from paceline.engine.sampler import Picked as Token

__all__ = ["Outbox", "ScoreListener", "Token", "TokenStream"]


class _End(NamedTuple):
    reason: FinishReason
    error: Exception | None


class Outbox:
    """Streams whose readers have something to learn. Used under the engine's lock."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._streams: dict[TokenStream, None] = {}

    def post(self, stream: TokenStream) -> None:
        """Wake the reader of `stream` when its time has come."""
        self._streams[stream] = None

    def flush(self, now_s: float) -> None:
        """Wake the readers that are due. A loop that is closed has its streams cancelled instead."""
        due = [s for s in self._streams if s.is_ended or now_s >= s.next_wake_s]
        loops: dict[asyncio.AbstractEventLoop, list[TokenStream]] = {}
        for stream in due:
            del self._streams[stream]
            stream.next_wake_s = now_s + self._interval_s
            loops.setdefault(stream.loop, []).append(stream)
        for loop, streams in loops.items():
            try:
                loop.call_soon_threadsafe(_wake, streams)
            except RuntimeError:  # nobody will ever read
                for stream in streams:
                    stream.is_cancel_requested = True


def _wake(streams: list[TokenStream]) -> None:
    for stream in streams:
        stream.wake()


class TokenStream:
    """Async iterator over the tokens of one sequence; `finish_reason` is set when it ends.

    Belongs to the loop that submitted it. A failed sequence raises its error from the iterator. What
    nobody reads is kept, but it is never more than the sequence's max_tokens.
    """

    def __init__(self, sequence_id: int, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self.sequence_id = sequence_id
        self.loop = loop
        self.finish_reason: FinishReason | None = None
        self.is_cancel_requested = False
        self.is_stop_requested = False
        self.num_read = 0
        """Tokens that the reader took."""
        self.cached_tokens: int | None = None
        """Prompt ids that were in the prefix cache; None until the sequence runs."""
        self.next_wake_s = 0.0
        """Before that, on the engine's clock, the reader is not woken for tokens. The outbox's."""
        self._outbox = outbox
        self._tokens: deque[Token] = deque()
        """Filled on the engine's thread, emptied on the loop: both are atomic."""
        self._end: _End | None = None
        self._has_news = asyncio.Event()

    @property
    def is_ended(self) -> bool:
        """Will no more tokens come? Those that have may still be unread."""
        return self._end is not None

    def on_tokens(self, tokens: Items[Token]) -> None:
        """Called on the engine's thread, under its lock."""
        self._tokens.extend(tokens)
        self._outbox.post(self)

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called under the engine's lock."""
        self._end = _End(reason, error)
        self._outbox.post(self)

    def wake(self) -> None:
        """Called on the loop."""
        self._has_news.set()

    def take(self) -> list[Token]:
        """Return what has arrived, without waiting."""
        tokens: list[Token] = []
        while self._tokens:
            tokens.append(self._tokens.popleft())
        self.num_read += len(tokens)
        return tokens

    async def read(self) -> list[Token]:
        """Return all tokens that have arrived, at least one; none at the end."""
        while True:
            end = self._end  # looked at first: tokens that come after this look are not missed
            tokens = self.take()
            if tokens:
                return tokens
            if end is not None:
                self._finish()
                return []
            self._has_news.clear()
            if not self._tokens and self._end is None:
                await self._has_news.wait()

    def _finish(self) -> None:
        assert self._end is not None
        is_first = self.finish_reason is None
        self.finish_reason = self._end.reason
        if is_first and self._end.error is not None:
            raise self._end.error

    def __aiter__(self) -> TokenStream:
        return self

    async def __anext__(self) -> Token:
        while True:
            end = self._end
            if self._tokens:
                self.num_read += 1
                return self._tokens.popleft()
            if end is not None:
                self._finish()
                raise StopAsyncIteration
            self._has_news.clear()
            if not self._tokens and self._end is None:
                await self._has_news.wait()

    def cancel(self) -> None:
        """Nobody wants it any more; the sequence is in no step after the next. Harmless if it ended."""
        self.is_cancel_requested = True

    def stop(self) -> None:
        """The reader has all it wanted; as `cancel`, but what it read is not counted as wasted."""
        self.is_stop_requested = True

    async def aclose(self) -> None:
        """Same as `cancel`."""
        self.cancel()


class ScoreListener:
    """Collects the log-probabilities of a scored sequence."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.is_stop_requested = False
        self.result: Future[list[float]] = Future()
        self._logprobs: list[float] = []

    def on_tokens(self, tokens: Items[Token]) -> None:
        """Called on the engine's thread."""
        self._logprobs += [token.logprob for token in tokens]

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called on the engine's thread."""
        if reason is FinishReason.STOP:
            self.result.set_result(self._logprobs)
        else:
            self.result.set_exception(error or EngineClosedError())
