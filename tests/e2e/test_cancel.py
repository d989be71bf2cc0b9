"""A client that is killed in the middle stops the engine, in every dialect, streaming or not.

Counted by the engine itself, with the shipped model: steps after the client was dead (/metrics). The steps are
slowed down (throttled_server.py), so that there is a middle.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.e2e.server_process import running_server

pytestmark = pytest.mark.e2e

WAIT_S = 60.0
POLL_S = 0.02
MOST_STEPS_AFTER = 3
"""The one that runs when the client dies, one that begins before the server's loop has read of it, and one for
a machine that is busy."""
PREFIX = '''import json


class Account:
    def __init__(self, name, balance=0):
        self.name = name
        self.balance = balance

    def deposit(self, amount):
        """Add `amount` to the balance."""
'''
SUFFIX = "\n\n\nprint(json.dumps({}))\n"
TEXT = PREFIX + "        " + SUFFIX
ROW, COLUMN = PREFIX.count("\n"), 8

HTTP_CLIENT = """
import socket, sys
host, port, path = sys.argv[1:]
body = sys.stdin.buffer.read()
head = f"POST {path} HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Type: application/json\\r\\n"
with socket.create_connection((host, int(port))) as link:
    link.sendall(f"{head}Content-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
    while link.recv(65_536):
        pass
"""
"""Waits for the end of an answer, whatever it is."""

WEBSOCKET_CLIENT = """
import json, sys
from websockets.sync.client import connect
host, port, path = sys.argv[1:]
with connect(f"ws://{host}:{port}{path}", proxy=None) as link:
    for message in json.load(sys.stdin):
        link.send(json.dumps(message))
    while True:
        link.recv()
"""


class Case(NamedTuple):
    """One way to ask."""

    path: str
    body: Any
    client: str = HTTP_CLIENT


def openai(**more: object) -> dict[str, object]:
    return {"prompt": "def f(", "max_tokens": 400, "temperature": 1, "ignore_eos": True, **more}


INFILL = {"input_prefix": PREFIX, "prompt": "        ", "input_suffix": SUFFIX, "n_predict": 128}
NATIVE = {
    "document": {"text": TEXT, "path": "a.py"},
    "position": {"line": ROW, "character": COLUMN},
}
CODEIUM = {
    "metadata": {"ide_name": "vim", "request_id": 1, "session_id": "killed"},
    "document": {
        "text": TEXT,
        "editor_language": "python",
        "cursor_position": {"row": ROW, "col": COLUMN},
    },
    "multiline_config": {"threshold": 0},
}
SESSION = [
    {"type": "hello", "client": "test"},
    {"type": "open", "document_id": "a", "text": TEXT, "version": 1, "path": "a.py"},
    {
        "type": "complete",
        "id": 1,
        "document_id": "a",
        "version": 1,
        "position": NATIVE["position"],
        "mode": "multi_line",
        "trigger": "invoked",
    },
]
RAW = {"segments": {"prefix": ""}, "debug_options": {"raw_prompt": "def f("}}
GET_COMPLETIONS = "/exa.language_server_pb.LanguageServerService/GetCompletions"
BLOCK = {"mode": "multi_line", "trigger": "invoked"}

CASES = {
    "OpenAI": Case("/v1/completions", openai()),
    "OpenAI, streamed": Case("/v1/completions", openai(stream=True)),
    "OpenAI, three choices": Case("/v1/completions", openai(n=3)),
    "OpenAI, infilling": Case("/v1/completions", openai(suffix="\n")),
    "Copilot": Case("/v1/engines/copilot-codex/completions", openai(stream=True)),
    "llama.cpp": Case("/infill", INFILL | BLOCK),
    "llama.cpp, streamed": Case("/infill", INFILL | BLOCK | {"stream": True}),
    "llama.cpp, raw": Case(
        "/completion", {"prompt": "def f(", "n_predict": 400, "ignore_eos": True}
    ),
    "llama.cpp, raw, streamed": Case(
        "/completion", {"prompt": "def f(", "n_predict": 400, "ignore_eos": True, "stream": True}
    ),
    "Tabby": Case(
        "/v1/completions",
        {"language": "python", "segments": {"prefix": PREFIX + "        ", "suffix": SUFFIX}},
    ),
    "Tabby, raw": Case("/v1/completions", RAW),
    "Codeium": Case(GET_COMPLETIONS, CODEIUM),
    "native": Case("/v1/complete", NATIVE | BLOCK),
    "native, WebSocket": Case("/v1/session", SESSION, WEBSOCKET_CLIENT),
}


class Slow(NamedTuple):
    """A server, and the file that makes it slow."""

    url: str
    flag: Path


@pytest.fixture(scope="module")
def server() -> Iterator[Slow]:
    """The shipped model, without guesses ahead: every token is a step."""
    with tempfile.TemporaryDirectory() as folder:
        flag = Path(folder) / "slow"
        program = ("tests.e2e.throttled_server", str(flag))
        with running_server("--no-speculation", "--show-threshold", "0", program=program) as url:
            flag.touch()
            yield Slow(url, flag)
            flag.unlink()


def figures(url: str, name: str) -> dict[str, float]:
    """Samples of /metrics by their labels."""
    text = httpx.get(f"{url}/metrics", timeout=WAIT_S, trust_env=False).text
    found = re.findall(rf"^{re.escape(name)}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def num_steps(url: str) -> int:
    return int(sum(figures(url, "paceline_step_seconds_count").values()))


def num_running(url: str) -> int:
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return int(sum(sum(figures(url, name).values()) for name in names))


def num_finished(url: str) -> dict[str, int]:
    """By reason."""
    found = figures(url, "paceline_requests_finished_total")
    return {re.findall('reason="(.*?)"', labels)[0]: int(n) for labels, n in found.items()}


def wait_until(is_so: Any, what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(POLL_S)


@contextmanager
def asking(case: Case, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A client that has asked and waits for the answer."""
    host, port = url.removeprefix("http://").split(":")
    command = [sys.executable, "-c", case.client, host, port, case.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdin is not None
        client.stdin.write(json.dumps(case.body).encode())
        client.stdin.close()
        try:
            yield client
        finally:
            client.kill()


def assert_killing_stops(client: subprocess.Popen[bytes], url: str, started: int) -> None:
    """Kill a client whose request decodes, and count."""
    before = num_finished(url)
    wait_until(
        lambda: client.poll() is not None or num_steps(url) >= started + 2, "two steps of its own"
    )
    assert client.poll() is None, "it was answered too early"
    client.kill()
    client.wait()
    at_death = num_steps(url)
    wait_until(lambda: num_running(url) == 0, "nothing runs any more")
    assert num_steps(url) - at_death <= MOST_STEPS_AFTER
    after = num_finished(url)
    changed = {reason for reason in after if after[reason] != before.get(reason, 0)}
    assert changed == {"cancelled"}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_client_stops_the_engine(server: Slow, name: str) -> None:
    wait_until(lambda: num_running(server.url) == 0, "the test before is over")
    started = num_steps(server.url)
    with asking(CASES[name], server.url) as client:
        assert_killing_stops(client, server.url, started)


def test_a_killed_editor_stops_the_engine_through_the_shim(server: Slow, tmp_path: Path) -> None:
    """codeium.vim's curl asks the shim, the shim the server."""
    wait_until(lambda: num_running(server.url) == 0, "the test before is over")
    started = num_steps(server.url)
    command = [sys.executable, "-m", "paceline.cli.codeium_shim", "--manager_dir", str(tmp_path)]
    environment = os.environ | {"PACELINE_SERVER": server.url}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as shim:
        try:
            wait_until(lambda: any(tmp_path.iterdir()), "the port")
            (port,) = (path.name for path in tmp_path.iterdir())
            with asking(CASES["Codeium"], f"http://127.0.0.1:{port}") as client:
                assert_killing_stops(client, server.url, started)
        finally:
            shim.terminate()


def test_a_killed_language_server_stops_the_engine(server: Slow) -> None:
    wait_until(lambda: num_running(server.url) == 0, "the test before is over")
    started = num_steps(server.url)
    command = [sys.executable, "-m", "paceline.cli.main", "lsp", "--server", server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lsp:
        assert lsp.stdin is not None
        assert lsp.stdout is not None
        capabilities = {"textDocument": {"inlineCompletion": {}}}
        document = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": TEXT}
        asked = {
            "textDocument": {"uri": document["uri"]},
            "position": NATIVE["position"],
            "context": {"triggerKind": 2},
        }
        try:
            send(lsp.stdin, "initialize", {"capabilities": capabilities, "processId": None}, 1)
            assert lsp.stdout.readline().startswith(b"Content-")
            send(lsp.stdin, "initialized", {})
            send(lsp.stdin, "textDocument/didOpen", {"textDocument": document})
            send(lsp.stdin, "textDocument/inlineCompletion", asked, 2)
            assert_killing_stops(lsp, server.url, started)
        finally:
            lsp.kill()


def send(pipe: Any, method: str, params: dict[str, Any], number: int | None = None) -> None:
    """One message of JSON-RPC; with a number it is a request."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    content = json.dumps(message if number is None else message | {"id": number}).encode()
    pipe.write(f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
    pipe.flush()
