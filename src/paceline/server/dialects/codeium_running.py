"""Which of Codeium's requests run, so that CancelRequest can end one, and which come too late."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from paceline.core.errors import PacelineError

T = TypeVar("T")

MAX_SESSIONS = 4_096


class CanceledError(PacelineError):
    """The client does not want the answer any more."""

    http_status = 499


class SessionKey(NamedTuple):
    """One editor of one user; editors that give no name are one."""

    user_id: str
    session_id: str


class Running:
    """Requests by session and number. Everything runs on one asyncio loop."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[SessionKey, int], set[asyncio.Task[Any]]] = {}
        self._newest: OrderedDict[SessionKey, int] = OrderedDict()
        """The highest number that a session used; a request with a lower one was overtaken."""
        self._canceled: OrderedDict[SessionKey, int] = OrderedDict()
        """The highest number that a session gave up; its CancelRequest may overtake the request."""

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self._tasks.values())

    async def run(self, key: SessionKey, request_id: int, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns. A number of 0 cannot be cancelled, and without a session none is late.

        Raises:
            CanceledError: `cancel` was called for it, or it is older than what the session asked since.
        """
        if request_id == 0:
            return await work
        if self._is_late(key, request_id):
            work.close()
            raise CanceledError("A newer request of this session came before this one.")
        task = asyncio.current_task()
        assert task is not None
        tasks = self._tasks.setdefault((key, request_id), set())
        tasks.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            if task in tasks:
                raise
            raise CanceledError("The request was cancelled, as the client asked.") from None
        finally:
            tasks.discard(task)
            if not tasks and self._tasks.get((key, request_id)) is tasks:
                del self._tasks[key, request_id]

    def cancel(self, key: SessionKey, request_id: int) -> int:
        """End that request; return how many there were of that number. It may also come later yet."""
        if request_id == 0:
            return 0
        if key.session_id:
            _raise_to(self._canceled, key, request_id)
        tasks = self._tasks.pop((key, request_id), set())
        num = len(tasks)
        for task in list(tasks):
            tasks.discard(task)  # tells `run` who cancelled it
            task.cancel()
        return num

    def _is_late(self, key: SessionKey, request_id: int) -> bool:
        if not key.session_id:
            return False
        is_late = request_id < self._newest.get(key, 0) or request_id <= self._canceled.get(key, 0)
        _raise_to(self._newest, key, request_id)
        return is_late


def _raise_to(numbers: OrderedDict[SessionKey, int], key: SessionKey, request_id: int) -> None:
    numbers[key] = max(request_id, numbers.get(key, 0))
    numbers.move_to_end(key)
    while len(numbers) > MAX_SESSIONS:
        numbers.popitem(last=False)
