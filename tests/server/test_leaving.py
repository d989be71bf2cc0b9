"""A client that leaves stops the model within one step: each raw route, streaming or not, one answer or several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from paceline.complete.service import Service
from paceline.generate.types import (
    GenerateParams,
    PromptParts,
    TextChunk,
    TextGenerator,
)
from paceline.server.app import create_app
from tests.fakes import FakeGenerator
from tests.fleet.scripted import ScriptExecutor, scripted_generator
from tests.server.http import QUIET

ENGINE = "/v1/engines/copilot-codex/completions"
TRIMMED = {"extra": {"trim_by_indentation": True, "next_indent": 0}}
ROUTES: list[tuple[str, dict[str, Any], int]] = [
    ("/infill", {"input_prefix": "x = "}, 1),
    ("/infill", {"input_prefix": "x = ", "n_cmpl": 3, "trigger": "invoked"}, 3),
    ("/completion", {"prompt": "x = "}, 1),
    ("/completion", {"prompt": "x = ", "n_indent": 2}, 1),
    ("/v1/completions", {"prompt": "x = "}, 1),
    ("/v1/completions", {"prompt": ["x = ", "y = "], "n": 2, "echo": True}, 4),
    (ENGINE, {"prompt": "x = ", "suffix": ""}, 1),
    (ENGINE, {"prompt": "x = ", "suffix": "", "n": 3, **TRIMMED}, 3),
]


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "http", "root_path": "", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8012),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
    }  # fmt: skip


async def post_and_leave(
    generator: TextGenerator, path: str, body: dict[str, Any], wait: Callable[[], Awaitable[object]]
) -> None:
    """Speak ASGI to the app: send a body, leave once `wait` returns, and return when the app is done."""
    app = create_app(generator, Service(generator, QUIET))
    is_sent = False

    async def receive() -> dict[str, Any]:
        nonlocal is_sent
        if not is_sent:
            is_sent = True
            return {"type": "http.request", "body": json.dumps(body).encode()}
        await wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    await asyncio.wait_for(app(scope_of(path), receive, send), 60)  # type: ignore[arg-type]


class Endless(FakeGenerator):
    """Writes until it is closed; says when all the streams of a request have written something."""

    def __init__(self, num_streams: int) -> None:
        super().__init__()
        self._num_streams, self._num_writing = num_streams, 0
        self.all_write = asyncio.Event()

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        self._num_writing += 1
        if self._num_writing == self._num_streams:
            self.all_write.set()
        try:
            while True:
                await asyncio.sleep(0)
                yield TextChunk(text="x", num_tokens=1)
        except (GeneratorExit, asyncio.CancelledError):
            self.num_cancelled += 1
            raise


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize(("path", "body", "num_streams"), ROUTES)
def test_all_streams_are_closed(
    path: str, body: dict[str, Any], num_streams: int, is_streamed: bool
) -> None:
    async def main() -> None:
        generator = Endless(num_streams)
        await post_and_leave(
            generator, path, body | {"stream": is_streamed}, generator.all_write.wait
        )
        assert generator.num_cancelled == num_streams

    asyncio.run(main())


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize(("path", "body", "num_streams"), ROUTES)
def test_the_engine_makes_no_further_step(
    path: str, body: dict[str, Any], num_streams: int, is_streamed: bool
) -> None:
    """The client leaves while the engine is in its fifth step; that one ends, and there is no other."""

    async def main(generator: TextGenerator, executor: ScriptExecutor) -> None:
        async def wait() -> None:
            await asyncio.to_thread(executor.is_held.wait)

        limits = {"n_predict": 40, "max_tokens": 40, "temperature": 0}
        await post_and_leave(generator, path, body | limits | {"stream": is_streamed}, wait)
        executor.go.set()
        other = GenerateParams(max_tokens=1)
        async for _ in generator.stream(PromptParts(prefix="other"), other):
            pass
        assert [len(step) for step in executor.steps[5:]] == [1], "the old sequences go on"

    with scripted_generator([97], held_step=5) as (generator, executor):
        asyncio.run(main(generator, executor))


def test_who_leaves_in_the_middle_of_a_body_is_no_bug() -> None:
    """No traceback, no 500: on every path that reads one."""
    app = create_app(FakeGenerator(), Service(FakeGenerator(), QUIET))
    documented = app.openapi()["paths"].items()
    paths = [path for path, item in documented if "requestBody" in item.get("post", {})]
    assert {"/v1/complete", "/v1/events", "/infill", "/v1/completions"} < set(paths)

    async def leave(path: str) -> None:
        messages = [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope_of(path), receive, send)
        assert sent[0]["status"] == 499, path

    for path in paths:
        asyncio.run(leave(path))
