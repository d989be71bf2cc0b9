"""The audit log: who made and revoked tokens, how servers were started, who knocked in vain.

One JSON object a line, appended, never rewritten. No secrets, no code, no prompts.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from paceline.core.errors import StorageError
from paceline.core.folders import make_private_folder

AUDIT_NAME = "audit.jsonl"
NOTE_INTERVAL_S = 60.0
"""What clients can cause is written once a minute for each kind, so that nobody fills the disk with it."""

log = logging.getLogger("paceline.server")


class AuditLog:
    """Appends to `audit.jsonl` of a state folder; the server and the command line may both do so."""

    def __init__(self, folder: Path, *, wall_s: Callable[[], float] = time.time) -> None:
        self.path = folder / AUDIT_NAME
        self._wall_s = wall_s
        self._noted: dict[tuple[str, str], _Noted] = {}

    def append(self, action: str, **details: object) -> None:
        """Write one action; when this returns, it survives a crash.

        Raises:
            StorageError: it cannot be written, so the action must not be done.
        """
        self._write(action, details, is_durable=True)

    def note(self, action: str, kind: str, **details: object) -> None:
        """Write what a client did, once a minute for each `kind`; `num_unwritten` counts the rest.

        Not waited for until it is on the disk, and a full one stops no request: the fault goes to the log.
        """
        now_s = self._wall_s()
        noted = self._noted.setdefault((action, kind), _Noted(-NOTE_INTERVAL_S, 0))
        if 0 <= now_s - noted.at_s < NOTE_INTERVAL_S:
            noted.num_unwritten += 1
            return
        details |= {"kind": kind, "num_unwritten": noted.num_unwritten}
        self._noted[action, kind] = _Noted(now_s, 0)
        try:
            self._write(action, details, is_durable=False)
        except StorageError as error:
            log.warning("%s", error)

    def _write(self, action: str, details: dict[str, object], *, is_durable: bool) -> None:
        at = datetime.fromtimestamp(self._wall_s(), UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"at": at, "action": action} | details) + b"\n"
        try:
            make_private_folder(self.path.parent)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
                if is_durable:
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as cause:
            reason = (cause.strerror or str(cause)).lower()
            raise StorageError(
                f"The audit log cannot be written: {reason}; free some space or change its permissions."
            ) from cause


class _Noted(msgspec.Struct):
    """When a kind was last written, and how often it came since."""

    at_s: float
    num_unwritten: int
