"""`WebSocket /v1/session`: what each field of each message changes. A body is the list of messages after hello."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from msgspec.structs import replace

from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.dialects import websocket_types as types
from tests.fakes import FakeGenerator
from tests.server.fields.cases_native import OPTIONS, SIMILAR, TEXT
from tests.server.fields.harness import FieldCase
from tests.server.talk import ask_session

Message = dict[str, Any]

OPEN: Message = {"type": "open", "document_id": "d", "text": TEXT, "version": 1, "path": "a.py"}
OTHER: Message = OPEN | {"document_id": "o", "text": SIMILAR, "path": "o.py"}
COMPLETE: Message = {
    "type": "complete",
    "id": 1,
    "document_id": "d",
    "version": 1,
    "position": {"line": 1, "character": 8},
}
EVENT: Message = {"event_id": "e", "request_id": "r", "kind": "shown"}


def session(*messages: Message, **hello: Any) -> list[Message]:
    """All messages of a connection."""
    return [{"type": "hello", **hello}, *messages]


def from_http(case: FieldCase) -> FieldCase:
    """A case of POST /v1/complete, for the same option here."""
    bodies = (*case.first, case.base, case.changed)
    *first, base, changed = (_messages(body, number) for number, body in enumerate(bodies))
    before = [message for messages in first for message in messages]
    return replace(
        case,
        first=(),
        base=session(*before, *base),
        changed=session(*before, *changed),
        ask=ask_session,
    )


def _messages(body: Message, number: int) -> list[Message]:
    document = body["document"]
    opened = OPEN | document
    options = {name: value for name, value in body.items() if name != "document"}
    number = min(number, 1)  # base and changed are asked under the same id
    return [opened, COMPLETE | options | {"id": f"c{number}"}]


def edit(
    text: str = "x", start: tuple[int, int] = (0, 0), end: tuple[int, int] = (0, 5)
) -> Message:
    (a, b), (c, d) = start, end
    span = {"start": {"line": a, "character": b}, "end": {"line": c, "character": d}}
    return {"range": span, "text": text}


def changed(*edits: Message, document_id: str = "d", version: int = 2) -> list[Message]:
    message = {"type": "change", "document_id": document_id, "version": version}
    asked = COMPLETE | {"version": 2, "position": {"line": 0, "character": 0}}
    return session(OPEN, OTHER, message | {"edits": list(edits)}, asked)


class Patient(FakeGenerator):
    """Its first answer waits until a second is asked for."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """As FakeGenerator's."""
        is_first, self.is_asked = not self.calls, self.__dict__.get("is_asked", asyncio.Event())
        async for chunk in super().stream(parts, params, model_id=model_id):
            if is_first:
                await self.is_asked.wait()
            else:
                self.is_asked.set()
            yield chunk


def cancelling(message_id: int) -> list[Message]:
    second = COMPLETE | {"id": 2, "document_id": "o", "position": {"line": 0, "character": 0}}
    return session(OPEN, OTHER, COMPLETE, {"type": "cancel", "id": message_id}, second)


def event(name: str, value: Any) -> FieldCase:
    base = {"type": "events", "events": [EVENT]}
    other = {"type": "events", "events": [EVENT | {name: value}]}
    return FieldCase(base=session(base), changed=session(other), ask=ask_session)


def case(base: list[Message], other: list[Message], **more: Any) -> FieldCase:
    return FieldCase(base=base, changed=other, ask=ask_session, **more)


PLAIN = session(OPEN, COMPLETE)
ACCENTED = (
    OPEN | {"text": "é = 1"},
    COMPLETE | {"position": {"line": 0, "character": 5}},
)
BOTH = session(OPEN, OTHER, COMPLETE)
LAST = OTHER | {"document_id": "p", "path": "p.py", "text": SIMILAR.replace("1", "2")}

MESSAGES: dict[str, dict[str, FieldCase]] = {
    "hello": {
        "encoding": case(session(*ACCENTED), session(*ACCENTED, encoding="utf-8")),
        "session_id": case(PLAIN, session(OPEN, COMPLETE, session_id="s")),
        "workspace_root": case(PLAIN, session(OPEN, COMPLETE, workspace_root="/nowhere/project")),
        "client": case(PLAIN, session(OPEN, COMPLETE, client="ed 1")),
    },
    "open": {
        "document_id": case(PLAIN, session(OPEN | {"document_id": "e"}, COMPLETE)),
        "text": case(PLAIN, session(OPEN | {"text": f"{TEXT}\n"}, COMPLETE)),
        "version": case(PLAIN, session(OPEN | {"version": 2}, COMPLETE)),
        "path": case(PLAIN, session(OPEN | {"path": "b.py"}, COMPLETE)),
        "language": case(
            PLAIN,
            session(OPEN | {"language": "rust"}, COMPLETE),
            generator=OPTIONS["is_insisting"].generator,
        ),
    },
    "change": {
        "document_id": case(changed(edit()), changed(edit(), document_id="o")),
        "version": case(changed(edit()), changed(edit(), version=3)),
        "edits[].range.start.line": case(
            changed(edit(end=(1, 5))), changed(edit(start=(1, 0), end=(1, 5)))
        ),
        "edits[].range.start.character": case(changed(edit()), changed(edit(start=(0, 1)))),
        "edits[].range.end.line": case(changed(edit()), changed(edit(end=(1, 5)))),
        "edits[].range.end.character": case(changed(edit()), changed(edit(end=(0, 4)))),
        "edits[].text": case(changed(edit()), changed(edit("y"))),
    },
    "close": {
        "document_id": case(
            session(OPEN, OTHER, {"type": "close", "document_id": "x"}, COMPLETE),
            session(OPEN, OTHER, {"type": "close", "document_id": "o"}, COMPLETE),
        )
    },
    "focus": {
        "document_id": case(
            session(OPEN, OTHER, LAST, {"type": "focus", "document_id": "x"}, COMPLETE),
            session(OPEN, OTHER, LAST, {"type": "focus", "document_id": "o"}, COMPLETE),
        )
    },
    "complete": {
        "id": case(PLAIN, session(OPEN, COMPLETE | {"id": "two"})),
        "document_id": case(BOTH, session(OPEN, OTHER, COMPLETE | {"document_id": "o"})),
        "version": case(PLAIN, session(OPEN, COMPLETE | {"version": 7})),
        **{name: from_http(each) for name, each in OPTIONS.items()},
    },
    "cancel": {"id": case(cancelling(9), cancelling(1), generator=Patient)},
    "events": {
        "id": case(
            session({"type": "events", "events": [EVENT]}),
            session({"type": "events", "events": [EVENT], "id": "x"}),
        ),
        "events[].event_id": event("event_id", "f"),
        "events[].request_id": event("request_id", "s"),
        "events[].kind": event("kind", "accepted"),
        "events[].at_s": event("at_s", 3.0),
        "events[].num_chars": event("num_chars", 3),
        "events[].after_s": event("after_s", 15.0),
        "events[].alternative": event("alternative", 1),
        "events[].client": event("client", "ed"),
    },
}
CASES: dict[str, FieldCase] = {
    f"WebSocket /v1/session {message} {name}": each
    for message, cases in MESSAGES.items()
    for name, each in cases.items()
}
MODELS: dict[str, Any] = {
    f"WebSocket /v1/session {name}": model
    for name, model in {
        "hello": types.Hello,
        "open": types.Open,
        "change": types.Change,
        "close": types.Close,
        "focus": types.Focus,
        "complete": types.Complete,
        "cancel": types.Cancel,
        "events": types.Report,
    }.items()
}
