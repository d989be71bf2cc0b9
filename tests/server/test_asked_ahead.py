"""llama.vim and llama.vscode, which name no session, ask ahead, as if what they show had been accepted: that is no acceptance yet."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.complete.service import Service
from paceline.server.app import create_app
from tests.fakes import FakeGenerator
from tests.server.fields.harness import RecordingStore
from tests.server.http import QUIET

HEAD = "def area(width, height):\n"
TAIL = "\n\nprint(area(2, 3))\n"
SHOWN = "width * height"


def infill(prompt: str, *, head: str = HEAD) -> dict[str, Any]:
    return {"input_prefix": head, "prompt": prompt, "input_suffix": TAIL, "n_indent": 4}


def outcomes_of(*bodies: dict[str, Any]) -> tuple[list[tuple[int, str, int]], Service]:
    """What the brain inferred: the number of the request, what became of its completion, characters of it."""
    store, ids = RecordingStore(), list[str]()
    generator = FakeGenerator(("width", " *", " height", "\n"))
    service = Service(generator, QUIET)
    with TestClient(create_app(generator, service, store=store)) as client:
        for body in bodies:
            reply = client.post("http://127.0.0.1:8012/infill", json=body).json()
            assert SHOWN.endswith(reply["content"].lstrip())
            ids.append(reply["paceline"]["request_id"])
    found = [(ids.index(each.request_id), each.kind, each.num_chars) for each in store.events]
    return found, service


AHEAD = infill("    return " + SHOWN)
MOVED = infill("    return " + SHOWN + ".", head="x = 1\n" + HEAD)


@pytest.mark.parametrize(
    ("later", "outcomes"),
    [
        ((infill("    return x"),), [(0, "ignored", 0)]),
        ((infill("    return w"), infill("    return wi")), []),
        ((infill("    return " + SHOWN + "."),), [(0, "accepted", 0), (1, "ignored", 0)]),
        ((MOVED,), [(0, "accepted", 0), (1, "ignored", 0)]),
        ((infill("    return width"), infill("    return width *")), [(0, "partially_accepted", 5)]),
        ((), []),
    ],
)  # fmt: skip
def test_only_what_the_next_request_still_has_was_accepted(
    later: tuple[dict[str, Any], ...], outcomes: list[tuple[int, str, int]]
) -> None:
    found, service = outcomes_of(infill("    return "), AHEAD, *later)
    assert found == outcomes
    assert len({trace.document_key for trace in service.traces.newest(9)}) == 1


def test_the_trace_tells_what_was_asked_ahead() -> None:
    _, service = outcomes_of(infill("    return "), AHEAD, infill("    return x"))
    assert [trace.is_ahead for trace in service.traces.newest(9)] == [False, True, False]
    _, service = outcomes_of(infill("    return "), AHEAD, infill("    return " + SHOWN + "."))
    assert [trace.is_ahead for trace in service.traces.newest(9)] == [False, False, False]
