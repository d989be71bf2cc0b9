"""`paceline serve` as a process: start, refusals, signals, clients that leave, several at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import TINY_MODEL_ID
from tests.e2e.server_process import running_server

pytestmark = pytest.mark.e2e

PACELINE = [sys.executable, "-m", "paceline.cli.main"]
LONG = {"prompt": "x", "max_tokens": 200, "stream": True}
TIMEOUT_S = 120


def fails(*args: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must end by itself, with one sentence on stderr and nothing else."""
    result = subprocess.run(
        [*PACELINE, *args], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result


@contextmanager
def serving(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server and wait for the line with its address; kill it if the test does not end it."""
    with subprocess.Popen(
        [*PACELINE, "serve", "--port", "0", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            yield process, found[0]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url(tiny_model: Path) -> Iterator[str]:
    """The address of a server of the tiny model."""
    with running_server("--model", str(tiny_model)) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        yield client


def test_port_in_use(tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = fails("serve", "--port", port, "--model", str(tiny_model))
    assert result.returncode == 5
    assert "--port" in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_only_loopback_hosts(host: str) -> None:
    result = fails("serve", "--host", host)
    assert result.returncode == 2
    assert "loopback" in result.stderr


def test_damaged_models(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for make_worse in (lambda: None, weights.unlink, (folder / "tokenizer.json").unlink):
        make_worse()
        result = fails("serve", "--port", "0", "--model", str(folder))
        assert result.returncode == 3
        assert str(folder) in result.stderr


def test_unknown_model() -> None:
    result = fails("serve", "--port", "0", "--model", "nope")
    assert result.returncode == 2
    assert "Unknown model 'nope'" in result.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(tiny_model: Path, signum: signal.Signals) -> None:
    with serving("--model", str(tiny_model)) as (process, address):
        host, port = address.removeprefix("http://").split(":")
        with closing(_ask(host, int(port), "/v1/completions", LONG)) as client:
            assert client.recv(1)
            process.send_signal(signum)
            assert process.wait(TIMEOUT_S) == 0


def test_infill_is_one_compact_line(client: httpx.Client) -> None:
    body = {"input_prefix": "def f(x):\n", "prompt": "    return ", "input_suffix": "\n"}
    response = client.post("/infill", json=body | {"temperature": 1, "seed": 5})
    assert response.status_code == 200
    assert '"content":"' in response.text
    reply = response.json()
    assert "\n" not in reply["content"].lstrip("\n")
    assert reply["model"] == TINY_MODEL_ID
    assert reply["tokens_evaluated"] > 0
    assert 0 < reply["tokens_predicted"] <= 64


def test_a_document_far_beyond_the_window_is_cut(client: httpx.Client) -> None:
    code = "x = [1, 2, 3]\n" * 50_000
    response = client.post("/infill", json={"input_prefix": code, "input_suffix": code})
    assert response.status_code == 200
    assert response.json()["tokens_evaluated"] <= 256


def test_50_mb_see_their_413(client: httpx.Client) -> None:
    body = b" " * 50_000_000
    response = client.post("/infill", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert "20 MB" in response.json()["error"]["message"]


def _ask(host: str, port: int, path: str, body: object) -> socket.socket:
    """Send a request and do not read the answer."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    client = socket.create_connection((host, port), TIMEOUT_S)
    client.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return client


@pytest.mark.parametrize("is_read", [True, False])
def test_clients_that_leave_disturb_nobody(client: httpx.Client, is_read: bool) -> None:
    """Four times as many as the engine has slots: were one kept, the last request would wait long."""
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    for number in range(32):
        body = LONG | {"stream": number % 2 == 0}
        with closing(_ask(host, port, "/v1/completions", body)) as leaving:
            if is_read and body["stream"]:
                assert leaving.recv(1)
    response = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    assert response.status_code == 200


def test_several_at_once_each_get_their_own_answer(client: httpx.Client) -> None:
    def prompt_tokens(number: int) -> int:
        body = {"prompt": "x = " * number, "suffix": "\n", "temperature": 0}
        reply = client.post("/v1/completions", json=body).json()
        assert 0 < reply["usage"]["completion_tokens"] <= 16
        return reply["usage"]["prompt_tokens"]

    numbers = range(1, 25)
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(prompt_tokens, numbers))
    assert together == [prompt_tokens(number) for number in numbers]
    assert together == sorted(set(together))


def test_complete_prints_bare_text_or_json(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("def area(width, height):\n    return \n")
    command = [*PACELINE, "complete", f"{path}:2:12", "--model", str(tiny_model)]
    run = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    completion = json.loads(run.stdout)
    assert completion["mode"] == "single_line"
    assert completion["prompt_tokens"] > 0
    bare = subprocess.run(command, capture_output=True, text=True, check=True)
    assert bare.stdout == (completion["text"] + "\n" if completion["text"] else "")
