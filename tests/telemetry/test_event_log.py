"""The event log with real files: kept once, over restarts, with one fsync for many, and a full disk."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paceline.artifacts.events import Event, StoredEvent
from paceline.core.errors import ConfigError, OverloadedError, StorageError
from paceline.telemetry import append_file
from paceline.telemetry.event_log import EventLog
from paceline.telemetry.segments import read_events


def event(name: str, **fields: Any) -> Event:
    """An event of that id."""
    return Event(event_id=name, request_id=f"cmpl-{name}", kind="accepted", **fields)


def append(log: EventLog, *names: str, **options: Any) -> list[str]:
    """Append and return the ids of those that were new."""
    return ids(asyncio.run(log.append([event(name) for name in names], **options)))


def ids(events: Any) -> list[str]:
    """Ids of events."""
    return [each.event_id for each in events]


def kept(folder: Path) -> list[str]:
    """Ids of what the log keeps, in its order."""
    return [stored.event.event_id for stored in read_events(folder)]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    sent = event("a", at_s=5.5, num_chars=3, client="vim 9")
    with EventLog(tmp_path / "log", now_s=lambda: 7.25) as log:
        new = asyncio.run(log.append([sent], user_id="ann", origin="inferred"))
    assert list(new) == [sent]
    assert list(read_events(tmp_path / "log")) == [
        StoredEvent(event=sent, received_at_s=7.25, user_id="ann", origin="inferred")
    ]


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "log"
    with EventLog(folder) as log:
        append(log, "a")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop(folder) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}


def test_an_event_counts_once_also_after_a_restart(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        assert append(log, "a", "b", "a") == ["a", "b"]
        assert append(log, "b", "c") == ["c"]
    with EventLog(tmp_path) as log:
        assert append(log, "c", "d") == ["d"]
        assert append(log) == []
    assert kept(tmp_path) == ["a", "b", "c", "d"]


def test_users_and_origins_have_ids_of_their_own(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        for options in ({}, {"user_id": "ann"}, {"user_id": "bob"}, {"origin": "inferred"}):
            assert append(log, "a", **options) == ["a"]
            assert append(log, "a", **options) == []
    assert len(kept(tmp_path)) == 4


def test_memory_is_bounded_the_oldest_ids_are_forgotten(tmp_path: Path) -> None:
    with EventLog(tmp_path, max_known_ids=2) as log:
        append(log, "a", "b", "c")
        assert append(log, "b", "c") == []
        assert append(log, "a") == ["a"]  # forgotten, so taken for new; b gives way
    with EventLog(tmp_path, max_known_ids=2) as log:
        assert append(log, "c", "a") == []
        assert append(log, "b") == ["b"]


def test_a_full_file_is_followed_by_the_next(tmp_path: Path) -> None:
    names = [f"e{number}" for number in range(7)]
    with EventLog(tmp_path, max_segment_bytes=250) as log:
        for name in names[:4]:
            append(log, name)
    with EventLog(tmp_path, max_segment_bytes=250) as log:
        for name in names:
            append(log, name)
    files = sorted(tmp_path.glob("events-*.jsonl"))
    assert len(files) > 2
    assert [path.name for path in files[:2]] == ["events-00000001.jsonl", "events-00000002.jsonl"]
    assert all(path.stat().st_size <= 250 for path in files)
    assert kept(tmp_path) == names


def test_a_torn_end_is_cut_off_and_what_comes_after_is_whole(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a", "b")
    path = next(tmp_path.glob("*.jsonl"))
    whole = path.read_bytes()
    for torn in (b'{"event":{"event_id":"c"', b"\0" * 512, b'{"half\n{"event":', b"\xff\xfe\n"):
        path.write_bytes(whole + torn)
        assert kept(tmp_path) == ["a", "b"]
        with EventLog(tmp_path):
            assert path.read_bytes() == whole
    with EventLog(tmp_path) as log:
        assert append(log, "b", "c") == ["c"]
    assert kept(tmp_path) == ["a", "b", "c"]


def test_lines_of_a_newer_version_are_not_cut_off(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a")
    path = next(tmp_path.glob("*.jsonl"))
    with path.open("ab") as file:
        file.write(b'{"event":{"what":"of tomorrow"}}\n')
    later = path.read_bytes()
    with EventLog(tmp_path):
        pass
    assert path.read_bytes() == later


def test_a_damaged_line_does_not_take_the_others_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a", "b", "c")
    path = next(tmp_path.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"b\0'))
    assert kept(tmp_path) == ["a", "c"]
    assert "line 2 is damaged" in caplog.text


def test_one_server_a_folder(tmp_path: Path) -> None:
    with EventLog(tmp_path), pytest.raises(ConfigError, match="Another server keeps its events"):
        EventLog(tmp_path)
    with EventLog(tmp_path) as log:
        assert append(log, "a") == ["a"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            StorageError, match=r"Cannot keep events in .*: .*; give another folder"
        ):
            EventLog(path)


def test_a_closed_log_keeps_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(StorageError, match="stopping"):
        append(log, "a")


class Gate:
    """Holds the first sync until `open` is set, and counts all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached, self.num_syncs = threading.Event(), threading.Event(), 0
        sync = append_file.sync

        def wait_and_sync(fd: int) -> None:
            self.num_syncs += 1
            self.reached.set()
            assert self.open.wait(30)
            sync(fd)

        monkeypatch.setattr(append_file, "sync", wait_and_sync)

    async def reach(self) -> None:
        """Wait until the first sync has begun."""
        await asyncio.to_thread(self.reached.wait, 30)


