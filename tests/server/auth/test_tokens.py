"""Tokens at rest, and who they stand for while they change under a running server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from paceline.core.errors import (
    ConfigError,
    InputError,
    QuotaError,
    StorageError,
    UnauthorizedError,
)
from paceline.server.auth.audit import AuditLog
from paceline.server.auth.tokens import TIERS, TOKEN_CHARS, TOKEN_PATTERN, Quotas, TokenStore
from tests.server.auth.people import DAY_S, NOVEMBER_S, Clocks, authority_of


def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "state")
    token, record = store.create("ada", tier="free")
    assert TOKEN_PATTERN.fullmatch(token) and len(token) == TOKEN_CHARS
    assert token == f"pl_{record.token_id}{token[11:]}"
    assert token.endswith(record.last_four)
    assert store.records() == (record,)
    assert record.quotas == TIERS["free"]
    assert record.scopes == {"complete", "events"}
    assert token[11:].encode() not in store.path.read_bytes()
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    assert store.create("ada")[0] != token


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = TokenStore(tmp_path).path
    path.chmod(0o644)
    TokenStore(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("user", ["", "a b", "-a", "a\0b", "a\n", "x" * 65, "ü"])
def test_names_that_are_none(tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigError, match="user name"):
        TokenStore(tmp_path).create(user)


def test_what_cannot_be_created(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    with pytest.raises(ConfigError, match="Tiers are"):
        store.create("ada", tier="gold")
    with pytest.raises(ConfigError, match="Scopes are"):
        store.create("ada", scopes=frozenset())
    with pytest.raises(ConfigError, match="max_concurrent"):
        Quotas(max_concurrent=0)
    assert store.records() == ()


def test_no_token_without_its_line_in_the_audit_log(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    (tmp_path / "audit.jsonl").mkdir()
    audit = AuditLog(tmp_path)
    with pytest.raises(StorageError, match="audit log"):
        store.create("ada", before_commit=lambda record: audit.append("token_create"))
    assert store.records() == ()
    _, record = store.create("ada")
    with pytest.raises(StorageError):
        store.revoke(record.token_id, before_commit=lambda record: audit.append("token_revoke"))
    assert store.records()[0].revoked_s is None


def test_authentication(tmp_path: Path) -> None:
    clocks = Clocks()
    authority = authority_of(tmp_path, clocks)
    command_line = TokenStore(tmp_path, wall_s=clocks.wall_s)  # another process
    assert not authority.has_usable_tokens()
    token, record = command_line.create("ada", valid_for_s=DAY_S)
    assert authority.has_usable_tokens()  # noticed without a restart
    caller = authority.authenticate(token)
    assert (caller.user_id, caller.token_id) == ("ada", record.token_id)
    other, _ = command_line.create("bob")
    for wrong in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token[:11] + other[11:],
        token.upper(), token[3:], token + "x", "", "pl_", "pl_" + "0" * 51, "sk-none", "ü" * 54,
    ):  # fmt: skip
        with pytest.raises(UnauthorizedError, match="not known"):
            authority.authenticate(wrong)
    clocks.seconds = DAY_S
    with pytest.raises(UnauthorizedError, match="expired"):
        authority.authenticate(token)
    bob = authority.authenticate(other)
    command_line.revoke(bob.token_id)
    with pytest.raises(UnauthorizedError, match="revoked"):
        authority.authenticate(other)
    with pytest.raises(UnauthorizedError, match="revoked"):
        bob.meter.begin()  # a WebSocket that was opened before
    assert not authority.has_usable_tokens()
    with pytest.raises(InputError, match="No token has the id"):
        command_line.revoke("00000000")
    assert command_line.revoke(bob.token_id).revoked_s == NOVEMBER_S + DAY_S


def test_a_file_that_is_gone_or_damaged_lets_nobody_in(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    assert authority.authenticate(token)
    authority.store.path.unlink()
    with pytest.raises(StorageError):
        authority.authenticate(token)
    authority.store.path.write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="token file"):
        authority.authenticate(token)
    authority.close()


def test_a_newer_file_and_a_damaged_row_are_refused(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.create("ada")
    database = sqlite3.connect(store.path)
    database.execute("UPDATE tokens SET scopes = 'root'")
    database.commit()
    with pytest.raises(StorageError, match="damaged"):
        store.records()
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(StorageError, match="newer"):
        TokenStore(tmp_path)


def test_a_full_disk_is_named_and_stops_nobody_from_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenStore(tmp_path).create("ada")
    connect = TokenStore._connect

    def connect_without_space(store: TokenStore, timeout_s: float) -> sqlite3.Connection:
        database = connect(store, timeout_s)
        database.execute("PRAGMA max_page_count = 1")  # SQLite takes what there is for the limit
        return database

    monkeypatch.setattr(TokenStore, "_connect", connect_without_space)
    store = TokenStore(tmp_path)
    with pytest.raises(StorageError, match="database or disk is full"):
        for _ in range(50):
            store.create("bob")
    with pytest.raises(StorageError, match="database or disk is full"):
        store.add_usage({(f"{number:08}", "2026-11"): 1 for number in range(2_000)})
    assert "ada" in [record.user_id for record in TokenStore(tmp_path).records()]
    assert store.usage("2026-11") == {}


def test_a_writer_at_work_stops_no_request(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    token, _ = authority.store.create("ada")
    assert authority.authenticate(token)
    writer = sqlite3.connect(authority.store.path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE tokens SET revoked_s = 1")
    assert authority.authenticate(token)
    writer.execute("COMMIT")
    writer.close()
    with pytest.raises(UnauthorizedError):
        authority.authenticate(token)


def test_usage_survives_and_adds_up_over_servers(tmp_path: Path) -> None:
    clocks = Clocks()
    first, second = authority_of(tmp_path, clocks), authority_of(tmp_path, clocks)
    token, record = first.store.create("ada", quotas=Quotas(tokens_per_month=100))
    for authority, num_tokens in ((first, 30), (second, 60)):
        meter = authority.authenticate(token).meter
        meter.begin()
        meter.end(num_tokens)
        asyncio.run(authority.flush())
        asyncio.run(authority.flush())
    assert first.store.usage("2026-11") == {record.token_id: 90}
    meter = first.authenticate(token).meter
    meter.begin()
    meter.end(10)
    with pytest.raises(QuotaError, match="100 tokens"):
        meter.begin()
    first.close()
    again = authority_of(tmp_path, clocks)
    meter = again.authenticate(token).meter
    with pytest.raises(QuotaError) as refused:
        meter.begin()
    assert refused.value.retry_after_s == 6 * DAY_S  # December starts
    clocks.seconds = 6 * DAY_S
    meter.begin()
    meter.end(7)
    asyncio.run(again.flush())
    assert again.store.usage("2026-12") == {record.token_id: 7}
    assert again.store.usage("2026-11") == {record.token_id: 100}
    for authority in (first, second, again):
        authority.close()


def test_usage_that_cannot_be_written_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every two seconds it is tried again; the log says it once."""
    authority = authority_of(tmp_path)
    token, record = authority.store.create("ada")
    meter = authority.authenticate(token).meter
    meter.begin()
    meter.end(5)

    def fail(counts: object) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(authority.store, "add_usage", fail)
        for _ in range(3):
            asyncio.run(authority.flush())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert authority.store.usage("2026-11") == {}
    authority.close()
    assert authority.store.usage("2026-11") == {record.token_id: 5}


def test_audit_lines_hold_no_secret_and_come_once_a_minute(tmp_path: Path) -> None:
    clocks = Clocks()
    audit = AuditLog(tmp_path, wall_s=clocks.wall_s)
    for second in range(0, 130, 10):
        clocks.seconds = second
        audit.note("unauthorized", "unknown", client="10.0.0.1")
    audit.note("unauthorized", "expired")
    lines = [json.loads(line) for line in audit.path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["unknown", "unknown", "unknown", "expired"]
    assert [line["num_unwritten"] for line in lines] == [0, 5, 5, 0]
    assert lines[0]["at"] == "2026-11-25T00:00:00.000+00:00"
    assert audit.path.stat().st_mode & 0o777 == 0o600
    clocks.seconds = 1e6
    audit.path.unlink()
    audit.path.mkdir()
    audit.note("unauthorized", "unknown")  # no request fails because of it
