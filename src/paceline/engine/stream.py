"""How results leave the engine's thread: into an asyncio loop, or into a blocking call."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import NamedTuple

from paceline.engine.errors import EngineClosedError
from paceline.engine.sequence import FinishReason


class Token(NamedTuple):
    """One id as it is produced, and its natural log-probability at temperature 1."""

    token_id: int
    logprob: float


class _End(NamedTuple):
    reason: FinishReason
    error: Exception | None


class TokenStream:
    """Async iterator over the tokens of one sequence; `finish_reason` is set when it ends.

    Belongs to the loop that submitted it. A failed sequence raises its error from the iterator.
    """

    def __init__(self, sequence_id: int, loop: asyncio.AbstractEventLoop) -> None:
        self.sequence_id = sequence_id
        self.finish_reason: FinishReason | None = None
        self.is_cancel_requested = False
        self._loop = loop
        self._events: asyncio.Queue[Token | _End] = asyncio.Queue()

    def on_token(self, token_id: int, logprob: float) -> None:
        """Called on the engine's thread."""
        self._push(Token(token_id, logprob))

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called on the engine's thread."""
        self._push(_End(reason, error))

    def _push(self, event: Token | _End) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop was closed: nobody will ever read
            self.is_cancel_requested = True

    def __aiter__(self) -> TokenStream:
        return self

    async def __anext__(self) -> Token:
        if self.finish_reason is not None:
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, Token):
            return event
        self.finish_reason = event.reason
        if event.error is not None:
            raise event.error
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Stop the work; the sequence is in no step after the next. Harmless if it has ended."""
        self.is_cancel_requested = True

    async def aclose(self) -> None:
        """Same as `cancel`."""
        self.cancel()


class ScoreListener:
    """Collects the log-probabilities of a scored sequence."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.result: Future[list[float]] = Future()
        self._logprobs: list[float] = []

    def on_token(self, token_id: int, logprob: float) -> None:
        """Called on the engine's thread."""
        self._logprobs.append(logprob)

    def on_finish(self, reason: FinishReason, error: Exception | None) -> None:
        """Called on the engine's thread."""
        if reason is FinishReason.STOP:
            self.result.set_result(self._logprobs)
        else:
            self.result.set_exception(error or EngineClosedError())
