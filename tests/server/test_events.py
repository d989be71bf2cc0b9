"""POST /v1/events over the whole app: counted once, told once, by whose it is; and what the brain infers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.artifacts.events import Event, EventOrigin, StoredEvent
from paceline.complete.outcome import InferredOutcome
from paceline.complete.request import CompleteRequest
from paceline.complete.service import Service
from paceline.core.errors import FieldError, StorageError
from paceline.server.app import create_app
from paceline.server.caller import ANONYMOUS, Caller
from paceline.server.events import Events, EventsInMemory, EventStore
from paceline.server.inferred import InferredOutcomes, event_of
from paceline.telemetry.event_log import EventLog
from paceline.telemetry.segments import read_events
from tests.complete.brains import QUIET
from tests.complete.cursors import at
from tests.fakes import FakeGenerator
from tests.server.http import error_of

ANN, BOB = Caller(user_id="ann"), Caller(user_id="bob")


def service_of(*pieces: str) -> Service:
    """A brain that shows what the script says."""
    return Service(FakeGenerator(pieces or ("sorted", "\n")), QUIET)


def client_with(service: Service, store: EventStore | None = None) -> TestClient:
    """A client of the whole app."""
    app = create_app(FakeGenerator(), service, store=store)
    return TestClient(app, base_url="http://127.0.0.1:8012", raise_server_exceptions=False)


def event(request_id: str, kind: Any = "accepted", event_id: str = "e-1", **more: Any) -> Event:
    """An event of a request."""
    return Event(event_id=event_id, request_id=request_id, kind=kind, **more)


def shown_to(service: Service, caller: Caller, marked: str = "x = |\n", **more: Any) -> str:
    """Complete for a caller, as dialects do; return the request's id."""
    asked = CompleteRequest(cursor=at(marked), user_id=caller.tenant("pane 1"), **more)
    completion = asyncio.run(service.complete(asked))
    assert completion.text
    return completion.request_id


def told(service: Service, request_id: str) -> list[tuple[str, int]]:
    """What the brain heard of a request."""
    trace = service.traces.get(request_id)
    assert trace is not None
    return [(each.kind, each.num_chars) for each in trace.events]


def test_a_batch_counts_once_and_the_brain_hears_it_once(tmp_path: Path) -> None:
    service = service_of()
    request_id = shown_to(service, ANONYMOUS)
    batch = {
        "events": [
            {"event_id": "1", "request_id": request_id, "kind": "shown"},
            {"event_id": "2", "request_id": request_id, "kind": "partially_accepted", "num_chars": 3},
            {"event_id": "3", "request_id": request_id, "kind": "retained", "after_s": 15},
            {"event_id": "4", "request_id": "cmpl-of-long-ago", "kind": "accepted"},
        ]
    }  # fmt: skip
    with EventLog(tmp_path) as log:
        client = client_with(service, log)
        assert client.post("/v1/events", json=batch).json() == {"num_new": 4, "num_known": 0}
        batch["events"].append({"event_id": "5", "request_id": request_id, "kind": "rejected"})
        assert client.post("/v1/events", json=batch).json() == {"num_new": 1, "num_known": 4}
    assert told(service, request_id) == [("shown", 0), ("partially_accepted", 3), ("rejected", 0)]
    stored = list(read_events(tmp_path))
    assert [each.event.event_id for each in stored] == ["1", "2", "3", "4", "5"]
    assert {each.origin for each in stored} == {"client"}


