"""docs/protocols.md is tested: its examples are what the server reads and writes, its tables what the notes say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from paceline.artifacts.events import EventBatch
from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.complete.wire import WireCompletion, WireRequest
from paceline.server.app import create_app
from tests.fakes import FakeGenerator
from tests.server.http import client_of
from tests.server.talk import Line
from tools.protocol_table import TARGET, main, page_with, read_notes, render

PAGE = TARGET.read_text("utf-8")
EXAMPLE = re.compile(r"<!-- (\w+) -->\n```json\n(.*?)```", re.DOTALL)
SESSION = re.compile(r"```session\n(.*?)```", re.DOTALL)
TYPES: dict[str, Any] = {
    type_.__name__: type_ for type_ in (WireRequest, WireCompletion, EventBatch)
}
MEASURED = {
    "server", "probability", "num_tokens", "prompt_tokens", "cached_tokens", "latency_ms", "ttft_ms", "reasons",
}  # fmt: skip
PIECES = ("width", " * height", "\n")
CONFIG = CompleteConfig(is_prefetching=False, is_gated=False)


def generator() -> FakeGenerator:
    return FakeGenerator(PIECES, models=("paceline-python-6m",))


def test_the_tables_are_what_the_notes_give() -> None:
    assert main(["--check"]) == 0, "run python tools/protocol_table.py"
    assert page_with(PAGE, "other") != PAGE
    assert "### Fields: native" in render(read_notes().values())


@pytest.mark.parametrize(("name", "text"), EXAMPLE.findall(PAGE))
def test_examples_are_of_their_type(name: str, text: str) -> None:
    value = msgspec.json.decode(text, type=TYPES[name], strict=True)
    assert msgspec.to_builtins(value).keys() >= json.loads(text).keys()
    if name == "WireRequest":
        reply = client_of(generator(), CONFIG).post("/v1/complete", content=text)
        assert [item["text"] for item in reply.json()["items"]] == ["width * height"]


def test_there_is_an_example_of_each_type() -> None:
    assert {name for name, _ in EXAMPLE.findall(PAGE)} == set(TYPES)
    written = next(
        json.loads(text) for name, text in EXAMPLE.findall(PAGE) if name == "WireCompletion"
    )
    assert tuple(written) == WireCompletion.__struct_fields__


def lines_of(session: str) -> Iterator[tuple[str, Any]]:
    for line in session.splitlines():
        yield line[0], json.loads(line[2:])


def plain(message: dict[str, Any]) -> dict[str, Any]:
    return {name: "*" if name in MEASURED else value for name, value in message.items()}


def test_the_conversation_is_what_is_said() -> None:
    (session,) = SESSION.findall(PAGE)

    async def talk() -> None:
        line = Line()
        line.start(create_app(generator(), Service(generator(), CONFIG)))
        for side, message in lines_of(session):
            if side == ">":
                line.send(**message)
            else:
                assert plain(await line.receive()) == plain(message)
        await line.leave()

    asyncio.run(talk())
