"""Who a token stands for: the tokens of a state folder, watched for changes, with their meters.

Owned by whoever opens it (the command line); the middleware asks it and flushes usage while the app runs.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from paceline.core.errors import StorageError, UnauthorizedError
from paceline.server.auth.audit import AuditLog
from paceline.server.auth.meter import Ledger, TokenMeter, month_of
from paceline.server.auth.tokens import TOKEN_PATTERN, TokenRecord, TokenStore, hash_secret
from paceline.server.caller import Caller

FLUSH_INTERVAL_S = 2.0
"""So much usage a crash forgets, at most."""
NO_SUCH_HASH = hash_secret("")
"""Compared with when no token has the id, so that both cases take the same path."""

log = logging.getLogger("paceline.server")

SENTENCES = {
    "unknown": "The token is not known here; `paceline token create` makes one.",
    "expired": "The token has expired; `paceline token create` makes a new one.",
    "revoked": "The token was revoked; `paceline token create` makes a new one.",
}


class Authority:
    """Answers who shows a token, and counts what each uses."""

    def __init__(
        self, store: TokenStore, audit: AuditLog, *, wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.store, self.audit = store, audit
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._ledger = Ledger(wall_s)
        self._records: dict[str, TokenRecord] = {}
        self._callers: dict[str, Caller] = {}
        self._meters: dict[str, TokenMeter] = {}
        self._is_flushing = self._is_failing = False
        self._refresh()

    @classmethod
    def open(cls, state_folder: Path) -> Authority:
        """Open the tokens of a folder, which is created if need be.

        Raises:
            StorageError: it cannot be used.
        """
        return cls(TokenStore(state_folder), AuditLog(state_folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is not yet written of the usage. No request may run any more."""
        try:
            if pending := self._ledger.pending():
                self._write(pending)
                self._ledger.settle(pending)
        except StorageError as error:
            log.warning("%s", error)
        self.store.close()

    def authenticate(self, token: str) -> Caller:
        """Whom `token` stands for; `paceline token revoke` holds from the next call on.

        Raises:
            UnauthorizedError: it is unknown, expired or revoked.
            StorageError: the token file is gone or damaged.
        """
        match = TOKEN_PATTERN.fullmatch(token)
        token_id, secret = match.groups() if match else ("", "")
        self._refresh_if_changed()
        record = self._records.get(token_id)
        known = NO_SUCH_HASH if record is None else record.secret_hash
        if not hmac.compare_digest(hash_secret(secret), known) or record is None:
            raise UnauthorizedError(SENTENCES["unknown"])
        self._check_state(token_id)
        return self._callers[token_id]

    def has_usable_tokens(self) -> bool:
        """Could anybody get in?"""
        self._refresh_if_changed()
        now_s = self._wall_s()
        return any(record.state(now_s) == "active" for record in self._records.values())

    async def flush(self) -> None:
        """Write the usage so far, in a thread; what cannot be written is kept for the next time."""
        pending = self._ledger.pending()
        if self._is_flushing or not pending:
            return
        self._is_flushing = True
        try:
            month, usage = await asyncio.to_thread(self._write, pending)
        except StorageError as error:
            if not self._is_failing:  # it is tried again every few seconds
                log.warning("Usage of tokens is not written yet. %s", error)
            self._is_failing = True
            return
        finally:
            self._is_flushing = False
        self._is_failing = False
        self._ledger.settle(pending)
        self._ledger.learn(month, usage)

    async def flush_forever(self) -> None:
        """Flush every FLUSH_INTERVAL_S until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await asyncio.shield(asyncio.ensure_future(self.flush()))

    def _write(self, pending: dict[tuple[str, str], int]) -> tuple[str, dict[str, int]]:
        """Add to the file; return (month, its whole usage), other servers' included."""
        self.store.add_usage(pending)
        month = month_of(self._wall_s())
        return month, self.store.usage(month)

    def _check_state(self, token_id: str) -> None:
        record = self._records.get(token_id)
        state = "unknown" if record is None else record.state(self._wall_s())
        if state != "active":
            raise UnauthorizedError(SENTENCES[state])

    def _check_again(self, token_id: str) -> None:
        self._refresh_if_changed()
        self._check_state(token_id)

    def _refresh_if_changed(self) -> None:
        if self.store.is_changed():
            self._refresh()

    def _refresh(self) -> None:
        """Read the file again; running requests keep their meters."""
        records = {record.token_id: record for record in self.store.records()}
        if (
            not self._is_flushing
        ):  # what is pending may be in the file already: it would count twice
            month = month_of(self._wall_s())
            self._ledger.learn(month, self.store.usage(month))
        for record in records.values():
            self._callers[record.token_id] = self._caller_of(record)
        self._records = records

    def _caller_of(self, record: TokenRecord) -> Caller:
        token_id = record.token_id
        meter = self._meters.get(token_id)
        if meter is None:
            meter = self._meters[token_id] = TokenMeter(
                token_id,
                record.quotas,
                self._ledger,
                check=self._check_again,
                wall_s=self._wall_s,
                monotonic_s=self._monotonic_s,
            )
        meter.quotas = record.quotas
        return Caller(user_id=record.user_id, token_id=token_id, scopes=record.scopes, meter=meter)
