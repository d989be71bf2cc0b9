"""One WebSocket of `/v1/session`, from its hello to its end.

What goes wrong is answered and the connection stays, but for: no hello in time, too many messages that are none,
a message over the limit. A client that does not read is for the transport to notice (server/transport.py); until
then no more is read from it than is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import cast

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from paceline import __version__
from paceline.complete.request import CompleteRequest
from paceline.complete.service import monotonic_ms
from paceline.complete.wire import WireDocument, WireOptions, WireRequest
from paceline.core.errors import ForbiddenError, InputError, PacelineError
from paceline.server.caller import Caller
from paceline.server.context import ServerContext
from paceline.server.dialects.native import for_caller, is_on_this_machine
from paceline.server.dialects.websocket_answers import Answers, problem_of
from paceline.server.dialects.websocket_documents import (
    Budget,
    DocumentLimitError,
    OpenDocument,
    OpenDocuments,
    OutOfSyncError,
)
from paceline.server.dialects.websocket_types import (
    Cancel,
    Change,
    ClientMessage,
    Close,
    Complete,
    Failure,
    Focus,
    Hello,
    Open,
    Problem,
    Ready,
    Recorded,
    Report,
    Resync,
    ServerMessage,
)
from paceline.server.json_body import decode_json

log = logging.getLogger("paceline.server")

HELLO_S = 10.0
"""An editor says hello at once; who does not is none."""
MAX_BAD_MESSAGES = 16
MAX_REPORTS = 8
"""`events` of one connection that wait for a slow disk; then nothing more is read from it."""
POLICY_VIOLATION, TOO_BIG = 1008, 1009
"""Of RFC 6455, section 7.4.1."""


class _EndError(Exception):
    """The connection is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _MessageId(msgspec.Struct):
    """Of a message that may be wrong in everything else."""

    id: int | str | None = None


