"""`WebSocket /v1/session`: the native protocol for editors that send what changed instead of whole documents.

One connection is one editor. It says hello, opens documents and sends every edit; a completion is asked for by
document, version and position, and answered exactly once: by a completion or by an error. Of one document only
the newest request matters: once it is answered, older ones are over; until then the one before may still run,
because the brain lets one sequence answer both where the user types what it writes.

websocket_types.py has the messages, websocket_conversation.py the connection, websocket_documents.py the texts,
websocket_answers.py what runs.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from paceline.artifacts.events import Event
from paceline.server.caller import caller_of
from paceline.server.context import ServerContext
from paceline.server.dialects.native import OPTION_NOTES, notes_of
from paceline.server.dialects.notes import DialectNotes
from paceline.server.dialects.websocket_conversation import Conversation
from paceline.server.dialects.websocket_documents import Budget

DOCUMENT = ("document_id", "The name that the client gave the document.")


def _notes(
    message: str, *pairs: tuple[str, str], ignored: tuple[tuple[str, str], ...] = ()
) -> DialectNotes:
    fields = notes_of("honoured", pairs) + notes_of("ignored", ignored)
    return DialectNotes("native", f"WebSocket /v1/session {message}", "completion brain", fields)


NOTES = (
    _notes(
        "hello",
        ("encoding", "What a column counts, on all of the connection."),
        ("session_id", "This editor; empty draws one, which `ready` tells."),
        ("workspace_root", "As in POST /v1/complete."),
        ignored=(("client", "For whoever reads the wire."),),
    ),
    _notes(
        "open",
        ("document_id", "The client's name for it, such as its address."),
        ("text", "All of it."),
        ("version", "Of the text; each `change` adds one."),
        ("path", "As in POST /v1/complete."),
        ("language", "LSP's language id; empty: by the path's ending."),
    ),
    _notes(
        "change",
        DOCUMENT,
        ("version", "Of the text after the edits; any but the next one is answered by `resync`."),
        ("edits[].range.start.line", "Of the text as the edits before have left it, from 0."),
        ("edits[].range.start.character", "In units of hello's `encoding`."),
        ("edits[].range.end.line", "Not before the start."),
        ("edits[].range.end.character", "In units of hello's `encoding`."),
        ("edits[].text", "What takes the range's place."),
    ),
    _notes("close", DOCUMENT),
    _notes("focus", ("document_id", "Moves to the front of the open documents.")),
    _notes(
        "complete",
        ("id", "The answer has it."),
        ("document_id", "Which open document."),
        ("version", "Must be the text's own; else `resync`."),
        *OPTION_NOTES,
    ),
    _notes("cancel", ("id", "Of the `complete` that nobody waits for.")),
    _notes(
        "events",
        ("id", "The answer has it."),
        *((f"events[].{name}", "As in POST /v1/events.") for name in Event.__struct_fields__),
    ),
)


def create_websocket_router(server: ServerContext) -> APIRouter:
    """The route of this dialect."""
    router, budget = APIRouter(tags=["native"]), Budget()

    @router.websocket("/v1/session")
    async def session(socket: WebSocket) -> None:
        await socket.accept()
        await Conversation(server, socket, caller_of(socket), budget).run()

    return router
