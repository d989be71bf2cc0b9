"""Edits over the WebSocket: the server's text is the editor's, in every encoding, and so is the completion."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.complete.wire import Encoding
from paceline.prompt.context.config import ContextConfig
from paceline.server.app import create_app
from tests.fakes import FakeGenerator
from tests.server.http import client_of
from tests.server.talk import line_to

PLAIN = CompleteConfig(
    is_prefetching=False,
    is_debounced=False,
    is_cached=False,
    is_skipping=False,
    is_suffix_kept=False,
    is_mode_inferred=False,
    exempt_share=0,
    context=ContextConfig(is_enabled=False),
)
"""What is asked depends on the text alone."""
PIECES = ("max", "(1, 2)", "\n")
WIDTHS = {"utf-8": lambda c: len(c.encode()), "utf-16": lambda c: 1 + (c > "\uffff")}
TEXTS = st.lists(
    st.sampled_from(["x = ", "é", "€", "😀", "\n", "\r\n", "\r", "(", "def f():\n    "]), max_size=6
).map("".join)


class Edit(NamedTuple):
    """As a person thinks of it: two places, as shares of the text, and what is put between."""

    start: float
    end: float
    text: str


EDITS = st.lists(st.builds(Edit, st.floats(0, 1), st.floats(0, 1), TEXTS), max_size=5)


def place_of(text: str, offset: int, encoding: Encoding) -> dict[str, int]:
    """The slow way: one character after the other."""
    line = column = 0
    for at, character in enumerate(text[:offset]):
        if character == "\n" or (character == "\r" and text[at + 1 : at + 2] != "\n"):
            line, column = line + 1, 0
        else:
            column += WIDTHS.get(encoding, lambda _: 1)(character)
    return {"line": line, "character": column}


def outside_of_line_ends(text: str, share: float) -> int:
    """An offset that a position can name: not between the two halves of a line end."""
    offset = int(share * len(text))
    return offset - (text[offset - 1 : offset + 1] == "\r\n" and offset > 0)


def apply(text: str, edit: Edit, encoding: Encoding) -> tuple[str, dict[str, Any]]:
    """The text after an edit, and the edit as it goes over the wire."""
    ends = sorted(outside_of_line_ends(text, share) for share in (edit.start, edit.end))
    names = ("start", "end")
    span = {name: place_of(text, at, encoding) for name, at in zip(names, ends, strict=True)}
    after = text[: ends[0]] + edit.text + text[ends[1] :]
    return after, {"range": span, "text": edit.text}


def without_drawn(reply: dict[str, Any]) -> dict[str, Any]:
    """What does not differ from one ask to the next."""
    drawn = ("request_id", "latency_ms", "ttft_ms", "id", "type")
    return {name: value for name, value in reply.items() if name not in drawn}


@settings(max_examples=20, deadline=None)
@given(
    TEXTS,
    st.lists(EDITS, max_size=4),
    st.floats(0, 1),
    st.sampled_from(["utf-8", "utf-16", "utf-32"]),
)
def test_the_text_is_the_editors_and_the_completion_is_that_of_the_whole_text(
    first: str, changes: list[list[Edit]], cursor: float, encoding: Encoding
) -> None:
    generator, text = FakeGenerator(PIECES), first

    async def talk() -> dict[str, Any]:
        nonlocal text
        app = create_app(generator, Service(generator, PLAIN))
        async with line_to(app, encoding=encoding, session_id="s") as line:
            line.send(type="open", document_id="d", text=text, version=0, path="a.py")
            for version, edits in enumerate(changes, start=1):
                sent: list[dict[str, Any]] = []
                for edit in edits:
                    text, wire = apply(text, edit, encoding)
                    sent.append(wire)
                line.send(type="change", document_id="d", version=version, edits=sent)
            place = place_of(text, outside_of_line_ends(text, cursor), encoding)
            asked = {"id": 1, "document_id": "d", "version": len(changes), "position": place}
            line.send(type="complete", **asked)
            return await line.receive()

    reply = asyncio.run(talk())
    twin = FakeGenerator(PIECES)
    body = {
        "document": {"text": text, "path": "a.py"},
        "position": place_of(text, outside_of_line_ends(text, cursor), encoding),
        "encoding": encoding,
        "session_id": "s",
        "document_id": "d",
    }
    whole = client_of(twin, PLAIN).post("/v1/complete", json=body).json()
    assert [call.parts for call in generator.calls] == [call.parts for call in twin.calls]
    if "error" in whole:
        assert reply["error"]["message"] == whole["error"]["message"]
    else:
        assert without_drawn(reply) == without_drawn(whole)
