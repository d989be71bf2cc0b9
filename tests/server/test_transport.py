"""Limits of a connection, against a real server process with short ones. Waits for replies, never for time."""

from __future__ import annotations

import json
import resource
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from paceline.core.errors import ConfigError
from paceline.server.auth.tokens import Quotas
from paceline.server.config import TransportLimits
from paceline.server.run import Tls, allow_open_files, bind, load_tls, serve
from paceline.server.transport import raw_reply
from tests.server.auth.people import authority_of
from tests.server.guarded_server import create_guarded_app

TIMEOUT_S = 60
LIMITS = {
    "header_timeout_s": 0.5, "body_timeout_s": 0.8, "write_timeout_s": 0.5, "max_connections": 40,
    "max_header_bytes": 8000, "max_message_bytes": 1000, "ping_interval_s": 0.2, "ping_timeout_s": 0.8,
}  # fmt: skip
"""Short, but a test that waits for the processor for half a second must not be taken for a slow client."""
HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@contextmanager
def guarded_server(*files: Path, **limits: float) -> Iterator[int]:
    """The port of a process that serves tests/server/guarded_server.py."""
    module, settings = "tests.server.guarded_server", json.dumps(LIMITS | limits)
    command = [sys.executable, "-m", module, settings, *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with guarded_server() as number:
        yield number


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def last_words(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """(status, error) of what the server says before it closes; (0, {}) for nothing."""
    response = HTTPResponse(connection)
    try:
        response.begin()
    except ConnectionError:  # RemoteDisconnected: closed without a word
        return 0, {}
    body = response.read()
    assert connection.recv(1) == b""  # and closes
    return response.status, json.loads(body)["error"]


NEVER_WHOLE = [
    (b"", 0, None),
    (b"GET /echo HTTP/1.1\r\nHost: loc", 408, "slow_headers"),
    (b"GET /echo HTTP/1.1\r\nHost: localhost\r\n", 408, "slow_headers"),
    (b"G", 408, "slow_headers"),
    (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n123", 408, "slow_body"),
    (b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000, 431, "headers_too_long"),
    (b"nonsense\r\n\r\n", 400, "bad_http"),
]


def test_what_never_arrives(port: int) -> None:
    """All at once: each waits for a deadline of its own."""
    with ExitStack() as stack:
        connections = [stack.enter_context(dial(port)) for _ in NEVER_WHOLE]
        for connection, (sent, _, _) in zip(connections, NEVER_WHOLE, strict=True):
            connection.sendall(sent)
        for connection, (sent, status, code) in zip(connections, NEVER_WHOLE, strict=True):
            told, error = last_words(connection)
            assert (told, error.get("code")) == (status, code), sent


def test_the_rest_of_an_answered_body_must_come_in_time_too(port: int) -> None:
    with dial(port) as connection:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"5\r\nab")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
        connection.sendall(b"c")
        while connection.recv(9999):
            pass


PIECES = st.sampled_from(
    [
        *(b"GET /echo HTTP/1.1\r\n", b"POST /echo HTTP/1.1\r\n", b"GET /socket HTTP/1.1\r\n"),
        *(b"Host: localhost\r\n", b"Content-Length: 3\r\n", b"Content-Length: -1\r\n", b"abc"),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"Connection: close\r\n",
        ),
        *(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n"),
        *(b"\r\n", b"\n", b":", b"\0", b"\xff", b" HTTP/1.0\r\n", b"\x81\x81\0\0\0\0a"),
    ]
)


@given(st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=200))
@settings(max_examples=40)
def test_no_bytes_break_the_server(port: int, sent: bytes) -> None:
    with dial(port) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: connection.recv(9999), b""))
        assert b"HTTP/1.1 5" not in heard
    other = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    assert echo(other) == b"0"
    other.close()


def test_a_drop_now_and_then_does_not_help(port: int) -> None:
    """The deadline counts from the first byte; on a kept connection, too."""
    with dial(port) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = HTTPResponse(connection)
        response.begin()
        assert response.read() == b"0"
        with pytest.raises(OSError):
            for letter in iter(lambda: b"x", b""):
                connection.sendall(letter)
                connection.settimeout(0.05)
                try:
                    if connection.recv(9999) == b"":
                        raise ConnectionResetError
                except TimeoutError:
                    continue


def test_others_are_served_meanwhile(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            slow = stack.enter_context(dial(port))
            slow.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        for size in (0, 10, 300_000):
            connection.request("POST", "/echo", b"x" * size)
            assert connection.getresponse().read() == b"%d" % size
        connection.close()


def test_a_client_that_does_not_read_is_cut_off(port: int) -> None:
    with dial(port) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(10)
        other = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        num_open = 1
        while num_open:
            other.request("GET", "/streams")
            num_open = json.loads(other.getresponse().read())["open"]
        other.close()


def test_one_connection_too_many_is_told_so() -> None:
    with guarded_server(max_connections=3, header_timeout_s=60) as port, ExitStack() as stack:
        first = stack.enter_context(dial(port))
        held = [HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S) for _ in range(2)]
        for connection in held:
            stack.callback(connection.close)
            assert echo(connection) == b"0"
        with dial(port) as extra:
            extra.sendall(
                b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
            )
            extra.sendall(b"x" * 200_000)
            status, error = last_words(extra)
            assert (status, error["code"]) == (503, "too_many_connections")
            assert error["type"] == "server_error"
        first.close()
        assert echo(held[0]) == b"0"


