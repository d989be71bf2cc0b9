"""A file that grows by whole pieces: each is on the disk when `append` returns, or leaves no trace."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

FILE_MODE = 0o600
"""Nobody else's business."""


class AppendFile:
    """The only writer of one file. Not safe for threads."""

    def __init__(self, path: Path) -> None:
        """Open `path`, made if need be, to write after what it has. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._fd = os.open(path, flags, FILE_MODE)
        self.num_bytes = os.fstat(self._fd).st_size
        """Of the pieces that are safe."""
        self._is_torn = False
        """May something stand behind them?"""

    def append(self, data: bytes) -> None:
        """Write `data` and wait until the disk has it.

        Raises:
            OSError: it has not, and what was written is cut off again. Where even that fails, it is tried
                anew before the next piece, which is refused until then.
        """
        if self._is_torn:
            self._cut()
        try:
            _write_all(self._fd, data)
            sync(self._fd)
        except BaseException:
            self._is_torn = True
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self.num_bytes += len(data)

    def close(self) -> None:
        """Write no more; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _cut(self) -> None:
        """Take away what was written of a piece that failed.

        After a failed fsync the system may take pages for clean that never reached the disk. Cut off and
        written anew, they are dirty again, so that the next fsync speaks of them.
        """
        os.ftruncate(self._fd, self.num_bytes)
        sync(self._fd)
        self._is_torn = False


def sync(fd: int) -> None:
    """Wait until the disk has the file or folder behind `fd`; on macOS fsync alone stops at the drive's cache."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder's files."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    """A disk that fills up writes a part first, and fails at the rest."""
    rest = memoryview(data)
    while rest:
        num_written = os.write(fd, rest)
        if num_written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[num_written:]
