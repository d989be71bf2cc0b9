"""`paceline codeium-shim` as a process of its own, between a client and a stand-in for the server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from paceline.cli.codeium_shim import DEFAULT_SERVER, _is_silent, announced, server_to_ask
from paceline.cli.codeium_shim_app import ShimApp, in_connect_form, is_loopback_host
from paceline.core.errors import ConfigError
from tests.fakes import FakeClock

SERVICE = "/exa.language_server_pb.LanguageServerService"
WAIT_S = 20.0
"""Longest wait for another process; both cores may be busy."""
PLUGIN_FLAGS = (
    "--api_server_url", "https://server.codeium.com", "--enable_local_search", "--enable_index_service",
    "--search_max_workspace_file_count", "5000", "--enable_chat_web_server", "--enable_chat_client",
    "--enterprise_mode", "--portal_url", "https://codeium.example.com", "--search_max_workspace_file_count=5000",
    "--register_user_url", "https://api.codeium.com/register_user/", "--api_server_port", "443",
)  # fmt: skip
"""All that codeium.vim, codeium.nvim, neocodeium and codeium.el are known to send."""


class FakeServer(ThreadingHTTPServer):
    """Notes what it gets; answers `{}`, or what `reply` says; GetStatus never."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.calls: list[tuple[str, dict[str, str], Any]] = []
        self.reply: tuple[int, Any] = (200, {})
        self.is_held = threading.Event()
        self.is_closed = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class FakeHandler(BaseHTTPRequestHandler):
    """One connection of the shim."""

    protocol_version = "HTTP/1.1"
    server: FakeServer

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append((self.path, headers, json.loads(raw)))
        if self.path.endswith("/GetStatus"):
            self.server.is_held.set()
            if self.connection.recv(1) == b"":
                self.server.is_closed.set()
            self.close_connection = True
            return
        status, reply = self.server.reply
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after", "3")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Shim(NamedTuple):
    """A running one."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    server: FakeServer

    def post(self, method: str, body: Any, **headers: str) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request("POST", f"{SERVICE}/{method}", json.dumps(body), sent)
        reply = connection.getresponse()
        found = reply.status, json.loads(reply.read())
        connection.close()
        return found


@contextmanager
def started(folder: Path, server_url: str, *command: str) -> Generator[subprocess.Popen[bytes]]:
    """The process; ended if it has not ended by itself."""
    process = subprocess.Popen(
        [*(command or (sys.executable, "-m", "paceline.cli.codeium_shim")), *PLUGIN_FLAGS,
         "--manager_dir", str(folder)],
        env=os.environ | {"PACELINE_SERVER": server_url},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate(timeout=WAIT_S)


def port_in(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Wait, as plugins do, for the file that is named as the port."""
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        names = [path.name for path in folder.glob("*")] if folder.is_dir() else []
        if names:
            assert len(names) == 1, "plugins take the first file that they find"
            return int(names[0])
        assert process.poll() is None, process.communicate()[1].decode()
        pause.wait(0.02)
    raise TimeoutError("No port was announced.")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shim]:
    folder = tmp_path_factory.mktemp("shim") / "codeium" / "manager"
    server = FakeServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with started(folder, server.url) as process:
        yield Shim(process, port_in(folder, process), folder, server)
    server.shutdown()
    server.server_close()


def test_calls_reach_the_server_with_session_and_key(shim: Shim) -> None:
    shim.server.calls.clear()
    shim.server.reply = (200, {"completionItems": []})
    asked = {"metadata": {"api_key": "pl_key", "request_id": 1}, "document": {"text": "é"}}
    assert shim.post("GetCompletions", asked) == (200, {"completionItems": []})
    shim.post("CancelRequest", {"request_id": 1})
    (path, first, body), (_, second, _) = shim.server.calls
    assert (path, body) == (f"{SERVICE}/GetCompletions", asked)
    assert first["x-paceline-session"] == second["x-paceline-session"]
    assert second["authorization"] == "Bearer pl_key", "codeium.vim sends no key with it"


def test_heartbeats_are_answered_here(shim: Shim) -> None:
    shim.server.calls.clear()
    assert shim.post("Heartbeat", {"metadata": {}}) == (200, {})
    assert shim.server.calls == []


def test_failures_of_the_server_s_outer_layers_become_connect_s(shim: Shim) -> None:
    shim.server.reply = (401, {"error": {"message": "Show a token.", "type": "x"}})
    refused = shim.post("GetCompletions", {})
    assert refused == (401, {"code": "unauthenticated", "message": "Show a token."})
    shim.server.reply = (499, {"code": "canceled", "message": "Gone."})
    assert shim.post("GetCompletions", {}) == (499, {"code": "canceled", "message": "Gone."})
    shim.server.reply = (404, ["somebody else"])
    status, error = shim.post("GetCompletions", {})
    assert (status, error["code"]) == (404, "not_found")


