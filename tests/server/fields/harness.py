"""Does each field of each dialect do what its note says? One case a field, run against the whole app.

To cover a dialect, write `cases_<dialect>.py` beside this file with

    CASES: dict[str, FieldCase] = {"POST /infill input_prefix": FieldCase(base=BODY, changed=BODY | {...}), ...}
    MODELS: dict[str, Any] = {"POST /v1/events": TabbyEvent}     # only where OpenAPI does not tell the fields

A key is the `request` of a DialectNotes, a space, and the name of one of its fields. Of a field that is

- honoured, `changed` must give another result than `base`: another reply (ids drawn by the server and timings
  aside), another question to the generator, other events, or another wait;
- ignored, the same result (such a case is optional);
- refused, a status of 400 or 422 with a message that names it, where `base` succeeds.

All time is a FakeClock's, which only waiting moves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol, cast

import msgspec
from fastapi.testclient import TestClient
from msgspec.structs import replace
from pydantic import BaseModel

from paceline.artifacts.events import Event, EventOrigin
from paceline.complete.config import CompleteConfig
from paceline.complete.service import Service
from paceline.generate.types import TextGenerator
from paceline.server.app import create_app
from paceline.server.config import ServerConfig
from paceline.server.events import EventStore
from tests.fakes import Call, FakeClock, FakeGenerator
from tests.server.http import QUIET

DRAWN_ID = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""What the server made up: a UUID, with or without hyphens."""
TIMED = re.compile(r"(_ms|_per_second|^created|_at|_s)$")
"""Names of reply fields that tell times; they may differ from one run to the next."""


class CountedGenerator(TextGenerator, Protocol):
    """A generator that remembers what it was asked."""

    @property
    def calls(self) -> list[Call]: ...


Ask = Callable[[TestClient, str, str, Any], Any]
"""Send one message (client, method, path, body or messages) and return what the client sees, as JSON."""


def ask_http(client: TestClient, method: str, path: str, body: Any) -> Any:
    """One request. The query is in the path; a body of None is none."""
    response = client.request(method, path, json=body)
    return {"status": response.status_code, "body": _parsed(response.text)}


class FieldCase(msgspec.Struct, frozen=True, kw_only=True):
    """One field: a request without it, or with one value, and the same with another."""

    base: Any
    changed: Any
    path: str | None = None
    """Where to send them, if that is not the request's own path: with path parameters filled in, or a query."""
    changed_path: str | None = None
    """Where to send `changed`; None: the same."""
    first: tuple[Any, ...] = ()
    """Sent before, in both runs: for fields that refer to an earlier request."""
    pieces: Sequence[str] = ("return", " 1", "\n")
    generator: Callable[[], CountedGenerator] | None = None
    """Makes another generator than the FakeGenerator of `pieces`."""
    models: tuple[str, ...] = ("fake", "other")
    config: CompleteConfig = QUIET
    server: ServerConfig = ServerConfig()
    is_app_own: bool = False
    """Give each run an app of its own, where routes themselves remember earlier requests."""
    ask: Ask = ask_http
    """How to send; a WebSocket has its own way."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be observed of a request."""

    replies: list[Any]
    calls: list[Any]
    events: list[Event]
    waits_s: list[float]

    @property
    def status(self) -> int:
        """Of the last reply; 0 if it has none."""
        last = self.replies[-1]
        return last.get("status", 0) if isinstance(last, dict) else 0


