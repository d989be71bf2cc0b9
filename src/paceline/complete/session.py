"""What is remembered of each document while it is edited: rhythm, history, what is on screen.

Text is remembered only as far as a rule needs it (the ghost text, a few characters before it), in memory,
for the newest `max_documents` documents.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from paceline.complete.cache import Asked, Spot
from paceline.complete.history import History
from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.rhythm import Pace, Rhythm
from paceline.complete.trace import RequestTrace
from paceline.core.types import Cursor
from paceline.prompt.context.types import ChosenContext
from paceline.prompt.suffix import SuffixKeeper

BEFORE_CHARS = 48
"""Text before a cursor by which a place is recognised."""
ACCEPT_CHARS = 2
"""Ghost text of which more than this appears in one change was accepted, not typed."""
START_CHARS = 256
"""A document that no client names is told from others by its beginning."""


class Ghost(msgspec.Struct):
    """A completion that is, or was just, on screen."""

    request_id: str
    before: str
    offset: int
    text: str
    is_multi_line: bool
    is_accepted: bool = False
    is_settled: bool = False
    """Has its outcome been counted?"""


class Last(NamedTuple):
    """The newest answered request of a document."""

    request: CompleteRequest
    completion: Completion
    asked: Asked
    leftovers: list[tuple[Spot, str]]
    """What the model wrote beyond the completion, by line (splitter.py)."""
    pace: Pace
    trace: RequestTrace


class DocumentState:
    """One document in one editor."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.rhythm, self.history = Rhythm(), History()
        self.suffix_keeper = SuffixKeeper()
        self.context: ChosenContext | None = None
        self.is_context_stale = True
        """Was a completion accepted since the snippets were chosen? Then the next pause may change them."""
        self.is_project_known = False
        """Are all documents read that the editor has open? Until then nobody can say that a name is nowhere."""
        self.newest_request_id = ""
        self.num_typed_since_shown = 0
        self.prefetch: asyncio.Task[None] | None = None
        self.prefetch_spot: Spot | None = None
        """The place that is being asked ahead."""
        self.last: Last | None = None
        self.ghost: Ghost | None = None
        self._num_chars: int | None = None

    def observe(self, cursor: Cursor, at_ms: float) -> Pace:
        """A request came: note the keystroke behind it, and what it says about the ghost text."""
        num_chars = len(cursor.document.text)
        change = 0 if self._num_chars is None else num_chars - self._num_chars
        self._num_chars = num_chars
        if self.ghost is not None:
            self._settle(self.ghost, cursor, change)
        return self.rhythm.press(at_ms, num_inserted=max(change, 0), num_deleted=max(-change, 0))

    def show(self, cursor: Cursor, completion: Completion) -> None:
        """`completion` is on screen now, in place of what was."""
        text, offset = cursor.document.text, cursor.offset
        self.num_typed_since_shown = 0
        self.ghost = Ghost(
            request_id=completion.request_id,
            before=text[max(offset - BEFORE_CHARS, 0) : offset],
            offset=offset,
            text=completion.text,
            is_multi_line="\n" in completion.text.strip("\r\n"),
        )

    def settle(self, request_id: str, *, is_accepted: bool, is_rejected: bool) -> None:
        """The client says what became of a completion."""
        ghost = self.ghost
        if ghost is None or ghost.request_id != request_id:
            return
        self._count(ghost, is_accepted=is_accepted)
        if is_rejected:
            self.history.reject(ghost.before, ghost.text)

    def _settle(self, ghost: Ghost, cursor: Cursor, change: int) -> None:
        """Clients need not tell: the text does, by the time of the next request."""
        typed = self._typed_since(ghost, cursor)
        if typed is None:
            self._count(ghost, is_accepted=False)
            self.ghost = None
        elif not typed:
            if ghost.is_accepted and change < 0:
                self.history.reject(ghost.before, ghost.text)
        elif ghost.text.startswith(typed) or typed.startswith(ghost.text):
            self.num_typed_since_shown = len(typed)
            if change > ACCEPT_CHARS or len(typed) >= len(ghost.text):
                self._count(ghost, is_accepted=True)
        else:
            self._count(ghost, is_accepted=False)

    def _typed_since(self, ghost: Ghost, cursor: Cursor) -> str | None:
        """What stands between the ghost text's place and the cursor; None if that place is not before it."""
        if cursor.offset < ghost.offset or cursor.offset > ghost.offset + 2 * len(ghost.text) + 80:
            return None
        text = cursor.document.text
        if not text.endswith(ghost.before, 0, ghost.offset):
            return None
        return text[ghost.offset : cursor.offset]

    def _count(self, ghost: Ghost, *, is_accepted: bool) -> None:
        if not ghost.is_settled:
            self.history.record(is_multi_line=ghost.is_multi_line, is_accepted=is_accepted)
        ghost.is_settled = True
        ghost.is_accepted = ghost.is_accepted or is_accepted


class Documents:
    """The documents that were edited last."""

    def __init__(self, max_documents: int) -> None:
        self._max = max_documents
        self._states: OrderedDict[str, DocumentState] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._states)

    def state(self, request: CompleteRequest) -> DocumentState:
        """The state of the request's document, made anew if it is not known (any more)."""
        key = document_key(request)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = DocumentState(key)
        self._states.move_to_end(key)
        while len(self._states) > self._max:
            _, oldest = self._states.popitem(last=False)
            if oldest.prefetch is not None:
                oldest.prefetch.cancel()
        return state

    def by_ghost(self, request_id: str) -> DocumentState | None:
        """The document in which that completion was shown last."""
        for state in reversed(self._states.values()):
            if state.ghost is not None and state.ghost.request_id == request_id:
                return state
        return None

    def all(self) -> list[DocumentState]:
        """Every document that is remembered."""
        return list(self._states.values())


def document_key(request: CompleteRequest) -> str:
    """Which document a request is about: a hash that no path or text can be read from."""
    document, session = request.cursor.document, request.session
    if session is not None:
        parts = ("session", session.session_id, session.document_id or document.path)
    elif document.path:
        parts = ("path", document.path)
    else:
        parts = ("start", document.language, document.text[:START_CHARS])
    joined = "\0".join((request.user_id, *parts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=12).hexdigest()
