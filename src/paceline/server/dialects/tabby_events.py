"""Tabby's own events, as Paceline's: view is shown, select accepted, dismiss rejected.

Tabby has one kind of partial acceptance, `select_kind=line`, which VS Code's plugin also sends for a word. It is
recorded as the first line, whose length is remembered here, for the newest completions and in memory.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError

from paceline.artifacts.events import Event, EventKind
from paceline.complete.accept import next_line
from paceline.complete.service import Service
from paceline.server.caller import Caller
from paceline.server.context import ServerContext
from paceline.server.dialects.tabby_types import TabbyEvent

MAX_FIRST_LINES = 2_000
"""As many as the service remembers requests."""
CLIENT = "tabby"
KINDS: dict[str, EventKind] = {"view": "shown", "select": "accepted", "dismiss": "rejected"}

_Lengths = OrderedDict[str, tuple[int, bool]]
_first_lines: WeakKeyDictionary[Service, _Lengths] = WeakKeyDictionary()
"""Of each service, by request: how long the first line is, and whether that is all."""


def remember_first_line(service: Service, request_id: str, text: str) -> None:
    """Keep how long the first line of a completion is, for when it is accepted."""
    lengths = _first_lines.setdefault(service, OrderedDict())
    line = next_line(text)
    lengths[request_id] = (len(line), line == text)
    while len(lengths) > MAX_FIRST_LINES:
        lengths.popitem(last=False)


async def record_tabby_event(
    server: ServerContext, caller: Caller, body: dict[str, Any], select_kind: str | None
) -> Response:
    """Record one event of Tabby's; the reply is empty.

    Args:
        select_kind: of the query; absent: of the body.

    Raises:
        RequestValidationError: a field is missing or wrong; it is named.
        StorageError: it could not be kept.
    """
    try:
        event = TabbyEvent.model_validate(body)
    except ValidationError as error:
        problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(problems) from error
    is_line = (select_kind or event.select_kind) == "line"
    await server.events.record([to_event(event, server.service, is_line=is_line)], caller)
    return Response(media_type="text/plain")


def to_event(event: TabbyEvent, service: Service, *, is_line: bool) -> Event:
    """Translate; a line of which nothing is known any more counts no characters."""
    kind, num_chars = KINDS[event.type], 0
    if kind == "accepted" and is_line:
        lengths = _first_lines.get(service)
        num_chars, is_all = (lengths or _Lengths()).get(event.completion_id, (0, False))
        kind = "accepted" if is_all else "partially_accepted"
    return Event(
        event_id=_event_id(event, kind),
        request_id=event.completion_id,
        kind=kind,
        num_chars=num_chars if kind == "partially_accepted" else 0,
        alternative=event.choice_index,
        client=CLIENT,
    )


def _event_id(event: TabbyEvent, kind: EventKind) -> str:
    """The same for the same showing, however often it is sent; short, whatever the plugin's ids are."""
    view = event.view_id or f"{event.completion_id}:{event.choice_index}"
    digest = hashlib.blake2b(view.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"tabby-{digest}-{kind}"
