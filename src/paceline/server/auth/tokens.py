"""Access tokens at rest: one SQLite file, 0600, shared by running servers and `paceline token`.

SQLite rather than lines of JSON, because several processes write (the command line creates and revokes,
each server adds up usage): its transactions are the atomic writes and the locks. A token is shown once;
the file has only a hash of its secret part. SHA-256 is enough for that: the secret is 256 random bits, so
there is nothing to guess that a slow password hash would have to slow down.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from paceline.core.errors import ConfigError, InputError, StorageError
from paceline.core.folders import make_private_folder
from paceline.server.caller import ALL_SCOPES, Scope

TOKENS_NAME = "tokens.sqlite3"
TOKEN_PATTERN = re.compile(r"pl_([0-9a-f]{8})([A-Za-z0-9_-]{43})")
"""Prefix, id, secret. Of fixed length, so that what a protocol appends (Codeium's `-SESSION`) can be told apart."""
TOKEN_CHARS = 54
BUSY_S = 5.0
"""So long does a writer wait for another."""
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    token_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, secret_hash BLOB NOT NULL, last_four TEXT NOT NULL,
    scopes TEXT NOT NULL, tier TEXT NOT NULL, requests_per_minute INTEGER, max_concurrent INTEGER,
    tokens_per_month INTEGER, created_s REAL NOT NULL, expires_s REAL, revoked_s REAL
);
CREATE TABLE IF NOT EXISTS usage (
    token_id TEXT NOT NULL, month TEXT NOT NULL, num_tokens INTEGER NOT NULL, PRIMARY KEY (token_id, month)
);
"""

TokenState = Literal["active", "expired", "revoked"]


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """What one token may use; None: no limit."""

    requests_per_minute: int | None = None
    max_concurrent: int | None = None
    tokens_per_month: int | None = None
    """Of prompt (computed, not cached) and answer together, in calendar months of UTC."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 1 <= value < 2**63:
                raise ConfigError(f"{name} must be at least 1.")


