"""One editor at the other end: its documents, settings and requests, whatever the transport."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lsprotocol import types

from paceline.artifacts.events import Event
from paceline.complete.accept import code_points_of
from paceline.complete.modes import Trigger
from paceline.complete.outcome import OutcomeKind
from paceline.complete.recent_edits import RecentEdits
from paceline.complete.wire import Encoding, WireCompletion, WireRequest
from paceline.core.errors import PacelineError
from paceline.core.types import MAX_DOCUMENT_BYTES
from paceline.lsp.asking import Asking, Scope
from paceline.lsp.completer import Completer
from paceline.lsp.documents import Documents, OpenDocument, Place, place_of
from paceline.lsp.items import ItemId
from paceline.lsp.latest import LatestWins
from paceline.lsp.notebooks import Notebooks
from paceline.lsp.selected import take, with_taken
from paceline.lsp.settings import Settings, read_settings
from paceline.lsp.status import Display, Status

MAX_KNOWN_ITEMS = 256
"""Completions whose texts are remembered, so that events can be told of them."""
MAX_TOLD = 8
"""So many wrong settings are told at once; more is somebody else's settings."""


class Answer(NamedTuple):
    """What a request comes to."""

    completion: WireCompletion | None
    """None: nothing was asked."""
    line_before: str = ""
    line_after: str = ""


class _Known(NamedTuple):
    """The texts of a completion, as they were shown."""

    texts: list[str]
    num_taken_chars: int = 0
    """Of each, what was not completed: a selected entry of the usual list."""