def test_no_event_is_a_batch_too() -> None:
    reply = client_with(service_of()).post("/v1/events", json={"events": []})
    assert reply.json() == {"num_new": 0, "num_known": 0}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"events": [{"event_id": "1", "request_id": "r", "kind": "liked"}]}, "events.0.kind"),
        ({"events": [{"request_id": "r", "kind": "shown"}]}, "events.0.event_id"),
        ({"events": {}}, "events"),
        ({}, "events"),
        ({"type": "view", "events": [1]}, "type"),
        ({"type": "like", "completion_id": "x"}, "type"),
        ({"type": "view"}, "completion_id"),
        ([], None),
        ("text", None),
    ],
)
def test_what_is_wrong_is_named(body: Any, param: str | None) -> None:
    reply = client_with(service_of()).post("/v1/events", json=body)
    assert reply.status_code == 400
    assert error_of(reply)["param"] == param
    assert error_of(reply)["code"] == "invalid_request"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    reply = client_with(service_of()).post("/v1/events", content=body)
    assert reply.status_code == 400
    error_of(reply)


def test_tabby_posts_to_the_same_path(tmp_path: Path) -> None:
    service = service_of()
    request_id = shown_to(service, ANONYMOUS)
    with EventLog(tmp_path) as log:
        client = client_with(service, log)
        for _ in range(2):
            body = {"type": "select", "completion_id": request_id, "choice_index": 0}
            assert client.post("/v1/events", json=body).status_code == 200
    assert told(service, request_id) == [("accepted", 0)]
    assert [each.event.client for each in read_events(tmp_path)] == ["tabby"]


