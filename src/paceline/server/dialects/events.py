"""`POST /v1/events`: what became of completions. Also Tabby's path, whose body has a `type` instead of `events`.

Ours is a batch of artifacts/events.py, which may be sent again: each event counts once. docs/events.schema.json
is its JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from paceline.artifacts.events import MAX_BATCH_EVENTS, batch_of, json_schema, read_json
from paceline.server.caller import caller_of
from paceline.server.context import ServerContext
from paceline.server.dialects.notes import DialectNotes, FieldNote
from paceline.server.dialects.tabby_events import record_tabby_event
from paceline.server.dialects.tabby_types import TabbyEvent
from paceline.server.errors import ErrorBody
from paceline.server.fields import MAX_NAME_CHARS

_STORED = "kept, for what reads the log"

NOTES = (
    DialectNotes(
        "native",
        "POST /v1/events",
        "server",
        (
            FieldNote("events[].event_id", "honoured", "the same one again counts once"),
            FieldNote("events[].request_id", "honoured", "which completion, as its reply named it"),
            FieldNote("events[].kind", "honoured", "what became of it"),
            FieldNote("events[].at_s", "honoured", _STORED),
            FieldNote("events[].num_chars", "honoured", "how much was accepted, or is retained"),
            FieldNote("events[].after_s", "honoured", _STORED),
            FieldNote("events[].alternative", "honoured", _STORED),
            FieldNote("events[].client", "honoured", _STORED),
        ),
    ),
)


class EventsReply(BaseModel):
    """The events are safe."""

    num_new: int = Field(description="Events that were not known yet.")
    num_known: int = Field(description="Events that had been sent before; they count once.")


def _body_schema() -> dict[str, Any]:
    """Both bodies for OpenAPI, which FastAPI cannot tell from the types: the route reads the body itself."""
    ours = json_schema()
    del ours["$schema"]
    tabby = TabbyEvent.model_json_schema()
    content = {"application/json": {"schema": {"oneOf": [ours, tabby]}}}
    return {"requestBody": {"required": True, "content": content}}


def create_events_router(server: ServerContext) -> APIRouter:
    """Return the route; it writes to `server.events`."""
    errors: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": ErrorBody},
        "5XX": {"model": ErrorBody},
    }
    router = APIRouter(tags=["events"], responses=errors)

    @router.post(
        "/v1/events",
        response_model=EventsReply,
        responses={200: {"content": {"text/plain": {"schema": {"const": ""}}}}},
        openapi_extra=_body_schema(),
        description=f"Say what became of completions, up to {MAX_BATCH_EVENTS} events at a time. They survive a "
        "crash when the reply comes; send a batch again if none does. Tabby's plugins post one event of theirs, "
        "told by its `type`, and get an empty reply.",
    )
    async def record(
        request: Request,
        select_kind: Annotated[
            str | None,
            Query(max_length=MAX_NAME_CHARS, description="Tabby's: `line`, if not all of it."),
        ] = None,
    ) -> Response | EventsReply:
        body = read_json(await request.body())
        caller = caller_of(request)
        if _is_tabby(body):
            return await record_tabby_event(server, caller, body, select_kind)
        events = batch_of(body).events
        num_new = await server.events.record(events, caller)
        return EventsReply(num_new=num_new, num_known=len(events) - num_new)

    return router


def _is_tabby(body: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(body, dict) and "type" in body and "events" not in body
