"""Codeium's language server, as codeium.vim, codeium.nvim, neocodeium and codeium.el speak it; served by the
completion brain.

Calls are `POST /exa.language_server_pb.LanguageServerService/METHOD` with JSON (connect.py, codeium_types.py). The
editors expect them at a port that a program of theirs announces: `paceline codeium-shim` is that program, and
passes them on to here.

- The access token is `metadata.api_key`, or a header's.
- A session is `metadata.session_id` or, for clients that send none, the header `X-Paceline-Session`.
- CancelRequest ends the request of that number in the session; the engine stops within one step.
- A completion's `source` is TYPING_AS_SUGGESTED, CACHE (also for what was prepared ahead) or NETWORK: from the model.
- `probabilities` are the model's for each token written for this request, so there are none from a cache;
  `score` is the mean log-probability, from a cache too; `adjustedProbabilities` holds how likely the user is to
  keep it.
- AcceptCompletion is sent for a word or a line as well; it is recorded as accepted.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from paceline.artifacts.events import MAX_ID_CHARS, Event
from paceline.complete.request import Alternative, CompleteRequest, Completion, Source
from paceline.core.errors import FieldError
from paceline.core.types import Cursor, Document
from paceline.generate.types import Session
from paceline.hygiene.paths import plain_path
from paceline.prompt.context.types import EditorContext
from paceline.server.caller import Caller, identify, note_usage
from paceline.server.context import ServerContext
from paceline.server.dialects.codeium_running import Running, SessionKey
from paceline.server.dialects.codeium_text import (
    Insertion,
    Place,
    offset_of_cursor,
    parts_of,
    showable,
    text_and_range,
)
from paceline.server.dialects.codeium_types import (
    AcceptCompletionRequest,
    AuthTokenReply,
    CancelRequest,
    CodeiumDocument,
    CompletionSource,
    ConnectError,
    GetCompletionsReply,
    GetCompletionsRequest,
    GetStatusReply,
    Metadata,
    MetadataRequest,
    Nothing,
    RegisterUserReply,
    RegisterUserRequest,
    SentCompletion,
    SentItem,
    SentState,
    SentStatus,
)
from paceline.server.dialects.connect import ConnectRoute
from paceline.server.dialects.native import is_on_this_machine
from paceline.server.fields import MAX_NAME_CHARS
from paceline.server.streaming import run_while_connected

SERVICE = "/exa.language_server_pb.LanguageServerService"
SEATS = "/exa.seat_management_pb.SeatManagementService"
SESSION_HEADER = "x-paceline-session"

MAX_OTHER_DOCUMENTS = 64
MAX_OTHER_CHARS = 4_000_000
"""Of all other documents together: the editors send every open file with every key."""

NO_KEY = "paceline"
"""The key of somebody who needs none; clients insist on one."""

SOURCES: dict[Source, CompletionSource] = {
    "network": "COMPLETION_SOURCE_NETWORK",
    "cache": "COMPLETION_SOURCE_CACHE",
    "prefetch": "COMPLETION_SOURCE_CACHE",
    "typed_as_suggested": "COMPLETION_SOURCE_TYPING_AS_SUGGESTED",
}

ACCEPTED_CALLS = (
    "Heartbeat",
    "RecordEvent",
    "RefreshContextForIdeAction",
    "AddTrackedWorkspace",
    "RemoveTrackedWorkspace",
)
"""Answered, and nothing else: there is nothing to keep alive, and no index beside the editor's own files."""


class _Asked:
    """One GetCompletions call, translated."""

    def __init__(self, body: GetCompletionsRequest, request: Request, caller: Caller) -> None:
        """Raises FieldError: the cursor is outside the text, or a path cannot be one."""
        document, metadata = body.document, body.metadata
        offset = offset_of_cursor(document)
        self.place = Place.at(document.text, offset, document.line_ending)
        self.key = session_key(metadata, request, caller)
        current = to_document(document, "document")
        session = None
        if self.key.session_id:
            session = caller.session(Session(self.key.session_id, current.path))
        root = plain_path(document.workspace_uri) if is_on_this_machine(request, caller) else ""
        self.request = CompleteRequest(
            cursor=Cursor(document=current, offset=offset),
            trigger="invoked" if body.num_alternatives > 1 else "automatic",
            context=EditorContext(
                open_documents=others_of(body, current.path),
                workspace_root=_without_nul(root, "document.workspace_uri"),
            ),
            model_id=body.model_name or None,
            session=session,
            user_id=caller.tenant(self.key.session_id),
            multi_line_threshold=body.multiline_config.threshold,
            num_alternatives=body.num_alternatives,
        )