def test_a_client_that_leaves_closes_the_request_to_the_server(shim: Shim) -> None:
    connection = HTTPConnection("127.0.0.1", shim.port, timeout=WAIT_S)
    connection.request("POST", f"{SERVICE}/GetStatus", "{}", {"Content-Type": "application/json"})
    assert shim.server.is_held.wait(WAIT_S)
    assert not shim.server.is_closed.is_set()
    connection.close()
    assert shim.server.is_closed.wait(WAIT_S)


@pytest.mark.parametrize(
    ("method", "body", "headers"),
    [
        ("GetCompletions", "{}", {"Origin": "https://page.example"}),
        ("GetCompletions", "{}", {"Host": "page.example"}),
    ],
)
def test_web_pages_may_not_call(
    shim: Shim, method: str, body: str, headers: dict[str, str]
) -> None:
    shim.server.calls.clear()
    status, error = shim.post(method, body, **headers)
    assert (status, error["code"]) == (403, "permission_denied")
    assert shim.server.calls == []


def test_it_says_nothing_on_stdout_and_takes_its_file_along(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with started(folder, "http://127.0.0.1:9") as process:
        port = port_in(folder, process)
        assert (folder / str(port)).stat().st_size == 0
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (0, b"", b"")
    assert list(folder.iterdir()) == []


def test_without_a_server_it_says_what_to_start(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with started(tmp_path / "m", url) as process:
            running = Shim(
                process, port_in(tmp_path / "m", process), tmp_path, FakeServer.__new__(FakeServer)
            )
            status, error = running.post("GetCompletions", {})
            assert (status, error["code"]) == (503, "unavailable")
            assert "paceline serve" in error["message"]
            status, reply = running.post("GetStatus", {})
            assert (status, reply["status"]["message"]) == (200, error["message"])


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    command = f'{sys.executable} -m paceline.cli.codeium_shim "$@"; exit'
    with started(folder, DEFAULT_SERVER, "/bin/sh", "-c", command, "sh") as parent:
        port_in(folder, parent)
        parent.kill()
        out, _ = parent.communicate(timeout=WAIT_S)  # until the child has closed its end, too
    assert out == b""
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("num_calls", "silent_s", "is_silent"),
    [(0, 119.0, False), (0, 121.0, True), (1, 121.0, False), (1, 1_801.0, True)],
)
def test_it_ends_when_nobody_calls(num_calls: int, silent_s: float, is_silent: bool) -> None:
    clock = FakeClock()
    app = ShimApp(DEFAULT_SERVER, monotonic_s=lambda: clock.now_ms() / 1000)
    app.num_calls = num_calls
    clock.advance(ms=silent_s * 1000)
    assert _is_silent(app) is is_silent
    asyncio.run(app.close())


def test_it_tells_a_version_and_ends() -> None:
    """neocodeium waits for that before the editor draws anything."""
    command = [sys.executable, "-m", "paceline.cli.codeium_shim", "--version"]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=WAIT_S)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_it_is_light() -> None:
    code = (
        "import sys, paceline.cli.codeium_shim, paceline.cli.codeium_shim_app\n"
        "print([name for name in ('torch', 'numpy', 'fastapi', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("api_server_url", "named", "wanted"),
    [
        ("https://server.codeium.com", None, DEFAULT_SERVER),
        ("https://web-backend.windsurf.com:443/x", "", DEFAULT_SERVER),
        ("", None, DEFAULT_SERVER),
        ("http://127.0.0.1:9000/", None, "http://127.0.0.1:9000"),
        ("https://paceline.example", None, "https://paceline.example"),
        ("https://notcodeium.com", None, "https://notcodeium.com"),
        ("https://server.codeium.com", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_which_server_is_asked(api_server_url: str, named: str | None, wanted: str) -> None:
    assert server_to_ask(api_server_url, named) == wanted


@pytest.mark.parametrize(
    ("api_server_url", "named", "word"),
    [
        ("", "127.0.0.1:8012", "PACELINE_SERVER"),
        ("", "ftp://a", "PACELINE_SERVER"),
        ("http://[", None, "--api_server_url"),
        ("http://a:99999", None, "--api_server_url"),
    ],
)
def test_what_is_no_address_is_refused(api_server_url: str, named: str | None, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        server_to_ask(api_server_url, named)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--manager_dir"), announced(str(tmp_path / "file"), 1):
        pass


def test_hosts_of_this_machine() -> None:
    ours = ("127.0.0.1:1", "localhost:2", "localhost", "[::1]:3", "127.8.0.1")
    theirs = ("", "page.example", "localhost.page.example:1", "10.0.0.1:1", "[")
    assert all(map(is_loopback_host, ours))
    assert not any(map(is_loopback_host, theirs))


def test_replies_that_are_no_json_are_told_in_connect_s_form() -> None:
    status, headers, body = in_connect_form(502, {"server": "x"}, b"<html>")
    assert (status, headers["content-type"]) == (502, "application/json")
    assert json.loads(body)["code"] == "unavailable"
