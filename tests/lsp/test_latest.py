"""The newest request for a document is the one that counts."""

from __future__ import annotations

import asyncio

import pytest

from paceline.lsp.latest import LatestWins


class Work:
    """Waits until it is told to go on, and tells how it ended."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.end = ""

    async def run(self) -> str:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        self.end = "done"
        return self.end


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_newer_work_of_the_same_key_cancels_the_older_and_leaves_others_alone() -> None:
    async def run() -> None:
        latest: LatestWins[str] = LatestWins()
        old, new, other = Work(), Work(), Work()
        waits = [asyncio.ensure_future(latest.run("a", old.run()))]
        waits.append(asyncio.ensure_future(latest.run("b", other.run())))
        await settle()
        waits.append(asyncio.ensure_future(latest.run("a", new.run())))
        await settle()
        assert (old.end, waits[0].done()) == ("cancelled", True)
        new.may_end.set()
        other.may_end.set()
        assert await asyncio.gather(*waits) == [None, "done", "done"]

    asyncio.run(run())


def test_cancelling_the_waiting_one_cancels_its_work() -> None:
    async def run() -> None:
        latest: LatestWins[str] = LatestWins()
        work = Work()
        wait = asyncio.ensure_future(latest.run("a", work.run()))
        await settle()
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        await settle()
        assert work.end == "cancelled"
        work = Work()
        work.may_end.set()
        assert await latest.run("a", work.run()) == "done"

    asyncio.run(run())


def test_errors_come_out() -> None:
    async def fail() -> str:
        raise ValueError

    with pytest.raises(ValueError):
        asyncio.run(LatestWins[str]().run("a", fail()))
