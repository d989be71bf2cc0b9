"""A server whose answers never end, as a process: `python -m tests.server.slow_server` prints its port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator

from paceline.complete.service import Service
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server import run
from paceline.server.app import create_app
from tests.fakes import FakeGenerator


class Endless(FakeGenerator):
    """A word every 10 ms, for ever; but what only warms is done at once, else the start would wait for it."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        if params.lane == "batch":
            yield TextChunk(text="", finish_reason="length")
            return
        try:
            while True:
                yield TextChunk(text="x", num_tokens=1)
                await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0.01)  # as the engine's own cancelling takes a moment


def main() -> None:
    """Serve until a signal; requests get a fifth of a second then."""
    run.SHUTDOWN_S = 0.2  # type: ignore[assignment]
    run.stop_cleanly_on_signals()
    generator = Endless()
    with run.bind("127.0.0.1", 0) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        run.serve(create_app(generator, Service(generator)), listener)


if __name__ == "__main__":
    main()
