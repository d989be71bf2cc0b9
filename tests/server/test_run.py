"""The listening socket, and the end of a server that still has requests."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import pytest

from paceline.server.run import bind

TIMEOUT_S = 60


def test_listener_says_that_it_is_tcp() -> None:
    """Else asyncio leaves Nagle's algorithm on, and every reply on a kept connection takes 40 ms more."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def ask(port: int, path: str, body: dict[str, Any]) -> HTTPConnection:
    """Send a request; its answer is still to be read."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return connection


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_cannot_finish_are_told_so(signum: signal.Signals) -> None:
    whole = {"prompt": "a", "input_prefix": "a", "max_tokens": 9, "mode": "multi_line"}
    command = [sys.executable, "-m", "tests.server.slow_server"]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        unanswered = [
            stack.enter_context(closing(ask(port, path, whole | {"n": n})))
            for path, n in [("/v1/completions", 1), ("/v1/completions", 3), ("/infill", 1)]
            for _ in range(3)
        ]
        streams = [
            stack.enter_context(closing(ask(port, "/v1/completions", whole | {"stream": True})))
            for _ in range(3)
        ]
        begun = [connection.getresponse() for connection in streams]
        assert all(response.read(1) for response in begun)
        process.send_signal(signum)
        for connection in unanswered:
            response = connection.getresponse()
            error = json.loads(response.read())["error"]
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            assert (error["type"], error["code"]) == ("server_error", "stopping")
        for response in begun:
            *_, last, done, end = response.read().decode().split("\n\n")
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stopping"
            assert (done, end) == ("data: [DONE]", "")
        log = process.stderr.read() if process.stderr else ""
        assert process.wait(TIMEOUT_S) == 0
    lines = [line for line in log.splitlines() if not re.search(r" POST \S+ (200|503) ", line)]
    assert len(lines) == 1, log
    assert "Cancel 12 running task(s)" in lines[0]