def session_key(metadata: Metadata, request: Request, caller: Caller) -> SessionKey:
    """Which editor of which user asks."""
    named = metadata.session_id or request.headers.get(SESSION_HEADER, "")[:MAX_NAME_CHARS]
    return SessionKey(caller.user_id, named)


def to_document(sent: CodeiumDocument, field: str) -> Document:
    """One of the client's files.

    Raises:
        FieldError: its path cannot be one.
    """
    uri = sent.absolute_uri or sent.absolute_path_migrate_me_to_uri
    named = "" if sent.editor_language == "unspecified" else sent.editor_language
    path = _without_nul(plain_path(uri), f"{field}.absolute_uri")
    return Document(path=path, text=sent.text, language=sent.language or named)


def others_of(body: GetCompletionsRequest, path: str) -> tuple[Document, ...]:
    """The other open files, as many as are looked at; without the one at `path`."""
    found: list[Document] = []
    num_chars = 0
    for index, sent in enumerate(body.other_documents[:MAX_OTHER_DOCUMENTS]):
        document = to_document(sent, f"other_documents.{index}")
        num_chars += len(document.text)
        if num_chars > MAX_OTHER_CHARS:
            break
        if document.text and (not path or document.path != path):
            found.append(document)
    return tuple(found)


def _without_nul(path: str, field: str) -> str:
    if "\0" in path:
        raise FieldError(field, "must not hold a NUL character; no path does")
    return path


def to_reply(completion: Completion, asked: _Asked) -> GetCompletionsReply:
    """Translate a completion; each alternative is an item."""
    first = Alternative(text=completion.text, num_replaced_chars=completion.num_replaced_chars)
    choices = completion.alternatives or (first,)
    found = [
        _item(completion, index, Insertion(each.text, each.num_replaced_chars), asked)
        for index, each in enumerate(choices)
        if each.text
    ]
    items = [item for item in found if item is not None]
    reason = completion.drop.reason if completion.drop else "replaces" if not items else ""
    return GetCompletionsReply(
        state=_state(reason),
        completion_items=items,
    )


def _item(
    completion: Completion, index: int, insertion: Insertion, asked: _Asked
) -> SentItem | None:
    """One item; None if nothing of it can be shown. Figures are those of the first."""
    place = asked.place
    insertion = showable(insertion, place)
    if not insertion.text.strip():
        return None
    text, range_ = text_and_range(insertion, place)
    sent = SentCompletion(completion_id=_completion_id(completion.request_id, index), text=text)
    if index == 0:
        sent.score = completion.mean_logprob or 0.0
        sent.probabilities = [round(math.exp(each), 6) for each in completion.token_logprobs]
        sent.generated_length = str(completion.num_tokens)
        if completion.probability is not None:
            sent.adjusted_probabilities = [round(completion.probability, 6)]
    return SentItem(
        completion=sent,
        range=range_,
        source=SOURCES.get(completion.source, "COMPLETION_SOURCE_NETWORK"),
        completion_parts=parts_of(insertion, place),
    )


def _state(reason: str = "") -> SentState:
    message = f"Nothing to show: {reason}." if reason else ""
    return SentState(state="CODEIUM_STATE_SUCCESS", message=message)


def _completion_id(request_id: str, index: int) -> str:
    return f"{request_id}.{index}" if index else request_id


def to_event(body: AcceptCompletionRequest) -> Event:
    """An accepted completion; the same for the same one, however often it is sent."""
    completion_id, metadata = body.completion_id, body.metadata
    request_id, _, index = completion_id.rpartition(".")
    is_alternative = bool(request_id) and index.isdecimal() and len(index) == 1
    digest = hashlib.blake2b(completion_id.encode(), digest_size=16).hexdigest()
    client = metadata.extension_name or metadata.ide_name or "codeium"
    named = request_id if is_alternative else completion_id
    return Event(
        event_id=f"codeium-{digest}-accepted",
        request_id=named[:MAX_ID_CHARS],
        kind="accepted",
        alternative=int(index) if is_alternative else 0,
        client=f"{client} {metadata.extension_version}".strip()[:MAX_ID_CHARS],
    )


