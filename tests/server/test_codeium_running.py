"""Which requests are ended, and which come too late."""

from __future__ import annotations

import asyncio

import pytest

from paceline.server.dialects import codeium_running
from paceline.server.dialects.codeium_running import CanceledError, Running, SessionKey

ONE, TWO = SessionKey("", "one"), SessionKey("", "two")
NAMELESS = SessionKey("", "")


async def quick(value: int = 1) -> int:
    return value


def test_cancel_ends_that_request_of_that_session_only() -> None:
    async def check() -> None:
        running, ended = Running(), list[str]()

        async def work(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        tasks = {
            name: asyncio.create_task(running.run(key, number, work(name)))
            for name, key, number in (("a", ONE, 7), ("b", TWO, 7), ("c", ONE, 8))
        }
        await asyncio.sleep(0)
        assert running.cancel(ONE, 7) == 1
        with pytest.raises(CanceledError):
            await tasks["a"]
        assert ended == ["a"]
        assert running.cancel(SessionKey("somebody", "two"), 7) == 0
        assert len(running) == 2
        tasks["b"].cancel()  # its client left
        with pytest.raises(asyncio.CancelledError):
            await tasks["b"]
        assert running.cancel(ONE, 8) == 1
        with pytest.raises(CanceledError):
            await tasks["c"]
        assert len(running) == 0

    asyncio.run(check())


def test_late_ones_are_not_answered() -> None:
    async def check() -> None:
        running = Running()
        assert await running.run(ONE, 5, quick()) == 1
        assert await running.run(ONE, 5, quick()) == 1, "the same once more is not older"
        assert await running.run(TWO, 4, quick()) == 1
        with pytest.raises(CanceledError):
            await running.run(ONE, 4, quick())
        assert running.cancel(ONE, 9) == 0
        with pytest.raises(CanceledError):
            await running.run(ONE, 9, quick())
        assert await running.run(ONE, 10, quick()) == 1

    asyncio.run(check())


def test_without_a_session_or_a_number_nothing_is_late() -> None:
    async def check() -> None:
        running = Running()
        assert running.cancel(NAMELESS, 9) == 0
        for number in (9, 3, 0):
            assert await running.run(NAMELESS, number, quick(number)) == number
        assert running.cancel(ONE, 0) == 0
        assert await running.run(ONE, 0, quick()) == 1

    asyncio.run(check())


def test_only_the_newest_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codeium_running, "MAX_SESSIONS", 2)

    async def check() -> None:
        running = Running()
        for name in ("one", "two", "three"):
            await running.run(SessionKey("", name), 5, quick())
        assert await running.run(ONE, 4, quick()) == 1
        with pytest.raises(CanceledError):
            await running.run(SessionKey("", "three"), 4, quick())

    asyncio.run(check())
