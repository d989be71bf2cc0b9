"""A crowd of typists: keys at a person's pace, each a request; what became of every one."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress

import msgspec

from benchmarks.typists.dialects import DIALECTS, Editor, Keystroke, open_editor, open_session

HUNG_S = 10.0
"""Longer than the brain's own limit (5 s): a request that is not answered by then hangs."""
TEXT = """\
def area(width, height):
    return width * height


def perimeter(width, height):
    return 2 * (width + height)


def describe(name, width, height):
    print(name, area(width, height), perimeter(width, height))


for side in range(1, 10):
    describe("square", side, side)
"""
"""What everybody types, from a place of their own."""


class Tally(msgspec.Struct):
    """What became of the keys of one dialect."""

    latencies_ms: list[float] = []
    """Of those that were answered with 200."""
    num_overtaken: int = 0
    """The next key came first, and closed them."""
    num_hung: int = 0
    num_broken: int = 0
    """The connection ended without an answer."""
    statuses: Counter[int] = msgspec.field(default_factory=Counter)


class Crowd(msgspec.Struct):
    """A run."""

    tallies: dict[str, Tally]
    num_idle: int = 0
    num_idle_alive: int = 0
    """Idle connections that still answered at the end."""


async def run_crowd(
    port: int, *, num_typists: int, seconds: float, keys_per_s: float, num_idle: int = 0
) -> Crowd:
    """Let `num_typists` type for so long, each in the next dialect, beside so many idle WebSockets."""
    crowd = Crowd({dialect: Tally() for dialect in DIALECTS}, num_idle)
    idle = [await open_session(port, f"idle {number}") for number in range(num_idle)]
    end_s = time.monotonic() + seconds
    await asyncio.gather(
        *(
            _type(port, number, crowd.tallies, end_s=end_s, interval_s=1 / keys_per_s)
            for number in range(num_typists)
        )
    )
    for socket in idle:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(HUNG_S):
                await (await socket.ping())
                crowd.num_idle_alive += 1
        socket.transport.abort()
    return crowd


async def _type(
    port: int, number: int, tallies: dict[str, Tally], *, end_s: float, interval_s: float
) -> None:
    """One typist: every second one closes a request when the next key comes, the others wait for it."""
    rng = random.Random(number)
    dialect = DIALECTS[number % len(DIALECTS)]
    editor, tally = open_editor(dialect, port), tallies[dialect]
    is_patient = number // len(DIALECTS) % 2 == 0
    place, count = rng.randrange(len(TEXT)), 0
    await asyncio.sleep(rng.random() * interval_s)
    while time.monotonic() < end_s:
        place, count = place + 1, count + 1
        if place > len(TEXT):
            place = 1
        next_s = time.monotonic() + interval_s * rng.uniform(0.5, 1.5)
        key = Keystroke(TEXT[:place], "\n", count)
        await _press(editor, key, tally, HUNG_S if is_patient else next_s - time.monotonic())
        await asyncio.sleep(max(next_s - time.monotonic(), 0))
    editor.close()


async def _press(editor: Editor, key: Keystroke, tally: Tally, patience_s: float) -> None:
    started_s = time.perf_counter()
    try:
        async with asyncio.timeout(patience_s):
            status, _ = await editor.ask(key)
    except TimeoutError:
        tally.num_overtaken += patience_s < HUNG_S
        tally.num_hung += patience_s >= HUNG_S
        return
    except (OSError, EOFError):
        tally.num_broken += 1
        editor.close()
        return
    tally.statuses[status] += 1
    if status == 200:
        tally.latencies_ms.append((time.perf_counter() - started_s) * 1000)