def test_what_arrives_while_the_disk_works_shares_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(log: EventLog) -> list[str]:
        first = asyncio.create_task(log.append([event("first")]))
        await gate.reach()
        tasks = [asyncio.create_task(log.append([event(f"e{n % 20}")])) for n in range(40)]
        await asyncio.sleep(0)  # each is in the queue
        gate.open.set()
        replies = await asyncio.gather(first, *tasks)
        return [name for reply in replies for name in ids(reply)]

    with EventLog(tmp_path) as log:
        gate = Gate(monkeypatch)
        new = asyncio.run(scenario(log))
    assert new == ["first", *(f"e{n}" for n in range(20))] == kept(tmp_path)
    assert gate.num_syncs == 2


def test_who_stops_waiting_has_its_events_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(log: EventLog) -> None:
        waiting = [asyncio.create_task(log.append([event(name)])) for name in ("a", "b")]
        await gate.reach()
        for task in waiting:
            task.cancel()
        assert all(isinstance(end, asyncio.CancelledError) for end in await gather(waiting))
        gate.open.set()

    async def gather(tasks: list[Any]) -> list[Any]:
        return await asyncio.gather(*tasks, return_exceptions=True)

    with EventLog(tmp_path) as log:
        gate = Gate(monkeypatch)
        asyncio.run(scenario(log))
    assert kept(tmp_path) == ["a", "b"]


def test_a_disk_that_hangs_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(log: EventLog) -> None:
        first = asyncio.create_task(log.append([event("a"), event("b")]))
        await gate.reach()
        with pytest.raises(OverloadedError, match="2 requests are queued"):
            await log.append([event("c"), event("d")])
        second = asyncio.create_task(log.append([event("c")]))
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, second)
        await log.append([event(name) for name in "vwxyz"])  # larger than the limit, but alone

    with EventLog(tmp_path, max_waiting_events=3) as log:
        gate = Gate(monkeypatch)
        asyncio.run(scenario(log))
    assert kept(tmp_path) == list("abcvwxyz")


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """The system itself writes no file beyond that size: first a part, then an error, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_keeps_and_acknowledges_nothing_of_the_batch(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a")
        path = next(tmp_path.glob("*.jsonl"))
        before = path.read_bytes()
        with largest_file(len(before) + len(before) // 2):
            with pytest.raises(StorageError, match=r"cannot write events .*; send the batch again"):
                append(log, "b", "c")
            assert path.read_bytes() == before
        assert append(log, "b", "c") == ["b", "c"]
    assert kept(tmp_path) == ["a", "b", "c"]


def failing(monkeypatch: pytest.MonkeyPatch, name: str, real: Callable[..., Any]) -> list[int]:
    """Make a system call of the log fail with the first error numbers of the list that is returned."""
    errors: list[int] = []

    def call(fd: int, *rest: Any) -> Any:
        if errors:
            code = errors.pop(0)
            raise OSError(code, os.strerror(code))
        return real(fd, *rest)

    monkeypatch.setattr(append_file.os, name, call)
    return errors


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a")
        with monkeypatch.context() as patch:
            write = os.write
            errors = failing(patch, "write", lambda fd, data: write(fd, data[:7]))  # short writes
            assert append(log, "b") == ["b"]
            errors.append(code)
            with pytest.raises(StorageError, match=os.strerror(code).lower()) as caught:
                append(log, "c")
        assert str(tmp_path) not in str(caught.value)
        assert append(log, "b", "c") == ["c"]
    assert kept(tmp_path) == ["a", "b", "c"]


def test_a_sync_that_fails_is_no_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a")
        failing(monkeypatch, "fsync", os.fsync).append(errno.EIO)
        with pytest.raises(StorageError):
            append(log, "b")
        assert kept(tmp_path) == ["a"]
        assert append(log, "b") == ["b"]
    assert kept(tmp_path) == ["a", "b"]


def test_what_cannot_be_cut_off_yet_is_before_anything_else_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(tmp_path) as log:
        append(log, "a")
        syncs = failing(monkeypatch, "fsync", os.fsync)
        cuts = failing(monkeypatch, "ftruncate", os.ftruncate)
        syncs.append(errno.EIO)
        cuts += [errno.EIO, errno.EIO]
        for name in ("b", "c"):
            with pytest.raises(StorageError):
                append(log, name)
        assert append(log, "d") == ["d"]
    assert kept(tmp_path) == ["a", "d"]


def test_the_next_file_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventLog(tmp_path, max_segment_bytes=150) as log:
        append(log, "a")
        with monkeypatch.context() as patch:

            def refuse(*_: Any) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(append_file.os, "open", refuse)
            with pytest.raises(StorageError):
                append(log, "b")
        assert append(log, "b") == ["b"]
    assert kept(tmp_path) == ["a", "b"]
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_bug_in_the_writer_answers_all_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EventLog(tmp_path) as log:
        with monkeypatch.context() as patch:
            patch.setattr(append_file.os, "write", lambda *_: 1 / 0)
            with pytest.raises(StorageError, match="cannot write events; send"):
                append(log, "a")
        assert append(log, "a") == ["a"]
    assert "ZeroDivisionError" in caplog.text
    assert kept(tmp_path) == ["a"]
