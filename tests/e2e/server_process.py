"""Starts the real server as its users do: a process of its own, ready when /health says so.

with running_server("--model", "paceline-python") as url: ...
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

PACELINE = ("paceline.cli.main",)
"""The module that has the command line, and arguments of its own."""
START_TIMEOUT_S = 120.0
"""Loading torch and a model takes seconds; a CI machine shares its cores with others."""
STOP_TIMEOUT_S = 15.0
POLL_S = 0.1


def find_free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_server(
    *args: str, subcommand: str = "serve", program: Sequence[str] = PACELINE
) -> Iterator[str]:
    """Run `paceline serve --port FREE *args` and yield its address, without a slash at the end.

    Args:
        subcommand: another one that serves until it is told to stop, such as `upstream`.
        program: another module that has the same command line, and arguments before that.

    Its state folder is its own, unless the environment names one.

    If the server does not start, or the body fails, the error carries what the server printed.
    """
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", *program, subcommand, "--port", str(port), *args]
    # A file, not a pipe: nobody reads while the test runs, and a full pipe would stop the server.
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
    ):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PACELINE_HOME": home} | os.environ,
        )
        try:
            _wait_until_healthy(process, url)
            yield url
        except BaseException as error:
            output.seek(0)
            error.add_note(f"$ {' '.join(command)}\n{output.read() or '(printed nothing)'}")
            raise
        finally:
            _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    with httpx.Client(timeout=5.0, trust_env=False) as client:
        while process.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            assert time.monotonic() < deadline_s, f"{url} was not ready after {START_TIMEOUT_S} s"
            time.sleep(POLL_S)
    raise AssertionError(f"the server stopped by itself, with status {process.returncode}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
