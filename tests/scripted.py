"""The whole app around a model that knows one text by heart, for tests with real editors.

python -m tests.scripted [--port N] [--ms-per-token N]      serves it as a process and prints its port
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from fastapi import FastAPI

from paceline.artifacts.events import Event, EventOrigin
from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server import run
from paceline.server.app import create_app
from paceline.server.events import EventsInMemory
from tests.fakes import Call, FakeGenerator

WHOLE = """\
def area(width, height):
    return width * height


def perimeter(width, height):
    return 2 * (width + height)


def describe(name, width, height):
    print(name, area(width, height), perimeter(width, height))
"""
"""What the model knows."""

MIN_KNOWN_CHARS = 6
"""So much of a line must stand before the cursor for the model to know it again."""

MAX_CALLS = 100
"""As a process it runs for long: older calls are forgotten."""

SHOW_ALL = CompleteConfig(show_threshold=0, confidence=ConfidenceConfig(is_enabled=False))
"""What the scripted log-probabilities are worth is not the question."""


def rest_of(whole: str, prefix: str) -> str:
    """What follows in `whole` after the longest end of `prefix` that is in it; empty if it is not."""
    line = prefix[prefix.rfind("\n") + 1 :]
    if len(line.strip()) < MIN_KNOWN_CHARS:
        return ""
    found = f"\n{whole}".find(f"\n{line}")
    return "" if found < 0 else whole[found + len(line) :]


class KnowsByHeart(FakeGenerator):
    """Goes on with `whole` wherever the cursor's line begins like one of its lines; a word is a token."""

    def __init__(self, whole: str = WHOLE, *, s_per_token: float = 0.0) -> None:
        super().__init__()
        self._whole, self._s_per_token = whole, s_per_token

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Stream what is left of the text; nothing where the prefix is not from it."""
        pieces = re.findall(r"\n|[ \t]*[^\s]+|[ \t]+", rest_of(self._whole, parts.prefix))
        script = FakeGenerator(pieces, models=[info.model_id for info in self.models])
        self.calls.append(Call(parts=parts, params=params, model_id=model_id or ""))
        del self.calls[:-MAX_CALLS]
        async with aclosing(script.stream(parts, params, model_id=model_id)) as chunks:
            async for chunk in chunks:
                if chunk.num_tokens:
                    await asyncio.sleep(self._s_per_token)
                yield chunk


class KeptEvents(EventsInMemory):
    """Remembers the events themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """Keep every event of a client, also one that comes twice; what the server infers is not kept."""
        if origin == "client":
            self.events += events
        return await super().append(events, user_id=user_id, origin=origin)


class Scripted(NamedTuple):
    """An app and what a test may look at."""

    app: FastAPI
    generator: KnowsByHeart
    store: KeptEvents


def create_scripted(whole: str = WHOLE, *, s_per_token: float = 0.0) -> Scripted:
    """The whole app, with its brain, around the model that knows `whole`."""
    generator, store = KnowsByHeart(whole, s_per_token=s_per_token), KeptEvents()
    app = create_app(generator, Service(generator, SHOW_ALL), store=store)
    return Scripted(app, generator, store)


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="Serve the scripted model.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ms-per-token", type=float, default=0.0)
    arguments = parser.parse_args()
    run.stop_cleanly_on_signals()
    scripted = create_scripted(s_per_token=arguments.ms_per_token / 1000)
    with run.bind("127.0.0.1", arguments.port) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        run.serve(scripted.app, listener)


if __name__ == "__main__":
    main()
