"""How many requests the upstream gets at once, and who waits. Everything runs on one asyncio loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from paceline.core.errors import OverloadedError

RETRY_AFTER_MS = 1000
"""A completion takes less; whoever comes back then finds another queue."""

Lane = Literal["interactive", "batch"]


class Lanes:
    """Lets `max_running` requests through; others wait in order, what nobody waits for behind the rest.

    The batch lane gets half of the places at most, so that a keystroke finds one.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running, self._max_waiting = max_running, max_waiting
        self._max_batch = max(max_running // 2, 1)
        self._num_running = {"interactive": 0, "batch": 0}
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {
            "interactive": deque(),
            "batch": deque(),
        }

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncGenerator[None]:
        """Wait for a place and hold it inside the block.

        Raises:
            OverloadedError: too many wait already.
        """
        await self._enter(lane)
        try:
            yield
        finally:
            self._num_running[lane] -= 1
            self._wake()

    async def _enter(self, lane: Lane) -> None:
        queue = self._waiting[lane]
        if not queue and self._has_place(lane):
            self._num_running[lane] += 1
            return
        if len(queue) >= self._max_waiting:
            raise OverloadedError(queued=len(queue), retry_after_ms=RETRY_AFTER_MS)
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its place came with the cancellation
                self._num_running[lane] -= 1
            elif turn in queue:
                queue.remove(turn)
            self._wake()
            raise

    def _has_place(self, lane: Lane) -> bool:
        if sum(self._num_running.values()) >= self._max_running:
            return False
        is_keystroke_waiting = bool(self._waiting["interactive"])
        return lane == "interactive" or (
            not is_keystroke_waiting and self._num_running["batch"] < self._max_batch
        )

    def _wake(self) -> None:
        """Give free places away, to keystrokes first."""
        lanes: tuple[Lane, ...] = ("interactive", "batch")
        for lane in lanes:
            while self._waiting[lane] and self._has_place(lane):
                turn = self._waiting[lane].popleft()
                if turn.done():  # cancelled, but whoever waited has not run since
                    continue
                self._num_running[lane] += 1
                turn.set_result(None)
