"""What is remembered of each document while it is edited: rhythm, history, what is on screen.

Text is remembered only as far as a rule needs it (the ghost text, a few characters before it), in memory,
for the newest `max_documents` documents.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from itertools import islice
from typing import NamedTuple

import msgspec

from paceline.complete.cache import Asked, Spot
from paceline.complete.history import History
from paceline.complete.outcome import OutcomeKind
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
SEEN_CHARS = 512
"""Text around a cursor by which the next request's place is compared with it."""
MIN_COMMON_CHARS = 8
"""Two requests that have less text before their cursors in common are not known to be of one document."""
MAX_NAMELESS = 16
"""Documents without a name among which one is looked for."""
MAX_LAST = 32
"""Documents whose newest request is kept, text and all, to ask ahead when its completion is accepted."""


class Seen(NamedTuple):
    """What a request saw of its document."""

    num_chars: int
    start: str
    """The first characters of what the client sent; if they change, it sent another window."""
    before: str
    after: str

    @classmethod
    def at(cls, cursor: Cursor) -> Seen:
        """Of this cursor."""
        text, offset = cursor.document.text, cursor.offset
        before = text[max(offset - SEEN_CHARS, 0) : offset]
        return cls(len(text), text[:BEFORE_CHARS], before, text[offset : offset + BEFORE_CHARS])

    def num_typed_until(self, later: Seen) -> int | None:
        """Characters put in before the cursor since, or, below 0, taken away; None if that place is not found."""
        tail = self.before[-BEFORE_CHARS:]
        at = later.before.rfind(tail)
        if at >= 0:
            return len(later.before) - at - len(tail)
        tail = later.before[-BEFORE_CHARS:]
        at = self.before.rfind(tail)
        return at + len(tail) - len(self.before) if at >= 0 else None

    def is_continued_by(self, later: Seen) -> bool:
        """Does `later` stand in the same text, a few keys on?"""
        if min(len(self.before), len(later.before)) < MIN_COMMON_CHARS:
            return self.after == later.after and self.num_typed_until(later) is not None
        is_after_same = (
            self.after[: BEFORE_CHARS // 2] in later.after
            or later.after[: BEFORE_CHARS // 2] in self.after
        )
        return is_after_same and self.num_typed_until(later) is not None


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
    is_inferred: bool = False
    """Has the text told its outcome? It does so also where the client said it first."""


class Ahead(msgspec.Struct):
    """A request that its client may have asked ahead, as if what it shows had been accepted. Only the next one tells:
    it goes on from there, or from where the user really is."""

    seen: Seen
    num_inserted: int
    typed: str | None
    """As `DocumentState._typed_since`."""
    offset: int
    """Of the ghost text in this request."""
    trace: RequestTrace | None = None
    ghost: Ghost | None = None
    """What it was answered."""


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

    def __init__(self, key: str, owner: str | None = None) -> None:
        """
        Args:
            owner: whose it is, if it has no name by which it could be found again.
        """
        self.key, self.owner = key, owner
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
        self.inferred: list[tuple[str, OutcomeKind, int]] = []
        """What became of completions, as the text told, and how many characters of it were typed by then; for
        whoever keeps traces to take."""
        self.seen: Seen | None = None
        """By the newest request that was not asked ahead."""
        self.ahead: Ahead | None = None
        """The newest request, if it may have been asked ahead."""

    @property
    def is_asking_ahead(self) -> bool:
        """Is a request that nobody waits for on its way?"""
        return self.prefetch is not None and not self.prefetch.done()

    def drop_prefetch(self) -> None:
        """What is being asked ahead is in vain."""
        if self.prefetch is not None:
            self.prefetch.cancel()
        self.prefetch = self.prefetch_spot = None

    def observe(self, cursor: Cursor, at_ms: float, *, may_be_ahead: bool = False) -> Pace:
        """A request came: note the keystroke behind it, and what it says about the ghost text.

        Args:
            may_be_ahead: does its client ask ahead without saying so? Then a text that grew by more than a key tells
                nothing before the next request confirms it.
        """
        now = Seen.at(cursor)
        self._settle_ahead(now)
        change, is_moved = 0, False
        if self.seen is not None:
            is_moved = self.seen.start != now.start
            change = now.num_chars - self.seen.num_chars
            if is_moved:  # lengths of two windows say nothing of each other
                change = self.seen.num_typed_until(now) or 0
        ghost = self.ghost
        if may_be_ahead and ghost is not None and change > ACCEPT_CHARS:
            moved = msgspec.structs.replace(ghost)
            typed = self._typed_since(moved, cursor, is_moved=is_moved)
            self.ahead = Ahead(now, change, typed, moved.offset)
            return self.rhythm.press(at_ms, num_inserted=0, num_deleted=0)
        self.seen = now
        if ghost is not None:
            self._settle(ghost, self._typed_since(ghost, cursor, is_moved=is_moved), change)
        return self.rhythm.press(at_ms, num_inserted=max(change, 0), num_deleted=max(-change, 0))

    def show(self, cursor: Cursor, completion: Completion) -> None:
        """`completion` is on screen now, in place of what was; if it was asked ahead, once that is confirmed."""
        text, offset = cursor.document.text, cursor.offset
        ghost = Ghost(
            request_id=completion.request_id,
            before=text[max(offset - BEFORE_CHARS, 0) : offset],
            offset=offset,
            text=completion.text,
            is_multi_line="\n" in completion.text.strip("\r\n"),
        )
        if self.ahead is not None:
            self.ahead.ghost = ghost
        else:
            self.num_typed_since_shown, self.ghost = 0, ghost

    def settle(self, request_id: str, *, is_accepted: bool, is_rejected: bool) -> None:
        """The client says what became of a completion."""
        ghost = self.ghost
        if ghost is None or ghost.request_id != request_id:
            return
        self._count(ghost, is_accepted=is_accepted)
        if is_rejected:
            self.history.reject(ghost.before, ghost.text)

    def _settle_ahead(self, now: Seen) -> None:
        """If `now` goes on from what may have been asked ahead, then it was not: the user was there."""
        ahead, self.ahead = self.ahead, None
        num_typed = None if ahead is None else ahead.seen.num_typed_until(now)
        if ahead is None or num_typed is None or num_typed < 0:
            return
        self.seen = ahead.seen
        if ahead.trace is not None:
            ahead.trace.is_ahead = False
        if self.ghost is not None:
            self.ghost.offset = ahead.offset
            self._settle(self.ghost, ahead.typed, ahead.num_inserted)
        if ahead.ghost is not None:
            self.num_typed_since_shown, self.ghost = 0, ahead.ghost

    def _settle(self, ghost: Ghost, typed: str | None, change: int) -> None:
        """Clients need not tell: the text does, by the time of the next request."""
        text = ghost.text.replace("\r\n", "\n")
        if typed is None:
            self._count(ghost, is_accepted=False, inferred="ignored")
            self.ghost = None
        elif not typed:
            if ghost.is_accepted and change < 0:
                self.history.reject(ghost.before, ghost.text)
        elif text.startswith(typed) or typed.startswith(text):
            self.num_typed_since_shown = len(typed)
            if change > ACCEPT_CHARS:
                is_whole = len(typed) >= len(text)
                kind: OutcomeKind = "accepted" if is_whole else "partially_accepted"
                self._count(ghost, is_accepted=True, inferred=kind)
            elif len(typed) >= len(text):
                self._count(ghost, is_accepted=True, inferred="typed_through")
        else:
            self._count(ghost, is_accepted=False, inferred="ignored")

    def _typed_since(self, ghost: Ghost, cursor: Cursor, *, is_moved: bool) -> str | None:
        """What stands between the ghost text's place and the cursor, with line feeds alone as line ends; None
        if that place is not before it."""
        text, reach = cursor.document.text, 2 * len(ghost.text) + 80
        if is_moved:  # the place has another offset in this window
            start = max(cursor.offset - reach - len(ghost.before), 0)
            at = text.rfind(ghost.before, start, cursor.offset)
            ghost.offset = at + len(ghost.before) if at >= 0 else len(text) + 1
        if not ghost.offset <= cursor.offset <= ghost.offset + reach:
            return None
        if not text.endswith(ghost.before, 0, ghost.offset):
            return None
        return text[ghost.offset : cursor.offset].replace("\r\n", "\n")

    def _count(
        self, ghost: Ghost, *, is_accepted: bool, inferred: OutcomeKind | None = None
    ) -> None:
        if inferred is not None and not ghost.is_inferred:
            self.inferred.append((ghost.request_id, inferred, self.num_typed_since_shown))
            ghost.is_inferred = True
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
        is_named = request.session is not None or bool(request.cursor.document.path)
        owner = None if is_named else repr((request.user_id, request.cursor.document.language))
        state = None if owner is None else self._nameless(owner, request.cursor)
        key = document_key(request) if state is None else state.key
        state = state or self._states.get(key)
        if state is None:
            state = self._states[key] = DocumentState(key, owner)
        self._states.move_to_end(key)
        while len(self._states) > self._max:
            self._states.popitem(last=False)[1].drop_prefetch()
        for old in islice(reversed(self._states.values()), MAX_LAST, MAX_LAST + 1):
            old.last = None
        return state

    def _nameless(self, owner: str, cursor: Cursor) -> DocumentState | None:
        """The document of `owner` whose newest request this one continues.

        Its beginning alone will not do: it is what is being typed in a short one, and clients that send a window of
        a long one begin elsewhere after each line.
        """
        now = Seen.at(cursor)
        found = (state for state in reversed(self._states.values()) if state.owner == owner)
        for state in islice(found, MAX_NAMELESS):
            if state.seen is not None and state.seen.is_continued_by(now):
                return state
        return None

    def get(self, key: str | None) -> DocumentState | None:
        """The document of that key, if it is remembered."""
        return None if key is None else self._states.get(key)

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
    named = repr((request.user_id, *parts))  # no part can be taken for two
    return hashlib.blake2b(named.encode(), digest_size=12).hexdigest()
