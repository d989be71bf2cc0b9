"""The real playground page before a scripted model, so that tests can say exactly what is shown.

python -m tests.e2e.stub_server PORT      serves it by hand, for work on the page and for screenshots
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import Body, FastAPI, Response
from fastapi.responses import JSONResponse

from paceline.server.playground.page import create_playground_router

START_TIMEOUT_S = 30.0


class ScriptedModel:
    """Answers /infill by a function of prefix and suffix, and remembers what was asked."""

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        """The JSON of every /infill request, in order of arrival."""
        self.error: tuple[int, str] | None = None
        """Status and sentence to fail with, instead of answering."""
        self.note: dict[str, Any] = {}
        """Changes to what the reply tells of the brain's decision."""
        self.is_held = False
        """While true, requests wait for their answer. Any thread may set it."""

    async def infill(self, body: dict[str, Any]) -> Response:
        """Answer in llama.cpp's dialect."""
        self.bodies.append(body)
        while self.is_held:  # noqa: ASYNC110  (an asyncio.Event cannot be set by another thread)
            await asyncio.sleep(0.005)
        if self.error is not None:
            status, sentence = self.error
            return JSONResponse({"error": {"message": sentence}}, status_code=status)
        content = self.answer(body["input_prefix"], body["input_suffix"])
        timings = {"prompt_ms": 3.25, "predicted_ms": 8.5}
        note = {
            "request_id": f"cmpl-{len(self.bodies):032x}",
            "drop_reason": None if content else "blank",
            "mode": "single_line",
            "source": "network",
            "probability": 0.625 if content else None,
        }
        return JSONResponse(
            {
                "content": content,
                "tokens_predicted": len(content.split()),
                "timings": timings,
                "paceline": note | self.note,
            }
        )


def create_stub_app(model: ScriptedModel) -> FastAPI:
    """The playground and the three addresses that it and its tests need."""
    app = FastAPI()
    app.include_router(create_playground_router())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "scripted-model", "object": "model"}]}

    @app.post("/infill")
    async def infill(body: dict[str, Any] = Body()) -> Response:
        return await model.infill(body)

    return app


@contextmanager
def running_stub(model: ScriptedModel, *, port: int) -> Iterator[str]:
    """Serve the stub from a thread and yield its address; leaving the block closes the port."""
    config = uvicorn.Config(
        create_stub_app(model),
        port=port,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="stub server")
    thread.start()
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            assert thread.is_alive(), "the stub stopped by itself"
            assert time.monotonic() < deadline_s, "the stub did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        model.is_held = False
        server.should_exit = True
        thread.join()


HALF_WRITTEN = (
    ("return None\n        ", "total = sum(self.readings)\n        return total / len(self.readings)"),
    ('row["city"]\n            ', 'totals[city] = totals.get(city, 0) + float(row["amount"])'),
    ("type=Path)\n    ", "args = parser.parse_args()\n    for path in args.paths:\n        print(path, count_lines(path))"),
    ("(self):\n        self.", 'assertEqual(slug(""), "")'),
)  # fmt: skip
"""What to answer in each of the page's examples: the end of the prefix, the completion."""


def finish_example(prefix: str, _suffix: str) -> str:
    """Complete the page's own examples; nothing elsewhere."""
    return next((text for end, text in HALF_WRITTEN if prefix.endswith(end)), "")


if __name__ == "__main__":
    uvicorn.run(create_stub_app(ScriptedModel(finish_example)), port=int(sys.argv[1]))