class RecordingStore:
    """An EventStore that keeps everything in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(
        self, events: Sequence[Event], *, user_id: str = "", origin: EventOrigin = "client"
    ) -> Sequence[Event]:
        """Keep all."""
        self.events.extend(events)
        return events


class _StandIn:
    """Whatever `now` is."""

    def __init__(self, now: Any) -> None:
        self.now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


class _Stage:
    """One app for all runs, as making one takes longer than a run: what it stands on is changed instead."""

    def __init__(self, config: ServerConfig) -> None:
        generator = FakeGenerator()
        self.generator, self.store = _StandIn(generator), _StandIn(RecordingStore())
        self.service = _StandIn(Service(generator))
        app = create_app(
            cast("TextGenerator", self.generator),
            cast("Service", self.service),
            config=config,
            store=cast("EventStore", self.store),
        )
        self.openapi = app.openapi()
        self.client = TestClient(
            app,
            base_url="http://127.0.0.1:8012",
            raise_server_exceptions=False,
            client=("127.0.0.1", 50_000),
        )


stage_for = cache(_Stage)


def run_case(case: FieldCase, request: str, body: Any, path: str | None) -> Outcome:
    """Send `body` to a server that knows nothing yet; `request` is such as `POST /infill`."""
    method, _, own_path = request.partition(" ")
    generator = (case.generator or (lambda: FakeGenerator(case.pieces, models=case.models)))()
    clock, waits_s, store = FakeClock(), list[float](), RecordingStore()

    async def sleep(seconds: float) -> None:
        waits_s.append(round(seconds, 4))
        clock.advance(ms=seconds * 1000)

    config = replace(case.config, exempt_share=0)  # nothing depends on an id that was drawn
    stage = (_Stage if case.is_app_own else stage_for)(case.server)
    stage.generator.now, stage.store.now = generator, store
    stage.service.now = Service(generator, config, now_ms=clock.now_ms, sleep=sleep)
    target = path or case.path or own_path.split(" ")[0]
    replies = [case.ask(stage.client, method, target, each) for each in (*case.first, body)]
    calls = [_as_json(call) for call in generator.calls]
    return Outcome(replies=_scrubbed(replies), calls=calls, events=store.events, waits_s=waits_s)


def outcomes_of(case: FieldCase, request: str) -> tuple[Outcome, Outcome]:
    """Of `base` and of `changed`, each on a server of its own."""
    base = run_case(case, request, case.base, case.path)
    return base, run_case(case, request, case.changed, case.changed_path or case.path)


def _as_json(call: Call) -> dict[str, Any]:
    """A call, but for its functions."""
    params = {name: getattr(call.params, name) for name in call.params.__struct_fields__}
    del params["stop_when"]
    plain = msgspec.to_builtins({"parts": call.parts, "params": params, "model": call.model_id})
    return json.loads(DRAWN_ID.sub("*", json.dumps(plain)))


def _parsed(text: str) -> Any:
    """JSON, or the list of events of a stream, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        pieces = [line.removeprefix("data: ") for line in text.splitlines() if line]
        return pieces if len(pieces) < 2 else [_parsed(piece) for piece in pieces]


def _scrubbed(value: Any) -> Any:
    """Without what no two runs have in common. Names stay, so that a field that appears is seen."""
    if isinstance(value, dict):
        return {key: "*" if TIMED.search(key) else _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each) for each in value]
    return DRAWN_ID.sub("*", value) if isinstance(value, str) else value


def fields_of(schema: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Names of the leaves and of the containers of a JSON Schema: `{"segments.prefix"}` and `{"segments"}`.

    Fields with one possible value (a tag such as `"type": "complete"`) are neither.
    """
    leaves, containers = set[str](), set[str]()
    shared = schema.get("$defs") or schema.get("components", {}).get("schemas", {})
    for name, is_leaf in _walk(schema, shared, "", ()):
        (leaves if is_leaf else containers).add(name)
    return leaves, containers


def _walk(
    schema: dict[str, Any], shared: dict[str, Any], name: str, seen: tuple[str, ...]
) -> Iterator[tuple[str, bool]]:
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in seen:
            target = shared[reference.rsplit("/", 1)[-1]]
            yield from _walk(target, shared, name, (*seen, reference))
        return
    if "const" in schema or len(schema.get("enum", "ab")) == 1:
        return
    inside: list[tuple[str, bool]] = []
    for way in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(way, ()):
            inside += [
                (each, leaf) for each, leaf in _walk(choice, shared, name, seen) if each != name
            ]
    for key, value in schema.get("properties", {}).items():
        inside += _walk(value, shared, f"{name}.{key}" if name else key, seen)
    if isinstance(schema.get("items"), dict):
        own = f"{name}[]"
        inside += [
            (each, leaf) for each, leaf in _walk(schema["items"], shared, own, seen) if each != own
        ]
    if name:
        yield name, not inside
    yield from inside


def schema_of_model(model: Any) -> dict[str, Any]:
    """JSON Schema of a pydantic model or a msgspec type."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_json_schema()
    return msgspec.json.schema(model)


def schema_of_route(openapi: dict[str, Any], request: str) -> dict[str, Any] | None:
    """What OpenAPI says of a request's body; None if it has none or does not say."""
    method, _, path = request.partition(" ")
    operation = openapi["paths"].get(path, {}).get(method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return schema and {**schema, "components": openapi["components"]}
