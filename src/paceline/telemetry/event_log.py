"""Events on disk: when `append` returns they survive a crash, each of them once.

One thread writes. What arrives while it waits for the disk is written together, with one fsync for all
(group commit), so that a slow disk makes batches larger rather than the queue longer.

A line that is written twice would be counted twice, so the log knows the newest `max_known_ids` events by
(user, origin, event id); opening it reads them from the newest files. A batch that is sent again after so
many others is taken for new. Nothing is ever deleted here: retention is the telemetry store's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec

from paceline.artifacts.events import Event, EventOrigin, StoredEvent
from paceline.core.errors import OverloadedError, StorageError
from paceline.telemetry.folder_lock import FolderLock
from paceline.telemetry.known_ids import KnownIds, key_of
from paceline.telemetry.segments import (
    FOLDER_MODE,
    SegmentWriter,
    list_segments,
    read_segment,
)

MAX_SEGMENT_BYTES = 16 * 2**20
"""About 100,000 events; the repair after a crash reads one file."""
MAX_KNOWN_IDS = 200_000
"""About 26 MB. A developer's editors send some hundred events a day, and send them again within minutes."""
MAX_WAITING_EVENTS = 50_000
"""About 25 MB: what may wait for a disk that hangs before batches are refused."""
RETRY_AFTER_MS = 1_000

log = logging.getLogger("paceline.telemetry")


class Named(msgspec.Struct):
    """Of an event, what tells it from others."""

    event_id: str


class StoredId(msgspec.Struct):
    """Of a stored event, the same: quicker to read than all of it, and newer versions keep it."""

    event: Named
    user_id: str = ""
    origin: EventOrigin = "client"


class Row(NamedTuple):
    """One event on its way to the disk."""

    key: bytes
    event: Event
    line: bytes


class Commit(NamedTuple):
    """What became of a batch: its new events, or why none is kept."""

    new: tuple[Event, ...] = ()
    failure: str = ""


class Waiting(NamedTuple):
    """A batch in the queue."""

    rows: list[Row]
    done: Future[Commit]


class EventLog:
    """Keeps events in a folder, which is its own alone. Use as a context manager, or call `close`."""

    def __init__(
        self,
        folder: Path,
        *,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_known_ids: int = MAX_KNOWN_IDS,
        max_waiting_events: int = MAX_WAITING_EVENTS,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Open the log, made if need be (folder 0700, files 0600), and repair what a crash left.

        Raises:
            ConfigError: another server has this folder.
            StorageError: it cannot be read or written.
        """
        self._max_waiting_events, self._now_s = max_waiting_events, now_s
        self._known = KnownIds(max_known_ids)
        try:
            _make_folder(folder)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self._segments = SegmentWriter(folder, max_bytes=max_segment_bytes)
            self._known.add_all(_newest_keys(folder, max_known_ids))
        except OSError as error:
            self._lock.release()
            raise _unusable(folder, error) from error
        self._queue: list[Waiting] = []
        self._num_waiting = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> EventLog:
        """The log itself."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> tuple[Event, ...]:
        """Keep those that are new, and return them. When it returns, all survive a crash.

        If the task that waits is cancelled, the events are kept nevertheless.

        Raises:
            StorageError: the disk is full or fails, or the log is closed. Nothing of the batch is kept.
            OverloadedError: the disk does not keep up.
        """
        if not events:
            return ()
        waiting = self._enqueue(self._rows(events, user_id, origin))
        commit = await asyncio.shield(asyncio.wrap_future(waiting))
        if commit.failure:
            raise StorageError(commit.failure)
        return commit.new

    def close(self) -> None:
        """Write what waits, then end; may be called twice."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._segments.close()
        self._lock.release()

    def _rows(self, events: Sequence[Event], user_id: str, origin: EventOrigin) -> list[Row]:
        now_s = self._now_s()
        rows: list[Row] = []
        for event in events:
            stored = StoredEvent(event=event, received_at_s=now_s, user_id=user_id, origin=origin)
            key = key_of(event.event_id, user_id=user_id, origin=origin)
            rows.append(Row(key, event, msgspec.json.encode(stored) + b"\n"))
        return rows

    def _enqueue(self, rows: list[Row]) -> Future[Commit]:
        waiting = Waiting(rows, Future())
        with self._changed:
            if self._is_closing:
                raise StorageError("The server is stopping; send the events again once it runs.")
            if self._num_waiting and self._num_waiting + len(rows) > self._max_waiting_events:
                raise OverloadedError(queued=self._num_waiting, retry_after_ms=RETRY_AFTER_MS)
            self._num_waiting += len(rows)
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.done

    def _run(self) -> None:
        """The writing thread: everything that waits at once, until the log is closed and nothing waits."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                group, self._queue = self._queue, []
            if not group:
                return
            commits = self._commit(group)
            with self._changed:
                self._num_waiting -= sum(len(waiting.rows) for waiting in group)
            for waiting, commit in zip(group, commits, strict=True):
                waiting.done.set_result(commit)

    def _commit(self, group: list[Waiting]) -> list[Commit]:
        """Write a group's new events with one fsync. All of its batches succeed, or none."""
        fresh: dict[bytes, None] = {}
        lines: list[bytes] = []
        commits: list[Commit] = []
        for waiting in group:
            new: list[Event] = []
            for key, event, line in waiting.rows:
                if key not in self._known and key not in fresh:
                    fresh[key] = None
                    lines.append(line)
                    new.append(event)
            commits.append(Commit(tuple(new)))
        try:
            if lines:
                self._segments.append(b"".join(lines))
        except Exception as error:
            return [Commit(failure=_say_failure(error))] * len(group)
        self._known.add_all(fresh)
        return commits


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    list(folder.iterdir())  # a file of that name, or a folder that may not be read, fails here


def _newest_keys(folder: Path, max_keys: int) -> list[bytes]:
    """Keys of the newest events of a log, oldest first, each once; whole files, so a few more than asked for."""
    files: list[list[bytes]] = []
    num_keys = 0
    for path in reversed(list_segments(folder)):
        files.append(
            [
                key_of(stored.event.event_id, user_id=stored.user_id, origin=stored.origin)
                for stored in read_segment(path, StoredId)
            ]
        )
        num_keys += len(files[-1])
        if num_keys >= max_keys:
            break
    newest_first = dict.fromkeys(key for keys in files for key in reversed(keys))
    return list(reversed(newest_first))


def _say_failure(error: Exception) -> str:
    """Tell the operator what failed, and return what the client is told: no path is in it."""
    if isinstance(error, OSError):
        reason = (error.strerror or "input/output error").lower()
        log.error("Events cannot be written: %s.", reason)
        return f"The server cannot write events ({reason}); send the batch again later."
    log.exception("Events cannot be written.")
    return "The server cannot write events; send the batch again later."


def _unusable(folder: Path, error: OSError) -> StorageError:
    reason = (error.strerror or str(error)).lower()
    return StorageError(f"Cannot keep events in {folder}: {reason}; give another folder.")