def _sent(reply: BaseModel) -> JSONResponse:
    """Without defaults, as JSON of Protocol Buffers has it."""
    return JSONResponse(reply.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def create_codeium_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    router = APIRouter(
        tags=["Codeium"], responses={"4XX": {"model": ConnectError}}, route_class=ConnectRoute
    )
    running = Running()
    _add_completion_calls(router, server, running)
    _add_login_calls(router)
    for name in ACCEPTED_CALLS:
        router.add_api_route(
            f"{SERVICE}/{name}",
            _accept_call,
            methods=["POST"],
            name=name,
            operation_id=f"codeium_{name}",
            response_model=Nothing,
        )

    @router.post(f"{SERVICE}/GetStatus", response_model=GetStatusReply)
    async def get_status(body: MetadataRequest, request: Request) -> Any:
        """All is well: clients show the message, so there is none."""
        identify(request, body.metadata.api_key)
        return _sent(GetStatusReply(status=SentStatus()))

    @router.post(f"{SERVICE}/{{method}}", include_in_schema=False)
    async def refuse_call(method: str) -> None:
        raise HTTPException(
            501, "This call is not served here: there is no chat, no search and no index."
        )

    return router


async def _accept_call(body: MetadataRequest, request: Request) -> Any:
    """Accepted; changes nothing here."""
    identify(request, body.metadata.api_key)
    return _sent(Nothing())


def _add_completion_calls(router: APIRouter, server: ServerContext, running: Running) -> None:
    service, events = server.service, server.events

    @router.post(f"{SERVICE}/GetCompletions", response_model=GetCompletionsReply)
    async def get_completions(body: GetCompletionsRequest, request: Request) -> Any:
        """Complete code at a cursor; the text is post-processed and ready to show."""
        caller = identify(request, body.metadata.api_key)
        asked = _Asked(body, request, caller)
        if not body.document.text:
            return _sent(GetCompletionsReply(state=_state("empty")))
        work = running.run(asked.key, body.metadata.request_id, service.complete(asked.request))
        completion = await run_while_connected(request.receive, work)
        note_usage(
            request,
            prompt_tokens=completion.prompt_tokens - completion.cached_tokens,
            num_tokens=completion.num_tokens,
        )
        return _sent(to_reply(completion, asked))

    @router.post(f"{SERVICE}/CancelRequest", response_model=Nothing)
    async def cancel_request(body: CancelRequest, request: Request) -> Any:
        """Stop working for the request of that number in this session."""
        caller = identify(request, body.metadata.api_key)
        running.cancel(session_key(body.metadata, request, caller), body.request_id)
        return _sent(Nothing())

    @router.post(f"{SERVICE}/AcceptCompletion", response_model=Nothing)
    async def accept_completion(body: AcceptCompletionRequest, request: Request) -> Any:
        """The user took it."""
        caller = identify(request, body.metadata.api_key)
        await events.record([to_event(body)], caller)
        return _sent(Nothing())


def _add_login_calls(router: APIRouter) -> None:
    @router.post(f"{SERVICE}/GetAuthToken", response_model=AuthTokenReply)
    async def get_auth_token(request: Request) -> Any:
        """What RegisterUser takes, where no token is demanded; else an error that says how to get one."""
        identify(request, "")
        return _sent(AuthTokenReply(auth_token=NO_KEY))

    @router.post(f"{SERVICE}/RegisterUser", response_model=RegisterUserReply)
    @router.post(f"{SEATS}/RegisterUser", response_model=RegisterUserReply)
    async def register_user(body: RegisterUserRequest, request: Request) -> Any:
        """The key to send from now on: the token itself, if it is valid."""
        caller = identify(request, body.firebase_id_token)
        key = body.firebase_id_token or NO_KEY
        return _sent(RegisterUserReply(api_key=key, name=caller.user_id))
