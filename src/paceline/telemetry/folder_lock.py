"""One process at a time writes to a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from paceline.core.errors import ConfigError
from paceline.telemetry.append_file import FILE_MODE

LOCK_NAME = "lock"


class FolderLock:
    """Held until `release`, or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            ConfigError: another server has it.
            OSError: the lock file cannot be made.
        """
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise ConfigError(
                f"Another server keeps its events in {folder}; stop it, or give this one a folder of its own."
            ) from None
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Let others have it; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
