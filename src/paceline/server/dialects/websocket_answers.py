"""The completions that one WebSocket waits for: each is answered once, and of a document the newest one matters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.service import Service
from paceline.complete.wire import Encoding
from paceline.complete.wire_convert import to_wire
from paceline.core.errors import FieldError, OverloadedError, PacelineError
from paceline.server.caller import Caller
from paceline.server.dialects.websocket_types import (
    Complete,
    CompletionReply,
    Failure,
    Problem,
    ServerMessage,
)
from paceline.server.errors import code_of

log = logging.getLogger("paceline.server")

MAX_RUNNING = 32
"""At once on one connection: two for each of the documents on a very large screen."""
RETRY_AFTER_MS = 1_000

Ending = Literal["cancelled", "superseded"]
SENTENCES: dict[Ending, str] = {
    "cancelled": "The client cancelled this request.",
    "superseded": "A newer request for the document took its place.",
}


def problem_of(error: PacelineError) -> Problem:
    """An expected failure, as a message tells it."""
    return Problem(
        message=str(error),
        code=code_of(error),
        param=error.field if isinstance(error, FieldError) else None,
        retry_after_s=error.retry_after_s if isinstance(error, OverloadedError) else None,
    )


class _Running:
    """A completion on its way."""

    def __init__(self, document_id: str) -> None:
        self.document_id = document_id
        self.task: asyncio.Task[None] | None = None
        self.ending: Ending | None = None

    def end(self, ending: Ending) -> None:
        """Stop it; it answers with an error that says why. It must have begun."""
        self.ending = ending
        if self.task is not None:
            self.task.cancel()


class Answers:
    """What runs for one connection. `close` ends all of it."""

    def __init__(
        self, service: Service, caller: Caller, send: Callable[[ServerMessage], Awaitable[None]]
    ) -> None:
        self._service, self._caller, self._send = service, caller, send
        self._running: dict[int | str, _Running] = {}
        """In the order of asking, until their answer is being sent."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.num_completions = self.num_tokens = 0

    def check(self, message: Complete) -> None:
        """Is there room for this request?

        Raises:
            InputError: its id is in use.
            OverloadedError: too much is running.
        """
        if message.id in self._running:
            raise FieldError("id", "an earlier request with this id still runs; choose another")
        if len(self._tasks) >= MAX_RUNNING:
            raise OverloadedError(queued=len(self._tasks), retry_after_ms=RETRY_AFTER_MS)

    def start(self, message: Complete, asked: CompleteRequest, encoding: Encoding) -> None:
        """Ask the brain, in a task of its own. Of one document the newest two run at most.

        It begins once the caller gives way; before that it cannot be ended with an answer.
        """
        same = [each for each in self._running.values() if each.document_id == message.document_id]
        for older in same[:-1]:
            older.end("superseded")
        running = self._running[message.id] = _Running(message.document_id)
        running.task = asyncio.create_task(self._answer(message, asked, encoding, running))
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)

    def cancel(self, message_id: int | str) -> None:
        """Nobody waits for that answer; nothing happens if it was given."""
        running = self._running.get(message_id)
        if running is not None:
            running.end("cancelled")

    async def close(self) -> None:
        """Stop everything, without answers. When it returns, nothing runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(
        self, message: Complete, asked: CompleteRequest, encoding: Encoding, running: _Running
    ) -> None:
        reply: ServerMessage
        try:
            completion = await self._complete(message, asked)
        except asyncio.CancelledError:
            if running.ending is None:
                raise
            problem = Problem(message=SENTENCES[running.ending], code=running.ending)
            reply = Failure(error=problem, id=message.id)
        except PacelineError as error:
            reply = Failure(error=problem_of(error), id=message.id)
        except Exception:
            log.exception("WebSocket /v1/session: a completion failed")
            problem = Problem(message="Something went wrong inside the server.", code="internal")
            reply = Failure(error=problem, id=message.id)
        else:
            wire = to_wire(completion, asked.cursor, encoding)
            reply = CompletionReply(id=message.id, **msgspec.structs.asdict(wire))
            self._end_older(message)
        self._running.pop(message.id, None)
        await self._send(reply)

    async def _complete(self, message: Complete, asked: CompleteRequest) -> Completion:
        answer = self._service.warm if message.is_warming else self._service.complete
        num_tokens = 0
        self._caller.meter.begin()
        try:
            completion = await answer(asked)
            computed = completion.prompt_tokens - completion.cached_tokens
            num_tokens = computed + completion.num_tokens
            return completion
        finally:
            self._caller.meter.end(num_tokens)
            self.num_completions += 1
            self.num_tokens += num_tokens

    def _end_older(self, message: Complete) -> None:
        """What was asked before for the same document is over."""
        for other_id, other in tuple(self._running.items()):
            if other_id == message.id:
                break
            if other.document_id == message.document_id:
                other.end("superseded")
