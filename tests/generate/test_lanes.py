"""Places at the upstream: none is lost, in whatever order readers leave."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.generate.remote.lanes import Lane, Lanes


async def hold(lanes: Lanes, lane: Lane, until: asyncio.Event) -> None:
    async with lanes.turn(lane):
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_that_leaves_in_the_moment_of_its_turn_leaves_the_place_to_the_next() -> None:
    async def main() -> None:
        lanes, over = Lanes(1, 10), asyncio.Event()
        running, leaving, last = (
            asyncio.create_task(hold(lanes, "interactive", over)) for _ in range(3)
        )
        await settle()
        running.cancel()
        leaving.cancel()
        over.set()
        await asyncio.gather(running, leaving, return_exceptions=True)
        async with asyncio.timeout(10):
            await last

    asyncio.run(main())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 11), st.booleans()), max_size=30))
def test_whoever_leaves_all_places_come_back(moves: list[tuple[bool, int, bool]]) -> None:
    async def main() -> None:
        lanes, never = Lanes(2, 100), asyncio.Event()
        readers = [
            asyncio.create_task(hold(lanes, "batch" if k % 3 == 0 else "interactive", never))
            for k in range(12)
        ]
        await asyncio.sleep(0)
        for is_end, k, is_settled in moves:
            if is_end:
                readers[k].cancel()
            if is_settled:
                await asyncio.sleep(0)
        for reader in readers:
            reader.cancel()
        ends = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        async with asyncio.timeout(10), lanes.turn("interactive"), lanes.turn("batch"):
            pass

    asyncio.run(main())
