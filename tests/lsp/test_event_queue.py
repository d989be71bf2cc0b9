"""Events arrive once, although the server was down, and the queue stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from paceline.artifacts.events import MAX_BATCH_EVENTS, Event
from paceline.core.errors import (
    ForbiddenError,
    InputError,
    PacelineError,
    StorageError,
    UnauthorizedError,
    UpstreamError,
)
from paceline.lsp import event_queue
from paceline.lsp.event_queue import EventQueue


def event(number: int) -> Event:
    return Event(event_id=f"e-{number}", request_id="cmpl-1", kind="accepted")


class Server:
    """Takes batches, or fails."""

    def __init__(self, *errors: PacelineError) -> None:
        self.errors = list(errors)
        self.batches: list[list[str]] = []

    async def take(self, events: Sequence[Event]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append([each.event_id for each in events])


@pytest.mark.parametrize(
    "error", [UpstreamError("down"), StorageError("full"), UnauthorizedError("expired")]
)
def test_what_could_not_be_sent_is_sent_again(error: PacelineError) -> None:
    async def run() -> None:
        server = Server(error, error)
        queue = EventQueue(server.take, first_delay_s=0)
        queue.put(event(1))
        await asyncio.sleep(0)
        queue.put(event(2))
        await queue.flush()
        assert server.batches == [["e-1", "e-2"]] and len(queue) == 0

    asyncio.run(run())


@pytest.mark.parametrize("error", [InputError("old version"), ForbiddenError("no scope")])
def test_what_is_refused_for_good_is_told_and_let_go(error: PacelineError) -> None:
    async def run() -> None:
        server, told = Server(error), list[str]()
        queue = EventQueue(server.take, report=told.append)
        queue.put(event(1))
        await queue.flush()
        queue.put(event(2))
        await queue.flush()
        assert server.batches == [["e-2"]]
        assert told == [f"1 events are lost: {error}"]

    asyncio.run(run())


def test_many_go_in_several_batches_and_one_id_goes_once() -> None:
    async def run() -> None:
        server = Server()
        queue = EventQueue(server.take)
        for number in [*range(MAX_BATCH_EVENTS + 1), 0, 1]:
            queue.put(event(number))
        await queue.flush()
        assert [len(batch) for batch in server.batches] == [MAX_BATCH_EVENTS, 1]

    asyncio.run(run())


def test_the_oldest_are_lost_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "MAX_QUEUED", 2)

    async def run() -> None:
        server = Server()
        queue = EventQueue(server.take)
        for number in range(3):
            queue.put(event(number))
        await queue.flush()
        assert server.batches == [["e-1", "e-2"]]

    asyncio.run(run())


def test_closing_tries_at_once_although_the_next_attempt_is_far_off() -> None:
    async def run() -> None:
        server = Server(UpstreamError("down"))
        queue = EventQueue(server.take, first_delay_s=3600)
        queue.put(event(1))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not server.errors
        await queue.close()
        assert server.batches == [["e-1"]]

    asyncio.run(run())


def test_closing_gives_up_on_a_server_that_hangs() -> None:
    async def hang(events: Sequence[Event]) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        queue = EventQueue(hang)
        queue.put(event(1))
        await queue.close(timeout_s=0)
        assert len(queue) == 1

    asyncio.run(run())