class Conversation:
    """An editor, its documents and what it waits for."""

    def __init__(
        self, server: ServerContext, socket: WebSocket, caller: Caller, budget: Budget
    ) -> None:
        """
        Args:
            socket: accepted already.
            budget: shared by all connections.
        """
        self._server, self._socket, self._caller = server, socket, caller
        self._is_local = is_on_this_machine(socket, caller)
        self._documents = OpenDocuments(budget)
        self._answers = Answers(server.service, caller, self._send)
        self._reports: set[asyncio.Task[None]] = set()
        self._hello = Hello()
        self._num_bad = 0

    async def run(self) -> None:
        """Talk until one side ends it; then nothing of it is left running."""
        try:
            await self._greet()
            while True:
                message = await self._next()
                if message is not None:
                    await self._obey(message)
                # Others have their turn, however quickly messages come; and what was just started has begun, so
                # that the next message may end it.
                await asyncio.sleep(0)
        except _EndError as end:
            if self._socket.application_state is WebSocketState.CONNECTED:
                await self._socket.close(end.code, end.reason)
        except WebSocketDisconnect:
            pass
        finally:
            await self._answers.close()
            self._documents.close_all()
            await asyncio.gather(*self._reports)
            num_completions, num_tokens = self._answers.num_completions, self._answers.num_tokens
            log.info("WebSocket /v1/session %d completions %d tokens", num_completions, num_tokens)

    async def _greet(self) -> None:
        """Wait for hello, and answer it."""
        hello: ClientMessage | None = None
        try:
            async with asyncio.timeout(HELLO_S):
                while not isinstance(hello, Hello):
                    hello = await self._next()
                    if not isinstance(hello, Hello | None):
                        await self._blame(InputError("Say hello first; nothing else is read."))
        except TimeoutError:
            raise _EndError(POLICY_VIOLATION, "No hello came in time.") from None
        session_id = hello.session_id or f"ws-{uuid.uuid4().hex}"
        self._hello = msgspec.structs.replace(hello, session_id=session_id)
        models = [model.model_id for model in self._server.generator.models]
        server = f"paceline/{__version__}"
        await self._send(Ready(session_id=session_id, server=server, models=models))

    async def _obey(self, message: ClientMessage) -> None:
        """Do what a message says."""
        match message:
            case Hello():
                await self._blame(InputError("Hello was said; open another connection for more."))
            case Open() | Change():
                await self._edit(message)
            case Close():
                self._documents.close(message.document_id)
            case Focus():
                self._documents.visit(message.document_id)
            case Complete():
                await self._complete(message)
            case Cancel():
                self._answers.cancel(message.id)
            case Report():
                await self._report(message)

    async def _edit(self, message: Open | Change) -> None:
        try:
            if isinstance(message, Open):
                self._documents.open(
                    OpenDocument(
                        document_id=message.document_id,
                        path=message.path,
                        language=message.language,
                        version=message.version,
                        text=message.text,
                    )
                )
            else:
                self._documents.change(message, self._hello.encoding, at_ms=monotonic_ms())
        except OutOfSyncError as error:
            await self._ask_again(error)
        except DocumentLimitError as error:
            await self._send(Failure(error=problem_of(error), document_id=message.document_id))

    async def _complete(self, message: Complete) -> None:
        try:
            self._answers.check(message)
            asked = self._asked(message)
        except OutOfSyncError as error:
            sentence = "The document's text is not known in that version; open it again."
            problem = Problem(message=sentence, code="resync")
            await self._send(Failure(error=problem, id=message.id, document_id=error.document_id))
            await self._ask_again(error)
        except PacelineError as error:
            await self._fail(error, message.id)
        else:
            self._answers.start(message, asked, self._hello.encoding)

    def _asked(self, message: Complete) -> CompleteRequest:
        """What POST /v1/complete would ask of the brain with the same documents.

        Raises:
            OutOfSyncError: the document is not known, or not in that version.
            FieldError: a field cannot be meant.
        """
        document = self._documents.get(message.document_id)
        if message.version != document.version:
            raise OutOfSyncError(message.document_id)
        self._documents.visit(message.document_id)
        options = {name: getattr(message, name) for name in WireOptions.__struct_fields__}
        wire = WireRequest(
            **options,
            document=WireDocument(
                text=document.text, path=document.path, language=document.language
            ),
            document_id=message.document_id,
            encoding=self._hello.encoding,
            session_id=self._hello.session_id,
            open_documents=list(self._documents.others(message.document_id)),
            recent_edits=self._documents.recent_edits(),
            workspace_root=self._hello.workspace_root,
        )
        return for_caller(wire, self._caller, is_local=self._is_local)

    async def _report(self, message: Report) -> None:
        """Keep events, in a task of its own: no keystroke waits for the disk."""
        if len(self._reports) >= MAX_REPORTS:
            await asyncio.wait(self._reports, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._record(message))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _record(self, message: Report) -> None:
        try:
            if "events" not in self._caller.scopes:
                raise ForbiddenError("The token may not send events; it needs the scope events.")
            num_new = await self._server.events.record(message.events, self._caller)
        except PacelineError as error:
            await self._fail(error, message.id)
        except Exception:
            log.exception("WebSocket /v1/session: events cannot be recorded")
            problem = Problem(message="Something went wrong inside the server.", code="internal")
            await self._send(Failure(error=problem, id=message.id))
        else:
            await self._send(Recorded(num_new=num_new, id=message.id))

    async def _next(self) -> ClientMessage | None:
        """The next message; None if it is not one, which is answered.

        Raises:
            WebSocketDisconnect: the client is gone.
            _EndError: it is too big, or one too many that is none.
        """
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        raw: str | bytes = received.get("text") or received.get("bytes") or b""
        max_bytes = self._server.config.limits.max_message_bytes
        if len(raw) > max_bytes:  # uvicorn has closed longer ones already; other servers may not
            raise _EndError(TOO_BIG, f"A message may have {max_bytes} bytes at most.")
        try:
            return decode_json(raw, cast("type[ClientMessage]", ClientMessage))
        except InputError as error:
            await self._blame(error, _id_in(raw))
            return None

    async def _blame(self, error: InputError, message_id: int | str | None = None) -> None:
        """Say what is wrong with a message, so many times."""
        self._num_bad += 1
        await self._fail(error, message_id)
        if self._num_bad >= MAX_BAD_MESSAGES:
            raise _EndError(POLICY_VIOLATION, "Too many messages could not be understood.")

    async def _ask_again(self, error: OutOfSyncError) -> None:
        """Have a document opened again, unless that was said."""
        if not error.is_told:
            await self._send(Resync(document_id=error.document_id))

    async def _fail(self, error: PacelineError, message_id: int | str | None) -> None:
        await self._send(Failure(error=problem_of(error), id=message_id))

    async def _send(self, message: ServerMessage) -> None:
        """Send, if there still is somebody; who left is noticed where messages are awaited."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(WebSocketDisconnect):
                await self._socket.send_text(msgspec.json.encode(message).decode())


def _id_in(raw: str | bytes) -> int | str | None:
    """The id of a message that could not be read as one, so that its sender does not wait for it."""
    try:
        return msgspec.json.decode(raw, type=_MessageId).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