def test_openapi_tells_both_bodies() -> None:
    schema = client_with(service_of()).get("/openapi.json").json()
    body = schema["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    ours, tabby = body["schema"]["oneOf"]
    assert set(ours["properties"]) == {"events"}
    assert {"type", "completion_id"} <= set(tabby["properties"])
    assert "$ref" not in str(body)


class FullDisk:
    """A store that keeps nothing."""

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """Refuse."""
        raise StorageError("The server cannot write events (no space left on device).")


def test_what_is_not_kept_is_not_acknowledged_and_not_told() -> None:
    service = service_of()
    request_id = shown_to(service, ANONYMOUS)
    batch = {"events": [{"event_id": "1", "request_id": request_id, "kind": "accepted"}]}
    reply = client_with(service, FullDisk()).post("/v1/events", json=batch)
    assert reply.status_code == 507
    assert error_of(reply)["code"] == "storage"
    assert told(service, request_id) == []


def test_nobody_speaks_for_another() -> None:
    service = service_of()
    events = Events(EventsInMemory(), service)
    request_id = shown_to(service, ANN)
    for caller in (BOB, ANONYMOUS):
        assert (
            asyncio.run(events.record([event(request_id, "rejected")], caller)) == 1
        )  # kept as theirs
    assert told(service, request_id) == []
    assert asyncio.run(events.record([event(request_id)], ANN)) == 1
    assert told(service, request_id) == [("accepted", 0)]


def test_a_request_id_that_is_taken_does_not_pass_to_another_user() -> None:
    service = service_of()
    events = Events(EventsInMemory(), service)
    assert shown_to(service, ANN, request_id="mine") == "mine"
    theirs = shown_to(service, BOB, request_id="mine")
    assert theirs != "mine"
    asyncio.run(events.record([event("mine", "rejected"), event(theirs, event_id="e-2")], BOB))
    assert told(service, "mine") == []
    assert told(service, theirs) == [("accepted", 0)]
    assert shown_to(service, ANN, marked="y = |\n", request_id="mine") == "mine"


def test_a_client_without_a_token_cannot_name_itself_a_user() -> None:
    service = service_of()
    asked = CompleteRequest(cursor=at("x = |\n"), user_id=ANONYMOUS.tenant("ann\0pane 1"))
    request_id = asyncio.run(service.complete(asked)).request_id
    asyncio.run(Events(EventsInMemory(), service).record([event(request_id)], ANN))
    assert told(service, request_id) == []


def test_traces_keep_no_name_of_a_user() -> None:
    service = service_of()
    trace = service.traces.get(shown_to(service, ANN))
    assert trace is not None
    assert trace.user_key
    assert "ann" not in str(trace)


def test_events_that_a_dialect_makes_are_held_to_the_rules() -> None:
    events = Events(EventsInMemory(), service_of())
    with pytest.raises(FieldError, match=r"events\.0\.request_id"):
        asyncio.run(events.record([event("two words")], ANONYMOUS))


def type_away(client: TestClient, *texts: str) -> list[str]:
    """Ask at the end of each text, one after another; return the requests' ids."""
    ids: list[str] = []
    for text in texts:
        body = {"input_prefix": "", "prompt": text, "input_suffix": "\n", "filename": "a.py"}
        ids.append(client.post("/infill", json=body).json()["paceline"]["request_id"])
    return ids


@pytest.mark.parametrize("is_client_first", [True, False])
def test_what_the_brain_infers_is_kept_beside_what_the_client_says(
    tmp_path: Path, is_client_first: bool
) -> None:
    service = service_of()
    with EventLog(tmp_path) as log:
        with client_with(service, log) as client:
            first = type_away(client, "x = ")[0]
            sent = {
                "event_id": "1",
                "request_id": first,
                "kind": "partially_accepted",
                "num_chars": 5,
            }
            if is_client_first:
                client.post("/v1/events", json={"events": [sent]})
            type_away(client, "x = sorte", "x = sorted")
            client.post("/v1/events", json={"events": [sent]})
        # the app has ended, and waited for what was in the queue
        assert asyncio.run(log.append([event_of(outcome(first))], origin="inferred")) == ()
    kept = [
        (each.origin, each.event.kind, each.event.num_chars)
        for each in read_events(tmp_path)
        if each.event.request_id == first
    ]
    assert sorted(kept) == [
        ("client", "partially_accepted", 5),
        ("inferred", "partially_accepted", 5),
    ]
    assert told(service, first) == [("partially_accepted", 5)] * (1 if is_client_first else 2)


def outcome(request_id: str, owner: str = "") -> InferredOutcome:
    """Of that request."""
    return InferredOutcome(request_id, "partially_accepted", 5, owner)


def test_inferred_outcomes_are_kept_under_their_users_name(tmp_path: Path) -> None:
    async def scenario(log: EventLog) -> int:
        inferred = InferredOutcomes(log)
        for owner in ("ann", "ann", "", "bob", "ann"):
            inferred.note(outcome(f"of-{owner}", owner))
        await inferred.close()
        return inferred.num_dropped

    with EventLog(tmp_path) as log:
        assert asyncio.run(scenario(log)) == 0
    stored: list[StoredEvent] = list(read_events(tmp_path))
    assert [(each.user_id, each.event.request_id) for each in stored] == [
        (owner, f"of-{owner}") for owner in ("ann", "", "bob")
    ]


def test_inferred_outcomes_that_cannot_be_kept_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> int:
        inferred = InferredOutcomes(FullDisk(), max_waiting=3)
        for number in range(5):
            inferred.note(outcome(f"r{number}"))
        await inferred.close()
        inferred.note(outcome("not an id"))
        await inferred.close()
        return inferred.num_dropped

    assert asyncio.run(scenario()) == 6
    assert caplog.text.count("Inferred outcomes are lost") == 1


def test_a_store_that_hangs_makes_no_keystroke_wait() -> None:
    class Hanging:
        """Never ready until told so."""

        def __init__(self) -> None:
            self.ready, self.num_kept = asyncio.Event(), 0

        async def append(
            self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
        ) -> Sequence[Event]:
            await self.ready.wait()
            self.num_kept += len(events)
            return events

    async def scenario() -> tuple[int, int]:
        store, service = Hanging(), service_of()
        events = Events(store, service)
        for marked in ("x = |\n", "x = sorted|\n", "x = sorted\ny = |\n"):
            asked = CompleteRequest(cursor=at(marked))
            async with asyncio.timeout(30):
                await service.complete(asked)
        before = store.num_kept
        store.ready.set()
        await events.close()
        return before, store.num_kept

    assert asyncio.run(scenario()) == (0, 1)
