"""Paceline's own protocol over HTTP: whole documents in, completions with their ranges out.

The types are those of complete/wire.py, the protocol is docs/protocols.md. websocket.py speaks it with deltas.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec.structs import replace
from starlette.requests import HTTPConnection

from paceline.complete.request import CompleteRequest
from paceline.complete.wire import WireCompletion, WireRequest
from paceline.complete.wire_convert import to_request, to_wire
from paceline.server.caller import Caller, caller_of, note_usage
from paceline.server.context import ServerContext
from paceline.server.dialects.notes import DialectNotes, FieldNote, FieldStatus
from paceline.server.errors import ErrorBody
from paceline.server.json_body import decode_json
from paceline.server.middleware import is_loopback
from paceline.server.openapi import body_of, reply_of
from paceline.server.streaming import run_while_connected

EXAMPLE: dict[str, Any] = {
    "document": {"path": "area.py", "text": "def area(width, height):\n    return "},
    "position": {"line": 1, "character": 11},
}

OPTION_NOTES: tuple[tuple[str, str], ...] = (
    ("position.line", "From 0."),
    ("position.character", "From 0, in units of `encoding`; beyond the line's end is its end."),
    ("trigger", "`automatic`: a key was pressed. `invoked`: the user asked."),
    ("mode", "`single_line`, `block_body` or `multi_line`; null: decided from code and typing."),
    ("request_id", "Names the completion in events and for `paceline why`; empty draws one."),
    ("diagnostics[].line", "What a language server says; of the document, from 0."),
    ("diagnostics[].message", ""),
    ("diagnostics[].severity", "`error`, `warning`, `information` or `hint`."),
    ("notebook_cells", "Code cells above the cursor's, in their order."),
    ("snippets[].path", "Text from elsewhere that the client chose, best first."),
    ("snippets[].text", ""),
    ("clipboard", "Read only if the server's config says so."),
    ("model", "A name from GET /v1/models; empty: the default."),
    ("max_tokens", "Longest completion; null: the mode's own."),
    ("max_latency_ms", "What is written by then is the completion; null: the server's own."),
    ("multi_line_threshold", "0 to 1; higher offers single lines more often, 1 always."),
    ("show_threshold", "0 to 1; nothing is shown that is less likely to be kept."),
    ("num_alternatives", "1 to 3; more than one only where `trigger` is `invoked`."),
    ("is_insisting", "Complete even in a language that the model was not trained on."),
    ("pressed_at_ms", "When the key was pressed, on any clock that only moves forward; null: now."),
    ("is_warming", "Only compute the prompt, where nothing else waits; the answer is empty."),
)
"""Options of a completion, whichever way it is asked for (wire.WireOptions)."""

DOCUMENT_NOTES: tuple[tuple[str, str], ...] = (
    ("document.text", "All of it, or a window around the cursor."),
    (
        "document.path",
        "Absolute or below the workspace; empty: untitled. Only a name: it is not opened.",
    ),
    ("document.language", "LSP's language id; empty: by the path's ending."),
    ("encoding", "What a column counts: `utf-8` bytes, `utf-16` units or `utf-32` code points."),
    ("session_id", "This editor; its newest request for a document supersedes older ones."),
    ("document_id", "Which document of the session; empty: its path."),
    ("open_documents[].text", "Most recently visited first, without `document`."),
    ("open_documents[].path", ""),
    ("open_documents[].language", ""),
    ("recent_edits[].path", "Newest first."),
    ("recent_edits[].after", "What is there now."),
    (
        "workspace_root",
        "Absolute folder; looked at only for clients on the server's machine, without tokens.",
    ),
)

IGNORED_NOTES: tuple[tuple[str, str], ...] = (
    ("recent_edits[].before", "Kept for models that read edits as differences."),
    ("recent_edits[].line", "Kept for what reads edits by place."),
    ("recent_edits[].at_ms", "The order tells the age."),
)


def notes_of(status: FieldStatus, pairs: tuple[tuple[str, str], ...]) -> tuple[FieldNote, ...]:
    """Notes of one status."""
    return tuple(FieldNote(name, status, note) for name, note in pairs)


NOTES = (
    DialectNotes(
        "native",
        "POST /v1/complete",
        "completion brain",
        notes_of("honoured", (*DOCUMENT_NOTES, *OPTION_NOTES)) + notes_of("ignored", IGNORED_NOTES),
    ),
)


def is_on_this_machine(connection: HTTPConnection, caller: Caller) -> bool:
    """Does the client run here, as somebody from whom nothing on this machine is kept?

    One with a token is one of several users: it may not read files by naming folders.
    """
    is_anonymous = not caller.user_id and not caller.token_id
    return is_anonymous and connection.client is not None and is_loopback(connection.client.host)


def for_caller(wire: WireRequest, caller: Caller, *, is_local: bool) -> CompleteRequest:
    """What the brain is asked for this user. Raises FieldError as `to_request`."""
    asked = to_request(wire, is_local=is_local)
    session, user_id = caller.session(asked.session), caller.tenant(asked.user_id)
    return replace(asked, session=session, user_id=user_id)


def create_native_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    service = server.service
    errors: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": ErrorBody},
        "5XX": {"model": ErrorBody},
    }
    router = APIRouter(tags=["native"], responses=errors)

    @router.post(
        "/v1/complete",
        response_class=Response,
        responses={200: reply_of(WireCompletion, "What to show, or why nothing.")},
        openapi_extra=body_of(WireRequest),
    )
    async def complete(request: Request) -> Response:
        """Complete code at a cursor: post-processed, with the range that each text takes the place of."""
        wire = decode_json(await request.body(), WireRequest)
        caller = caller_of(request)
        asked = for_caller(wire, caller, is_local=is_on_this_machine(request, caller))
        answer = service.warm if wire.is_warming else service.complete
        completion = await run_while_connected(request.receive, answer(asked))
        prompt_tokens = completion.prompt_tokens - completion.cached_tokens
        note_usage(request, prompt_tokens=prompt_tokens, num_tokens=completion.num_tokens)
        reply = msgspec.json.encode(to_wire(completion, asked.cursor, wire.encoding))
        return Response(reply, media_type="application/json")

    return router
