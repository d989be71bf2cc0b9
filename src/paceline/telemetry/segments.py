"""The files of an event log: `events-00000001.jsonl` and so on, one JSON object a line, oldest first.

Only the newest grows. After a crash its end may be torn; opening it cuts that off, which was never acknowledged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from paceline.artifacts.events import StoredEvent
from paceline.telemetry.append_file import AppendFile, sync, sync_folder

T = TypeVar("T")

FOLDER_MODE = 0o700
_NAME = re.compile(r"events-(\d{8})\.jsonl")
log = logging.getLogger("paceline.telemetry")


def list_segments(folder: Path) -> list[Path]:
    """The files of a log, oldest first; none if there is no such folder. Raises OSError."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def read_events(folder: Path) -> Iterator[StoredEvent]:
    """Yield every event that a log keeps, in the order of writing; a server may be writing to it.

    A last line that is not whole (yet) is passed over. So is, with a warning, a line that is damaged: it must
    not take the others with it.

    Raises:
        OSError: a file cannot be read.
    """
    for path in list_segments(folder):
        yield from read_segment(path, StoredEvent)


def read_segment(path: Path, wanted: type[T]) -> Iterator[T]:
    """Yield the lines of one file, as `read_events`; `wanted` may have some of StoredEvent's fields only."""
    decoder = msgspec.json.Decoder(wanted)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                stored = decoder.decode(line)
            except ValueError:  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
                log.warning("%s: line %d is damaged and left out.", path.name, number)
                continue
            yield stored


class SegmentWriter:
    """Appends to the newest file of a folder and begins the next when it is full. Not safe for threads."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """Open the newest file and cut off a torn end. Raises OSError."""
        self._folder, self._max_bytes = folder, max_bytes
        segments = list_segments(folder)
        self._number = _number_of(segments[-1]) if segments else 1
        if segments:
            _cut_torn_end(segments[-1])
        self._file = self._open(self._number)

    def append(self, data: bytes) -> None:
        """Write whole lines and wait until the disk has them. Raises as AppendFile.append."""
        if self._file.num_bytes and self._file.num_bytes + len(data) > self._max_bytes:
            following = self._open(self._number + 1)
            self._file.close()
            self._file, self._number = following, self._number + 1
        self._file.append(data)

    def close(self) -> None:
        """Write no more; may be called twice."""
        self._file.close()

    def _open(self, number: int) -> AppendFile:
        file = AppendFile(self._folder / f"events-{number:08}.jsonl")
        try:
            sync_folder(self._folder)
        except BaseException:
            file.close()
            raise
        return file


def _number_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _cut_torn_end(path: Path) -> None:
    """Cut a file behind its last line that is whole.

    Lines that are JSON of another shape stay: a newer version may have written them.
    """
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    while end and not _is_json(data[(start := data.rfind(b"\n", 0, end - 1) + 1) : end]):
        end = start
    if end == len(data):
        return
    with path.open("r+b") as file:
        file.truncate(end)
        sync(file.fileno())
    log.warning(
        "%s: the last %d bytes, which no client was told are safe, were half written and are cut off.",
        path.name,
        len(data) - end,
    )


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return False
    return True