def echo(connection: HTTPConnection) -> bytes:
    connection.request("GET", "/echo")
    return connection.getresponse().read()


def test_websockets_live_on_and_have_limits(port: int) -> None:
    """They outlast every deadline of HTTP as long as they answer pings; a long message closes one."""
    uri = f"ws://127.0.0.1:{port}/socket"
    with connect(uri) as idle, connect(uri, ping_interval=None) as talker:
        for _ in range(3):
            talker.send("a")
            assert talker.recv(TIMEOUT_S) == "a"
        talker.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            talker.recv(TIMEOUT_S)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        with dial(
            port
        ) as slow:  # by the time this is refused, the idle socket has outlived the limits
            slow.sendall(b"GET ")
            assert last_words(slow)[0] == 408
        idle.send("still here")
        assert idle.recv(TIMEOUT_S) == "still here"


def test_a_socket_whose_client_is_dead_is_closed(port: int) -> None:
    with dial(port) as connection:
        connection.sendall(HANDSHAKE)
        while connection.recv(9999):  # pings, which nobody answers
            pass


def test_raw_replies_are_whole() -> None:
    head, _, body = raw_reply(503, "No.", "x").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"content-length: %d\r\n" % len(body) in head
    assert b"connection: close" in head and b"retry-after: 1" in head


def test_only_loopback_without_tokens(tmp_path: Path) -> None:
    authority = authority_of(tmp_path)
    for known in (None, authority):
        with pytest.raises(ConfigError, match="paceline token create"):
            bind("0.0.0.0", 0, known)
    _, record = authority.store.create("ada", quotas=Quotas())
    bind("0.0.0.0", 0, authority).close()
    authority.store.revoke(record.token_id)
    with pytest.raises(ConfigError, match="paceline token create"):
        bind("0.0.0.0", 0, authority)
    bind("127.0.0.1", 0).close()
    with pytest.raises(ConfigError, match="Cannot listen"):
        bind("127.0.0.1.invalid", 0, authority_with_token(tmp_path))


def test_elsewhere_than_on_loopback_everybody_must_show_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who connect from this machine, too; and the start is in the audit log."""
    monkeypatch.setattr("paceline.server.run._Server.run", lambda server, sockets: None)
    monkeypatch.setattr("paceline.server.run.allow_open_files", lambda num_files: 100)
    monkeypatch.setattr("sys.setswitchinterval", lambda seconds: None)
    authority = authority_with_token(tmp_path)
    for host, status in (("127.0.0.1", 200), ("0.0.0.0", 401)):
        app = create_guarded_app(TransportLimits(), authority)
        with bind(host, 0, authority) as listener:
            serve(app, listener)
        client = TestClient(app, base_url="http://127.0.0.1")
        assert client.get("/echo").status_code == status
    lines = [json.loads(line) for line in authority.audit.path.read_text().splitlines()]
    starts = [line for line in lines if line["action"] == "server_start"]
    assert [line["is_token_required"] for line in starts] == [False, True]
    assert [line["host"] for line in starts] == ["127.0.0.1", "0.0.0.0"]


def authority_with_token(folder: Path) -> Any:
    authority = authority_of(folder)
    authority.store.create("bob")
    return authority


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no PEM")
    for tls in (Tls(tmp_path / "none", text), Tls(text, tmp_path), Tls(text, text)):
        with pytest.raises(ConfigError, match="--tls-cert"):
            load_tls(tls)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(cert))
    with guarded_server(cert, key) as port:
        connection = HTTPSConnection("localhost", port, context=context, timeout=TIMEOUT_S)
        connection.request("POST", "/echo", b"x" * 300_000)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"300000")
        connection.close()
        with dial(port) as plain, context.wrap_socket(plain, server_hostname="localhost") as slow:
            slow.sendall(b"GET /echo HTTP/1.1\r\nHost: loc")
            assert last_words(slow)[0] == 408
        with connect(f"wss://localhost:{port}/socket", ssl=context) as socket:
            socket.send("a")
            assert socket.recv(TIMEOUT_S) == "a"
    command = "openssl ec -aes256 -passout pass:secret -in"
    locked = tmp_path / "locked.pem"
    subprocess.run([*command.split(), key, "-out", locked], check=True, capture_output=True)
    with pytest.raises(ConfigError, match="password"):
        load_tls(Tls(cert, locked))
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", other],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="key"):
        load_tls(Tls(cert, other))


def test_open_files_are_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert allow_open_files(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        assert allow_open_files(100) == 100  # never lowered
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_a_thousand_idle_sockets_hinder_nobody() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_open_files(1500)
    limits = {"max_connections": 1010, "ping_interval_s": 60.0, "header_timeout_s": 30.0}
    try:
        with guarded_server(**limits) as port, ExitStack() as stack:
            idle = [stack.enter_context(dial(port)) for _ in range(1000)]
            for connection in idle:
                connection.sendall(HANDSHAKE)
            for connection in idle:
                assert connection.recv(9999).startswith(b"HTTP/1.1 101")
            other = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            stack.callback(other.close)
            assert echo(other) == b"0"
            with connect(f"ws://127.0.0.1:{port}/socket") as talker:
                talker.send("a")
                assert talker.recv(TIMEOUT_S) == "a"
            idle[500].sendall(b"\x81\x81\0\0\0\0a")  # a frame of text, masked with zeros
            assert idle[500].recv(9) == b"\x81\x01a"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
