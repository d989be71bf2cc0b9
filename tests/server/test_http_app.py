"""What holds for every route: bad bodies, foreign hosts, size limits, logs, disconnects, documents."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.complete.service import Service
from paceline.core.errors import CheckpointError, OverloadedError, PacelineError, PromptTooLongError
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.app import create_app
from paceline.server.middleware import is_loopback
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of, events_of

JSON = {"content-type": "application/json"}
FUZZED = client_of(FakeGenerator())


def test_health_docs_and_playground() -> None:
    client = client_of(FakeGenerator())
    assert client.get("/health").json()["status"] == "ok"
    docs = client.get("/docs")
    assert docs.status_code == 200
    for word in ("/v1/completions", "input_prefix", "max_tokens"):
        assert word in docs.text
    assert "curl -H 'Content-Type: application/json' http://127.0.0.1:8012/infill" in unescape(
        docs.text
    )
    assert "http" not in docs.text.replace("http://127.0.0.1:8012/", "")
    assert "<script" not in docs.text
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert "422" not in client.get("/openapi.json").text


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
@pytest.mark.parametrize(
    "body",
    [b'{"prompt": ', b"", b"5", b"[]", b"\xff\xff{}", b"[" * 100_000, b"{" + b"1" * 9999, b"\0"],
)
def test_malformed_bodies(path: str, body: bytes) -> None:
    response = client_of(FakeGenerator()).post(path, content=body, headers=JSON)
    assert response.status_code == 400
    error_of(response)


FIELDS = st.sampled_from(
    [
        *("prompt", "suffix", "model", "max_tokens", "temperature", "top_p", "stop", "seed", "n"),
        *("stream", "stream_options", "logit_bias", "input_prefix", "input_suffix", "input_extra"),
        *(
            "n_predict",
            "mode",
            "response_fields",
            "t_max_predict_ms",
            "top_k",
            "min_p",
            "ignore_eos",
        ),
        *("session_id", "document_id", "lane", "logprobs", "user"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(["/v1/completions", "/infill"]), st.dictionaries(FIELDS, VALUES))
def test_no_body_breaks_the_server(path: str, body: dict[str, Any]) -> None:
    response = FUZZED.post(path, content=json.dumps(body), headers=JSON)
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        error_of(response)


def test_a_body_without_content_type_says_what_is_missing() -> None:
    response = client_of(FakeGenerator()).post("/v1/completions", content=b'{"prompt": "a"}')
    assert response.status_code == 400
    assert "Content-Type: application/json" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/x", 404), ("PUT", "/infill", 405)]
)
def test_paths_and_methods(method: str, path: str, status: int) -> None:
    response = client_of(FakeGenerator()).request(method, path)
    assert response.status_code == status
    assert "/docs" in error_of(response)["message"]


def test_50_mb_are_refused_stated_or_not() -> None:
    client = client_of(FakeGenerator())

    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 1_000_000

    for body in (b" " * 50_000_000, pieces()):
        response = client.post("/infill", content=body, headers=JSON)  # type: ignore[arg-type]
        assert response.status_code == 413
        assert "20 MB" in error_of(response)["message"]
    wrong = client.post("/infill", content=b"{}", headers=JSON | {"content-length": "-1"})
    assert wrong.status_code == 413


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True), ("LOCALHOST:9", True), ("127.0.0.1:8012", True), ("[::1]:8012", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("[", False),
        ("localhost.evil.example:8012", False), ("192.168.0.1", False),
    ],
)  # fmt: skip
def test_only_loopback_names_are_ours(host: str, is_ours: bool) -> None:
    response = client_of(FakeGenerator()).get("/health", headers={"host": host})
    assert response.status_code == (200 if is_ours else 400)
    if not is_ours:
        assert error_of(response)["code"] == "foreign_host"
    assert not is_loopback("0.0.0.0")


class Failing(FakeGenerator):
    """Raises after `pieces`."""

    error: Exception = RuntimeError("secret code")

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        for text in self.pieces:
            yield TextChunk(text=text, num_tokens=1)
        raise self.error


def failing(error: Exception, *pieces: str) -> Failing:
    generator = Failing(pieces)
    generator.error = error
    return generator


TOO_LONG = PromptTooLongError(prompt_tokens=900, max_tokens=16, context_tokens=512)


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TOO_LONG, 400, "context_length_exceeded"),
        (OverloadedError(queued=9, retry_after_ms=1500), 429, "overloaded"),
        (CheckpointError("The weights are damaged; copy them again."), 503, "checkpoint"),
        (RuntimeError("secret code"), 500, "internal"),
    ],
)
def test_every_failure_has_its_status(path: str, error: Exception, status: int, code: str) -> None:
    body = {"prompt": "def f", "input_prefix": "def f"}
    response = client_of(failing(error)).post(path, json=body)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert "secret" not in response.text
    if isinstance(error, PacelineError):
        assert error_of(response)["message"] == str(error)
    if isinstance(error, OverloadedError):
        assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(("ms", "seconds"), [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")])
def test_overload_says_when_to_come_back(ms: int, seconds: str) -> None:
    error = OverloadedError(queued=9, retry_after_ms=ms)
    body = {"prompt": "a", "stream": True}
    response = client_of(failing(error)).post("/v1/completions", json=body)
    assert (response.status_code, response.headers["retry-after"]) == (429, seconds)
    assert error_of(response)["type"] == "server_error"  # the same request may succeed later
    assert f"retry after {seconds} s" in error_of(response)["message"]


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
def test_a_million_stop_strings_are_refused_at_once(path: str) -> None:
    body = b'{"input_prefix": "a", "prompt": "a", "stop": [%s"x"]}' % (b'"x",' * 1_000_000)
    generator = FakeGenerator()
    response = client_of(generator).post(path, content=body, headers=JSON)
    assert response.status_code == 400
    assert error_of(response)["param"] == "stop"
    assert generator.calls == []


@pytest.mark.parametrize("field", ["stop", "input_extra", "response_fields", "prompt"])
def test_a_long_list_of_nonsense_is_refused_at_its_first_item(field: str) -> None:
    path = "/v1/completions" if field == "prompt" else "/infill"
    body = b'{"input_prefix": "a", "%s": [%s5.5]}' % (field.encode(), b"5.5," * 100_000)
    started = time.process_time()
    response = client_of(FakeGenerator()).post(path, content=body, headers=JSON)
    assert time.process_time() - started < 2  # it was 100 times that of an error for each item
    assert response.status_code == 400
    assert error_of(response)["param"].split(".")[0] == field


def test_a_failure_inside_a_stream_is_an_event() -> None:
    body = {"prompt": "a", "stream": True}
    response = client_of(failing(TOO_LONG, "ret")).post("/v1/completions", json=body)
    chunk, error, done = events_of(response)
    assert chunk["choices"][0]["text"] == "ret"
    assert error["error"]["code"] == "context_length_exceeded"
    assert done == "[DONE]"


def test_log_has_one_line_for_each_request_and_no_code(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="paceline.server")
    client = client_of(FakeGenerator())
    client.post("/infill", json={"input_prefix": "secret = "})
    client.post("/v1/completions", json={"prompt": "secret = ", "stream": True})
    client.get("/no%0Asuch")
    client_of(failing(RuntimeError("secret"))).post("/infill", json={"input_prefix": "x"})
    lines = [record.getMessage() for record in caplog.records if record.name == "paceline.server"]
    assert len(lines) == 4
    assert lines[3].startswith("POST /infill 500 ")
    assert lines[0].startswith("POST /infill 200 ")
    assert lines[0].endswith(" ms 3 tokens")
    assert lines[1].endswith(" ms 3 tokens")
    assert not any("secret" in line or "\n" in line for line in lines)


class Endless(FakeGenerator):
    """Writes for ever; knows when it was closed."""

    num_open = num_opened = 0

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        self.num_open += 1
        self.num_opened += 1
        try:
            while True:
                await asyncio.sleep(0)
                yield TextChunk(text="x", num_tokens=1)
        finally:
            self.num_open -= 1


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_ends_the_work(path: str, is_streamed: bool, n: int) -> None:
    """Speaks ASGI itself: sends a body, then the disconnect, and waits for the app to end."""
    generator = Endless()
    app = create_app(generator, Service(generator))
    stream = b"true" if is_streamed else b"false"
    body = b'{"prompt": "a", "input_prefix": "a", "stream": %s, "n": %d}' % (stream, n)
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "http", "root_path": "", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8012),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }  # fmt: skip
    messages = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        for _ in range(20):  # some work is under way when the client leaves
            await asyncio.sleep(0)
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 60))  # type: ignore[arg-type]
    assert generator.num_opened == (1 if path == "/infill" else n)
    assert generator.num_open == 0
