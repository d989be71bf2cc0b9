"""The newest request for a document is the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class LatestWins(Generic[T]):
    """Runs at most one piece of work for each key: a newer one cancels the older."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` returns; None if newer work of the same key came before it ended.

        Cancelling the task that waits cancels `work`. Raises what `work` raises.
        """
        self.cancel(key)
        task = self._running[key] = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()
            if self._running.get(key) is task:
                del self._running[key]
        return None if task.cancelled() else task.result()

    def cancel_all(self) -> None:
        """Cancel whatever runs."""
        for key in tuple(self._running):
            self.cancel(key)

    def cancel(self, key: str) -> None:
        """Cancel what runs for `key`, if anything."""
        task = self._running.pop(key, None)
        if task is not None:
            task.cancel()