TIERS: Mapping[str, Quotas] = {
    "unlimited": Quotas(),
    "team": Quotas(requests_per_minute=1200, max_concurrent=8, tokens_per_month=200_000_000),
    "free": Quotas(requests_per_minute=240, max_concurrent=2, tokens_per_month=5_000_000),
}
"""Presets. Somebody who types asks 2 to 5 times a second; a cached prompt costs 5 to 50 tokens a request."""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one token. Times are seconds since 1970."""

    token_id: str
    user_id: str
    secret_hash: bytes
    last_four: str
    scopes: frozenset[Scope]
    tier: str
    quotas: Quotas
    created_s: float
    expires_s: float | None
    revoked_s: float | None

    def state(self, now_s: float) -> TokenState:
        """May it be used now?"""
        if self.revoked_s is not None:
            return "revoked"
        return "expired" if self.expires_s is not None and now_s >= self.expires_s else "active"


def hash_secret(secret: str) -> bytes:
    """What is kept of a secret part."""
    return hashlib.sha256(secret.encode()).digest()


class TokenStore:
    """The file of tokens in a state folder, created with it.

    Every method may raise StorageError: the file cannot be read or written.
    """

    def __init__(self, folder: Path, *, wall_s: Callable[[], float] = time.time) -> None:
        self.path = folder / TOKENS_NAME
        self._wall_s = wall_s
        self._watched: sqlite3.Connection | None = None
        self._seen: tuple[object, ...] = ()
        self._make_private()
        if self._version() == _VERSION:  # then nothing need be written: the disk may be full
            return
        with self._writing() as database:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")

    def create(
        self,
        user_id: str,
        *,
        scopes: frozenset[Scope] = frozenset(("complete", "events")),
        tier: str = "unlimited",
        quotas: Quotas | None = None,
        valid_for_s: float | None = None,
        before_commit: Callable[[TokenRecord], None] = lambda record: None,
    ) -> tuple[str, TokenRecord]:
        """Make a token; return it, which nobody can do a second time, and what is kept.

        Args:
            quotas: else those of `tier`.
            before_commit: if it fails, there is no token.

        Raises:
            ConfigError: the name, a scope or the tier is not one.
        """
        if not _USER.fullmatch(user_id):
            raise ConfigError(
                "A user name has 1 to 64 letters, digits and . _ @ + - and starts with a letter or digit."
            )
        if not scopes or scopes - ALL_SCOPES:
            raise ConfigError(f"Scopes are one or more of {', '.join(sorted(ALL_SCOPES))}.")
        if tier not in TIERS:
            raise ConfigError(f"Tiers are {', '.join(TIERS)}.")
        now_s = self._wall_s()
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        record = TokenRecord(
            token_id=token_id,
            user_id=user_id,
            secret_hash=hash_secret(secret),
            last_four=secret[-4:],
            scopes=scopes,
            tier=tier,
            quotas=TIERS[tier] if quotas is None else quotas,
            created_s=now_s,
            expires_s=None if valid_for_s is None else now_s + valid_for_s,
            revoked_s=None,
        )
        with self._writing() as database:
            row = _row_of(record)
            database.execute(f"INSERT INTO tokens VALUES ({', '.join('?' * len(row))})", row)
            before_commit(record)
        return f"pl_{token_id}{secret}", record

    def revoke(
        self, token_id: str, before_commit: Callable[[TokenRecord], None] = lambda record: None
    ) -> TokenRecord:
        """End a token for good; once more changes nothing.

        Raises:
            InputError: there is no such token.
        """
        with self._writing() as database:
            found = database.execute(
                "SELECT * FROM tokens WHERE token_id = ?", (token_id,)
            ).fetchone()
            if found is None:
                raise InputError(f"No token has the id {token_id!r}; see `paceline token list`.")
            record = _record_of(found)
            if record.revoked_s is None:
                record = msgspec.structs.replace(record, revoked_s=self._wall_s())
                database.execute(
                    "UPDATE tokens SET revoked_s = ? WHERE token_id = ?",
                    (record.revoked_s, token_id),
                )
                before_commit(record)
        return record

    def records(self) -> tuple[TokenRecord, ...]:
        """Every token, the oldest first."""
        with self._connected(BUSY_S) as database:
            rows = database.execute("SELECT * FROM tokens ORDER BY created_s, token_id").fetchall()
        return tuple(map(_record_of, rows))

    def usage(self, month: str) -> dict[str, int]:
        """Tokens used in a month (`2026-11`) by token id."""
        with self._connected(BUSY_S) as database:
            rows = database.execute(
                "SELECT token_id, num_tokens FROM usage WHERE month = ?", (month,)
            ).fetchall()
        return dict(rows)

    def add_usage(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Add to the usage of each (token id, month); all or nothing."""
        with self._writing() as database:
            database.executemany(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (token_id, month) "
                "DO UPDATE SET num_tokens = num_tokens + excluded.num_tokens",
                [(*key, num_tokens) for key, num_tokens in counts.items()],
            )

    def is_changed(self) -> bool:
        """Has another process (or method) written since the last call? True at the first. About 10 µs.

        A writer that is at work just now counts as no change yet.
        """
        try:
            stat = self.path.stat()
            if self._watched is None or self._seen[:2] != (stat.st_dev, stat.st_ino):
                self.close()
                self._watched = self._connect(timeout_s=0)
            version = self._watched.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError as cause:
            if "locked" in str(cause):
                return False
            raise _storage_error(cause) from cause
        except (OSError, sqlite3.Error) as cause:
            raise _storage_error(cause) from cause
        seen = (stat.st_dev, stat.st_ino, version)
        is_changed, self._seen = seen != self._seen, seen
        return is_changed

    def close(self) -> None:
        """Give back what `is_changed` holds."""
        if self._watched is not None:
            self._watched.close()
            self._watched, self._seen = None, ()

    def _version(self) -> int:
        with self._connected(BUSY_S) as database:
            version: int = database.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise StorageError(
                "The token file was written by a newer Paceline; use that one, or another folder."
            )
        return version

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=timeout_s, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def _connected(self, timeout_s: float) -> Generator[sqlite3.Connection]:
        try:
            database = self._connect(timeout_s)
            try:
                yield database
            finally:
                database.close()
        except (OSError, sqlite3.Error) as cause:
            raise _storage_error(cause) from cause

    def _make_private(self) -> None:
        """The file is made here, readable by its owner alone."""
        try:
            _make_private_file(self.path)
        except OSError as cause:
            raise _storage_error(cause) from cause

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """A transaction; an exception undoes it."""
        self._make_private()
        with self._connected(BUSY_S) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite has ended it itself if the disk is full
                    database.execute("ROLLBACK")
                raise


def _make_private_file(path: Path) -> None:
    """Never opens a file that is there: to close it would drop this process' locks on it (POSIX)."""
    make_private_folder(path.parent)
    if path.exists():
        if path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
        return
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _row_of(record: TokenRecord) -> tuple[object, ...]:
    quotas = record.quotas
    return (
        *(record.token_id, record.user_id, record.secret_hash, record.last_four),
        *(" ".join(sorted(record.scopes)), record.tier),
        *(quotas.requests_per_minute, quotas.max_concurrent, quotas.tokens_per_month),
        *(record.created_s, record.expires_s, record.revoked_s),
    )


def _record_of(row: tuple[object, ...]) -> TokenRecord:
    names = ("token_id", "user_id", "secret_hash", "last_four", "scopes", "tier")
    limits = ("requests_per_minute", "max_concurrent", "tokens_per_month")
    times = ("created_s", "expires_s", "revoked_s")
    fields: dict[str, object] = dict(zip((*names, *limits, *times), row, strict=True))
    fields["scopes"] = str(fields["scopes"]).split()
    fields["quotas"] = {name: fields.pop(name) for name in limits}
    try:
        return msgspec.convert(fields, TokenRecord)
    except (msgspec.ValidationError, ConfigError) as cause:
        raise StorageError("The token file is damaged; put a backup in its place.") from cause


def _storage_error(cause: Exception) -> StorageError:
    reason = str(getattr(cause, "strerror", None) or cause).lower()
    return StorageError(
        f"The token file cannot be used: {reason}; check the state folder's space and permissions."
    )
