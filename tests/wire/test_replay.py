"""What real clients once sent (tools/record_wire.py) is answered as they read it, by the app of today."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.scripted import WHOLE, Scripted, create_scripted
from tests.wire.reads import ERROR, READS, Reads, find

FOLDER = Path(__file__).parent
FIXTURES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*/*.json"))
}
EXCHANGES = {name: data["exchanges"] for name, data in FIXTURES.items() if "exchanges" in data}
KNOWN = WHOLE + "\n\nprint(area(2, 3))\nprint(perimeter(2, 3))\n"
"""What the clients typed begins lines of this."""
EVENTS = {
    "codeium_vim/vim9": ["accepted"],
    "neocodeium/nvim012": ["accepted"],
    "tabby_agent/lines": ["shown", "accepted", "rejected"],
}
"""What each recording told of its completions."""
CANCELLED = 499
IDS = re.compile(r"cmpl-[0-9a-f]{32}")
PRIVATE = re.compile(r"/root\b|/tmp/|/work/|Bearer (?!secret)|\bsk-|localhost:\d")
LLAMA_VIM_LOOKS_FOR = (re.compile(r"^\s*\{"), re.compile(r'"content":"'))


@pytest.fixture
def scripted() -> Scripted:
    return create_scripted(KNOWN)


def replies_of(scripted: Scripted, exchanges: list[Any]) -> list[tuple[Any, Any]]:
    """Send what was recorded, in its order; the ids of completions are those of today."""
    ids: dict[str, str] = {}
    pairs: list[tuple[Any, Any]] = []
    with TestClient(scripted.app, base_url="http://127.0.0.1:8012") as client:
        for exchange in exchanges:
            sent, recorded = exchange["request"], exchange["reply"]
            body = json.dumps(sent["body"]) if sent["body"] != "" else ""
            reply = client.request(
                sent["method"],
                sent["path"],
                content=IDS.sub(lambda found: ids.get(found[0], found[0]), body),
                headers=sent["headers"],
            )
            old, new = IDS.findall(json.dumps(recorded["body"])), IDS.findall(reply.text)
            ids.update(zip(old, new, strict=False))
            pairs.append((exchange, reply))
    return pairs


def events_in(text: str) -> list[Any]:
    """JSON of each server-sent event."""
    data = re.findall(r"^data: (\{.*\})$", text, re.MULTILINE)
    return [json.loads(item) for item in data]


def bodies_of(body: Any) -> list[Any]:
    """The JSON values of a body, recorded or of today: one, or those of a stream."""
    if isinstance(body, str):
        return events_in(body) if body.startswith("data: ") else [json.loads(body)] if body else []
    return [body]


def assert_read(reads: Reads, recorded: Any, replied: Any) -> set[str]:
    """Every field that is read has the kind of value that it had; return those that were there.

    Only where today's model has nothing to show may fields of a completion be gone.
    """
    there: set[str] = set()
    for path in reads.fields:
        before, now = (
            [value for body in bodies_of(side) for value in find(body, path)]
            for side in (recorded, replied)
        )
        is_nothing_shown = bool(IDS.search(json.dumps(recorded))) and not IDS.search(str(replied))
        assert bool(now) == bool(before) or is_nothing_shown, path
        kinds = {type(value) for value in before}
        assert {type(value) for value in now} <= kinds | {type(None)}, path
        there |= {path} if now else set()
    return there


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_request_is_answered_as_its_client_reads_it(name: str, scripted: Scripted) -> None:
    reads = READS[name.split("/")[0]]
    seen: dict[str, set[str]] = {path: set() for path in reads}
    for exchange, reply in replies_of(scripted, EXCHANGES[name]):
        recorded, path = exchange["reply"], exchange["request"]["path"]
        if (
            recorded["status"] == CANCELLED
        ):  # by the next request, which here comes when this is over
            assert reply.status_code == 200
            continue
        assert reply.status_code == recorded["status"], f"{path}: {reply.text}"
        kind = recorded["headers"]["content-type"].split(";")[0]
        assert reply.headers["content-type"].split(";")[0] == kind, path
        if reply.status_code >= 400:
            assert_read(ERROR, recorded["body"], reply.text)
        elif path in reads:
            seen[path] |= assert_read(reads[path], recorded["body"], reply.text)
    asked = {exchange["request"]["path"] for exchange in EXCHANGES[name]}
    for path in asked & set(reads):
        assert seen[path] == set(reads[path].fields), f"{path}: a field is in no reply"
    kinds = [event.kind for event in scripted.store.events]
    assert kinds == EVENTS.get(name, [])


@pytest.mark.parametrize("name", [name for name in EXCHANGES if name.startswith("llama_vim/")])
def test_llama_vim_finds_what_it_looks_for_in_the_text(name: str, scripted: Scripted) -> None:
    """It tells a reply by these two patterns, and says nothing if they do not match."""
    answers = [
        reply.text
        for exchange, reply in replies_of(scripted, EXCHANGES[name])
        if exchange["request"]["body"]["n_predict"]
    ]
    assert any(json.loads(text)["content"] for text in answers)
    for text in answers:
        assert all(pattern.search(text) for pattern in LLAMA_VIM_LOOKS_FOR)
        assert "\n" not in text


def test_what_is_accepted_is_what_was_shown(scripted: Scripted) -> None:
    """codeium.vim sends AcceptCompletion with the id of the reply; it reaches the store under that id."""
    pairs = replies_of(scripted, EXCHANGES["codeium_vim/vim9"])
    replied = {found for _, reply in pairs for found in IDS.findall(reply.text)}
    (accepted,) = scripted.store.events
    assert accepted.request_id in replied


def test_fixtures_name_their_client_and_nobody_else() -> None:
    assert {name.split("/")[0] for name in EXCHANGES} == set(READS)
    for name, data in FIXTURES.items():
        assert data["client"]
        assert not PRIVATE.search(json.dumps(data)), name