class Editor:
    """One connection's state. Positions count in `encoding`; times are milliseconds of `now_ms`."""

    def __init__(
        self,
        completer: Completer,
        display: Display,
        *,
        encoding: Encoding = "utf-16",
        client: str = "",
        now_ms: Callable[[], float] = lambda: time.monotonic() * 1000,
    ) -> None:
        self.encoding: Encoding = encoding
        self.settings = Settings()
        self.documents = Documents()
        self.notebooks = Notebooks()
        self.edits = RecentEdits()
        self.status = Status(display, now_ms=now_ms)
        self._folders: tuple[str, ...] = ()
        self._scope = Scope((), self.settings)
        self._completer, self._display = completer, display
        self._client, self._now_ms = client, now_ms
        self._latest: LatestWins[WireCompletion] = LatestWins()
        self._told: set[str] = set()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking = Asking(
            self.documents,
            self.notebooks,
            self.edits,
            session_id=uuid.uuid4().hex,
            encoding=encoding,
            is_local=completer.is_local,
        )

    def open(self, item: types.TextDocumentItem) -> None:
        """A document is open and visited."""
        document = OpenDocument(
            item.uri,
            item.text,
            language=item.language_id,
            version=item.version,
            encoding=self.encoding,
        )
        self.documents.open(document)
        self._tell_refusal(document)

    def change(
        self, uri: str, version: int, changes: Sequence[types.TextDocumentContentChangeEvent]
    ) -> None:
        """Edits of a document, in their order; of one that is not open they are nothing."""
        document = self.documents.visit(uri)
        if document is None:
            return
        now_ms = self._now_ms()
        was_refused = document.refusal
        for each in changes:
            if isinstance(each, types.TextDocumentContentChangePartial):
                change = document.replace(
                    place_of(each.range.start), place_of(each.range.end), each.text
                )
                if change is not None:
                    self.edits.add(uri, change, now_ms)
            else:
                document.replace_all(each.text)
                self.edits.interrupt()
        document.version, document.changed_ms = version, now_ms
        if document.refusal != was_refused:
            self._tell_refusal(document)

    def close(self, uri: str) -> None:
        """A document is not open any more."""
        self._latest.cancel(uri)
        self.documents.close(uri)
        self.edits.forget(uri)

    def focus(self, uri: str) -> None:
        """The user went to a document."""
        self.documents.visit(uri)

    def set_folders(self, folders: Sequence[str]) -> None:
        """The workspace is these folders."""
        self._folders = tuple(folders)
        self._scope = Scope(self._folders, self.settings)

    def configure(self, given: object) -> None:
        """Take over settings; what is wrong with them is told in one message, and not again."""
        self.settings, problems = read_settings(self.settings, given)
        self._scope = Scope(self._folders, self.settings)
        self.status.is_chatty = self.settings.is_status_sent
        self.status.enable(self.settings.is_enabled)
        if not self.settings.is_enabled:
            self.cancel()
        new = [problem for problem in problems if problem not in self._told]
        self._told.update(new[:MAX_TOLD])
        if new:
            self._display.show(" ".join(new[:MAX_TOLD]))

    async def complete(
        self,
        uri: str,
        place: Place,
        trigger: Trigger = "automatic",
        selected: types.SelectedCompletionInfo | None = None,
    ) -> Answer | None:
        """The completion at `place`; None if a newer request for the document came first.

        Nothing is asked where the user wants nothing, or where the document is unknown or empty. Failures
        are told by the status, and the answer is empty.
        """
        document = self.documents.visit(uri)
        if document is None:
            return Answer(None)
        place = document.clamp(place)
        line_before, line_after = document.line_around(place)
        path = self._asking.path_of(uri)
        is_wanted = self.settings.is_enabled and not self._scope.is_out(document, path)
        taken = take(document, place, selected, self.encoding) if selected and is_wanted else None
        if not is_wanted or not (document.text or taken):
            self._latest.cancel(uri)
            return Answer(None)
        pressed_at_ms = self._now_ms() if document.changed_ms is None else document.changed_ms
        document.changed_ms = None
        request = self._asking.request(
            taken.document if taken else document,
            taken.place if taken else place,
            scope=self._scope,
            settings=self.settings,
            trigger=trigger,
            request_id=f"cmpl-{uuid.uuid4().hex}",
            pressed_at_ms=pressed_at_ms,
        )
        try:
            completion = await self._ask(uri, request)
        except PacelineError as error:
            self.status.fail(str(error), topic=type(error).__name__)
            return Answer(None)
        if completion is None:
            return None
        self.status.succeed()
        if taken:
            completion = with_taken(completion, taken, place)
        texts = [item.text for item in completion.items]
        self._known[completion.request_id] = _Known(texts, len(taken.text) if taken else 0)
        while len(self._known) > MAX_KNOWN_ITEMS:
            self._known.popitem(last=False)
        return Answer(completion, line_before, line_after)

    def record(self, item: ItemId | None, kind: OutcomeKind, *, num_utf16: int = 0) -> bool:
        """Pass on what became of an item; False if no such item was shown lately.

        Args:
            num_utf16: of its text, what was accepted, from its start. The whole text is `accepted`.
        """
        known = self._known.get(item.request_id) if item else None
        if item is None or known is None or not 0 <= item.alternative < len(known.texts):
            return False
        num_chars = 0
        event_id = f"{item.request_id}:{item.alternative}:{kind}"
        if kind == "partially_accepted":
            text = known.texts[item.alternative]
            num_chars = code_points_of(text, num_utf16) - known.num_taken_chars
            if num_chars <= 0:
                return True
            if num_chars == len(text) - known.num_taken_chars:
                return self.record(item, "accepted")
            event_id += f":{num_chars}"
        self._completer.record(
            Event(
                event_id=event_id,
                request_id=item.request_id,
                kind=kind,
                at_s=time.time(),
                num_chars=num_chars,
                alternative=item.alternative,
                client=self._client,
            )
        )
        return True

    def cancel(self) -> None:
        """End all requests; they come to None."""
        self._latest.cancel_all()

    async def flush(self) -> None:
        """Wait a short while for events that are on their way."""
        await self._completer.flush()

    async def _ask(self, uri: str, request: WireRequest) -> WireCompletion | None:
        self.status.begin()
        try:
            return await self._latest.run(uri, self._completer.complete(request))
        finally:
            self.status.end()

    def _tell_refusal(self, document: OpenDocument) -> None:
        if document.refusal == "too_large":
            self._display.show(
                f"A document is larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB; nothing is completed in it."
            )
        elif document.refusal == "binary":
            self._display.log("A document is not text; nothing is completed in it.")
