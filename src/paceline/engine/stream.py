"""How results leave the engine's thread: into asyncio loops, or into a blocking call.

The events of one step go to a loop in one call, however many streams and tokens they are: waking a loop
costs more than a small model's token.
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


Event = list[Token] | _End


class Outbox:
    """Events that wait for the end of the step. Filled and taken under the engine's lock."""

    def __init__(self) -> None:
        self._events: dict[asyncio.AbstractEventLoop, list[tuple[TokenStream, Event]]] = {}

    def post(self, stream: TokenStream, event: Event) -> None:
        """Keep an event for the next `flush`."""
        self._events.setdefault(stream.loop, []).append((stream, event))

    def flush(self) -> None:
        """Hand everything to the loops. A loop that is closed has its streams cancelled instead."""
        events, self._events = self._events, {}
        for loop, items in events.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:  # nobody will ever read
                for stream, _ in items:
                    stream.is_cancel_requested = True


def _deliver(items: list[tuple[TokenStream, Event]]) -> None:
    for stream, event in items:
        stream.receive(event)


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
        self._outbox = outbox
        self._tokens: deque[Token] = deque()
        self._end: _End | None = None
        self._has_news = asyncio.Event()

    def on_tokens(self, tokens: Items[Token]) -> None:
        """Called on the engine's thread, under its lock."""
        self._outbox.post(self, list(tokens))

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called under the engine's lock."""
        self._outbox.post(self, _End(reason, error))

    def receive(self, event: Event) -> None:
        """Called on the loop."""
        if isinstance(event, _End):
            self._end = event
        else:
            self._tokens += event
        self._has_news.set()

    async def read(self) -> list[Token]:
        """Return all tokens that have arrived, at least one; none at the end."""
        while not self._tokens and self._end is None:
            self._has_news.clear()
            await self._has_news.wait()
        if self._tokens:
            tokens = list(self._tokens)
            self._tokens.clear()
            self.num_read += len(tokens)
            return tokens
        self._finish()
        return []

    def _finish(self) -> None:
        assert self._end is not None
        is_first = self.finish_reason is None
        self.finish_reason = self._end.reason
        if is_first and self._end.error is not None:
            raise self._end.error

    def __aiter__(self) -> TokenStream:
        return self

    async def __anext__(self) -> Token:
        while not self._tokens:
            if self._end is not None:
                self._finish()
                raise StopAsyncIteration
            self._has_news.clear()
            await self._has_news.wait()
        self.num_read += 1
        return self._tokens.popleft()

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
