"""The brain as its users meet it: a real server with the shipped model, keys over HTTP, `paceline why`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.server_process import running_server

pytestmark = pytest.mark.e2e

PACELINE = [sys.executable, "-m", "paceline.cli.main"]
BEFORE = "import os\n\n\ndef read_lines(path):\n    "
LINE = "with open(path) as handle:"
AFTER = "\n\n\nprint(read_lines('names.txt'))\n"
TIMEOUT_S = 60
NUM_TRIES = 100


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that shows whatever the rules let through: what the gate thinks is not the question here."""
    with running_server("--show-threshold", "0") as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        yield client


def press(client: httpx.Client, before: str, after: str = AFTER, **more: Any) -> dict[str, Any]:
    """One key: (text shown, what we say about it)."""
    body = {"input_prefix": before, "prompt": "", "input_suffix": after} | more
    response = client.post("/infill", json=body)
    assert response.status_code == 200, response.text
    reply = response.json()
    return reply["paceline"] | {"text": reply["content"], "num_tokens": reply["tokens_predicted"]}


def why(url: str, *args: str) -> str:
    result = subprocess.run(
        [*PACELINE, "why", "--server", url, *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    return result.stdout


@pytest.mark.parametrize(
    "named",
    [{"session_id": "editor", "document_id": "a", "filename": "a.py"}, {}],
    ids=["named", "as llama.vim asks"],
)
def test_a_line_is_typed_key_by_key(client: httpx.Client, named: dict[str, str]) -> None:
    before, replies = BEFORE, list[dict[str, Any]]()
    for key in LINE:
        replies.append(press(client, before, **named))
        before += key
    for reply, later, key in zip(replies, replies[1:], LINE, strict=False):
        if reply["text"].startswith(key) and len(reply["text"]) > 1:
            assert later["text"] == reply["text"][1:], "what is typed through stays as it is"
            assert later["source"] in ("typed_as_suggested", "cache", "prefetch")
            assert later["num_tokens"] == 0
    assert sum(reply["source"] == "typed_as_suggested" for reply in replies) >= 3
    assert any(reply["source"] == "network" for reply in replies)


def test_after_an_accept_nobody_waits_and_why_tells_the_story(
    client: httpx.Client, url: str
) -> None:
    named = {"session_id": "accepting", "document_id": "a", "filename": "secret_folder/a.py"}
    before = BEFORE + "secret_name = os."
    shown = press(client, before, **named)
    for _ in range(NUM_TRIES):  # what is asked ahead is listed once it is answered
        rows = client.get("/v1/requests").json()["requests"]
        if not any(row["is_ahead"] and not row["outcome"] for row in rows):
            break
        time.sleep(0.02)
    accepted = press(client, before + shown["text"], **named)
    back = press(client, before, **named)
    assert shown["text"]
    assert accepted["drop_reason"] != "deleting"
    assert (back["text"], back["drop_reason"]) == ("", "deleting")

    story = why(url, shown["request_id"])
    assert story.startswith("shown ")
    for word in ("asked ", "mode ", "model ", "wrote ", "generate"):
        assert f"\n{word}" in story
    told = json.loads(why(url, shown["request_id"], "--json"))
    listed = why(url)
    assert back["request_id"] in listed
    for text in (story, listed, json.dumps(told)):
        assert "secret" not in text
    assert (told["outcome"], told["failed"]) == ("shown", [])
    assert sum(span["ms"] for span in told["spans"]) <= told["latency_ms"] * 1.05 + 1


def test_nobody_is_answered_from_another_editor(client: httpx.Client) -> None:
    sources = [
        press(client, "total = os.", session_id=name, document_id="a")["source"]
        for name in ("one", "other", "one")
    ]
    assert sources[:2] == ["network", "network"]
    assert sources[2] == "cache"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"input_prefix": "KEY=", "filename": ".env"}, "secret_file"),
        ({"input_prefix": "KEY=", "filename": "file:///a/id_rsa"}, "secret_file"),
        ({"input_prefix": "x = \0"}, "binary"),
        ({"input_prefix": "let x = ", "filename": "a.zig"}, "language"),
        ({"input_prefix": "x = '" + "a" * 1_000_000, "input_suffix": "'\n"}, "long_line"),
    ],
    ids=["env", "key", "nul", "language", "a line of 1 MB"],
)
def test_what_is_left_alone_says_why(
    client: httpx.Client, body: dict[str, str], reason: str
) -> None:
    reply = client.post("/infill", json=body).json()
    assert (reply["content"], reply["paceline"]["drop_reason"]) == ("", reason)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_prefix": "x = \\"\\ud83d", "input_suffix": "\\ude00\\"", "trigger": "invoked"}',
        b'{"input_prefix": "s = \\"\\ud800", "filename": "\\udfff.py", "session_id": "\\ud800"}',
        '{"input_prefix": "# \U0001f600 שלום\\r\\ndef f(a):\\r\\n\\tif a:\\r\\n\\t\\t"}'.encode(),
        b'{"input_prefix": "' + b"(" * 100_000 + b'", "trigger": "invoked"}',
        b'{"input_prefix": "' + b"\\n" * 100_000 + b'", "trigger": "invoked"}',
        b'{"input_prefix": "' + b"\\\\" * 100_000 + b'", "trigger": "invoked"}',
    ],
    ids=["half an emoji", "surrogates", "mixed", "brackets", "line ends", "backslashes"],
)
def test_odd_text_is_answered(client: httpx.Client, body: bytes) -> None:
    response = client.post("/infill", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    request_id = response.json()["paceline"]["request_id"]
    assert client.get(f"/v1/requests/{request_id}/trace").json()["failed"] == []


def test_a_huge_document_beside_keeps_nobody_waiting_for_long(client: httpx.Client) -> None:
    huge = "value = compute(first, second)\n" * 550_000  # 17 MB; a body may have 20
    named = {"session_id": "small", "document_id": "a", "filename": "a.py"}
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(press, client, huge + "x = ", "\n", filename="huge.py")
        latencies_ms = list[float]()
        before = BEFORE
        for key in LINE:
            started_s = time.perf_counter()
            press(client, before, **named)
            latencies_ms.append((time.perf_counter() - started_s) * 1000)
            before += key
        beside.result(TIMEOUT_S)
    latencies_ms.sort()
    assert latencies_ms[len(latencies_ms) // 2] < 250, "half of the keys are answered in time"
    assert latencies_ms[-1] < 5_000


def test_clients_that_leave_leave_nothing_running(client: httpx.Client) -> None:
    body = {"input_prefix": BEFORE, "mode": "multi_line", "n_predict": 256, "show_threshold": 0}
    for number in range(10):
        with pytest.raises(httpx.TimeoutException):
            client.post("/infill", json=body | {"session_id": f"gone {number}"}, timeout=0.002)
    assert press(client, BEFORE + "x = ")["drop_reason"] != "internal_error"
    for _ in range(NUM_TRIES):
        metrics = client.get("/metrics").text.splitlines()
        running = [line for line in metrics if line.startswith("vllm:num_requests_running{")]
        if all(line.endswith(" 0") or line.endswith(" 0.0") for line in running):
            break
        time.sleep(0.05)
    else:
        pytest.fail("requests of clients that left are still running")
