"""Type-through cache: what was answered near here, as long as the user types what it says.

An answer belongs to a *spot*: the text before the cursor, the text after it, and what was asked (document,
model, mode, sampling). It answers its own spot again (after going back, say) and every spot that follows from
it by typing a beginning of its text. So nothing needs to be invalidated: an edit anywhere near changes the
spot, and with it the key.

    spot of the answer      before│after         text = "foo(bar)"
    spot asked now       before·fo│after    ->   rest = "o(bar)"

What is found always leads to the same document as the answer itself (the property of the tests):

    before + rest + after[rest.num_replaced_chars:] == the document with the answer accepted

Editors close brackets and quotes by themselves and let one type over them; both are followed, by changing how
many characters after the cursor are replaced. Line ends are line feeds here, in spots and in texts.

How it is found: answers lie in shelves, one per (asked, text after). A shelf knows the last ANCHOR_CHARS before
each of its answers, so one look per typed character says where an answer may start, and only there the whole
text before is compared. The cost grows with the characters typed since, not with the number of answers.

Not thread-safe; one event loop uses it.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Literal

import msgspec

from paceline.complete.modes import Mode
from paceline.core.errors import ConfigError
from paceline.core.types import Cursor, Drop

Source = Literal["typed_as_suggested", "cache"]
"""typed_as_suggested: the user typed a part of it; cache: the very same place is asked again."""

Origin = Literal["asked", "split", "prefetch"]
"""asked: somebody waited for it; split: left over from a stream (splitter.py); prefetch: asked ahead."""

BEFORE_CHARS = 1_024
"""So much of the text before the cursor must be equal. Text further up moves an answer little, and clients send
windows of a document that begin elsewhere on the next line."""
AFTER_CHARS = 512
"""The same for the text after the cursor."""
MAX_TYPED_CHARS = 512
"""A longer beginning of an answer is not looked for: by then the pieces of splitter.py take over."""
ANCHOR_CHARS = 32
CLOSERS: dict[str, str] = {")": "(", "]": "[", "}": "{", '"': '"', "'": "'", "`": "`"}
"""What editors write by themselves, and after which character."""

_WINDOW_CHARS = 2 * (BEFORE_CHARS + MAX_TYPED_CHARS)
"""Twice what is needed, because every line end may be two characters long."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, except for the text: part of the key."""

    document_id: str
    """Session and path, so that nobody is answered from another user's document."""
    model_id: str
    mode: Mode
    params: str = ""
    """Fingerprint of all else that moves the answer: sampling, stop strings, limits."""


class Spot(msgspec.Struct, frozen=True):
    """The text around a cursor, as far as the cache looks, with line feeds alone."""

    before: str
    after: str

    def accept(self, text: str, num_replaced_chars: int = 0) -> Spot:
        """The spot after `text` was accepted here. No longer than this one, so chains of them stay short."""
        before = (self.before + text)[-_WINDOW_CHARS:]
        return Spot(before, self.after[num_replaced_chars:])


class Choice(msgspec.Struct, frozen=True):
    """One completion as it is shown."""

    text: str
    num_replaced_chars: int = 0
    is_finished: bool = True
    """Is its end certain? If not, more would have followed: the text is good for what it has."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered at one spot: completions, the best first, or the reason why there are none."""

    choices: tuple[Choice, ...] = ()
    drop: Drop | None = None
    request_id: str = ""
    """The request that caused it, for the trace of later ones."""
    origin: Origin = "asked"
    probability: float | None = None
    """That the first choice is kept (gate.py)."""
    is_invoked: bool = False
    """Did the user ask by hand? Then what is left of it stays on screen while it is typed, gate or not."""
    mean_logprob: float | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of an answer at the spot that is asked now."""

    choices: tuple[Choice, ...]
    """What remains of those that agree with what was typed; empty if the answer is a drop."""
    source: Source
    num_typed_chars: int
    """Typed since the answer's own spot."""
    mode: Mode
    answer: Answer


class CacheConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one cache."""

    max_answers: int = 500
    max_chars: int = 2_000_000
    """Of texts and keys together."""
    max_age_ms: float = 300_000.0
    """The rest of the project changes as well; Tabby's cache holds as long."""
    max_drop_age_ms: float = 10_000.0
    """A drop says little that lasts: it only saves asking the same again while the user hesitates."""

    def __post_init__(self) -> None:
        if min(self.max_answers, self.max_chars, self.max_age_ms, self.max_drop_age_ms) <= 0:
            raise ConfigError("Every limit of the completion cache must be above 0.")


_ShelfKey = tuple[Asked, str]
_Key = tuple[_ShelfKey, str]


class _Shelf(msgspec.Struct):
    """Answers with the same text after the cursor."""

    key: _ShelfKey
    anchors: Counter[str]
    longest: int = 0
    """Characters of the longest text that was ever put here."""


class _Stored(msgspec.Struct, frozen=True):
    answer: Answer
    put_ms: float
    num_chars: int


def spot_at(cursor: Cursor) -> Spot:
    """The spot of `cursor`; copies a window, never the document."""
    text, offset = cursor.document.text, cursor.offset
    before = text[max(offset - _WINDOW_CHARS, 0) : offset]
    after = text[offset : offset + 2 * AFTER_CHARS + 2]
    return Spot(before.replace("\r\n", "\n"), after.replace("\r\n", "\n"))


def _monotonic_ms() -> float:
    return time.perf_counter() * 1000


class CompletionCache:
    """Answers by spot; the least recently used ones leave first."""

    def __init__(
        self, config: CacheConfig | None = None, *, now_ms: Callable[[], float] = _monotonic_ms
    ) -> None:
        self.config = config or CacheConfig()
        self._now_ms = now_ms
        self._stored: OrderedDict[_Key, _Stored] = OrderedDict()
        self._shelves: dict[_ShelfKey, _Shelf] = {}
        self._num_chars = 0

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def num_chars(self) -> int:
        """Characters held, keys included; at most `config.max_chars`."""
        return self._num_chars

    def put(self, asked: Asked, spot: Spot, answer: Answer) -> None:
        """Keep `answer` for `spot`, in place of an older one. One that is larger than the cache is not kept."""
        answer = _with_line_feeds(answer)
        shelf_key: _ShelfKey = (asked, spot.after[:AFTER_CHARS])
        key: _Key = (shelf_key, spot.before[-BEFORE_CHARS:])
        self._remove(key)
        num_chars = len(key[1]) + len(shelf_key[1]) + sum(len(c.text) for c in answer.choices)
        if num_chars > self.config.max_chars or not (answer.choices or answer.drop):
            return
        shelf = self._shelves.get(shelf_key)
        if shelf is None:
            shelf = self._shelves[shelf_key] = _Shelf(shelf_key, Counter())
        shelf.anchors[key[1][-ANCHOR_CHARS:]] += 1
        shelf.longest = max(shelf.longest, *(len(c.text) for c in answer.choices), 0)
        self._stored[(shelf.key, key[1])] = _Stored(answer, self._now_ms(), num_chars)
        self._num_chars += num_chars
        while (
            len(self._stored) > self.config.max_answers or self._num_chars > self.config.max_chars
        ):
            self._remove(next(iter(self._stored)))

    def find(self, asked: Asked, spot: Spot, *, modes: tuple[Mode, ...] = ()) -> Hit | None:
        """What is left at `spot` of an answer to `asked`; None if it must be asked.

        The answer whose own spot is nearest wins; it is the newest knowledge of this place. A remainder
        that would change nothing is a miss. A drop is found at its own spot only.

        Args:
            modes: look for answers in these modes instead, in this order. What is on screen should stay
                even if the next keystroke, seen alone, would be asked in another mode.
        """
        for mode in modes or (asked.mode,):
            this = asked if mode == asked.mode else msgspec.structs.replace(asked, mode=mode)
            hit = self._find(this, spot.after, spot, 0) or self._find_around_closer(this, spot)
            if hit is not None:
                return hit
        return None

    def _find_around_closer(self, asked: Asked, spot: Spot) -> Hit | None:
        """The same, if since then the editor closed a bracket (one more to replace), or the user typed over
        one that the answer replaces (one less)."""
        opener = CLOSERS.get(spot.after[:1])
        if opener is not None:
            hit = self._find(asked, spot.after[1:], spot, 1, needed=opener)
            if hit is not None:
                return hit
        for closer in CLOSERS:
            hit = self._find(asked, closer + spot.after, spot, -1, needed=closer)
            if hit is not None:
                return hit
        return None

    def _find(
        self, asked: Asked, after: str, spot: Spot, num_more_replaced: int, *, needed: str = ""
    ) -> Hit | None:
        """Look on one shelf. `needed` must be among what was typed."""
        shelf = self._shelves.get((asked, after[:AFTER_CHARS]))
        if shelf is None:
            return None
        before, size = spot.before, len(spot.before)
        anchors = shelf.anchors
        for num_typed in range(1 if needed else 0, min(shelf.longest, MAX_TYPED_CHARS, size) + 1):
            end = size - num_typed
            if before[max(end - ANCHOR_CHARS, 0) : end] not in anchors:
                continue
            typed = before[end:]
            if needed not in typed:
                continue
            key: _Key = (shelf.key, before[max(end - BEFORE_CHARS, 0) : end])
            hit = self._look(key, typed, spot.after, num_more_replaced)
            if hit is not None:
                return hit
        return None

    def _look(self, key: _Key, typed: str, after: str, num_more_replaced: int) -> Hit | None:
        """What is left of one answer, if it is there, young enough and agrees."""
        stored = self._stored.get(key)
        if stored is None:
            return None
        answer = stored.answer
        limit = self.config.max_drop_age_ms if answer.drop else self.config.max_age_ms
        if self._now_ms() - stored.put_ms > limit:
            self._remove(key)
            return None
        choices = _remainders(answer.choices, typed, after, num_more_replaced)
        if not choices and (typed or answer.drop is None):
            return None
        self._stored.move_to_end(key)
        return Hit(
            choices=choices,
            source="typed_as_suggested" if typed else "cache",
            num_typed_chars=len(typed),
            mode=key[0][0].mode,
            answer=answer,
        )

    def forget(self, document_id: str) -> None:
        """Remove all answers of one document: it was closed. Looks at every answer."""
        for key in [key for key in self._stored if key[0][0].document_id == document_id]:
            self._remove(key)

    def clear(self) -> None:
        """Remove all answers."""
        self._stored.clear()
        self._shelves.clear()
        self._num_chars = 0

    def _remove(self, key: _Key) -> None:
        stored = self._stored.pop(key, None)
        if stored is None:
            return
        self._num_chars -= stored.num_chars
        shelf, anchor = self._shelves[key[0]], key[1][-ANCHOR_CHARS:]
        shelf.anchors[anchor] -= 1
        if not shelf.anchors[anchor]:
            del shelf.anchors[anchor]
        if not shelf.anchors:
            del self._shelves[key[0]]

    def check(self) -> None:
        """Assert that the shelves say of the answers what is true. Slow; for tests."""
        anchors: dict[_ShelfKey, Counter[str]] = {}
        for shelf_key, before in self._stored:
            anchors.setdefault(shelf_key, Counter())[before[-ANCHOR_CHARS:]] += 1
        assert anchors == {key: shelf.anchors for key, shelf in self._shelves.items()}
        assert self._num_chars == sum(stored.num_chars for stored in self._stored.values())
        assert len(self._stored) <= self.config.max_answers
        assert self._num_chars <= self.config.max_chars


def _remainders(
    choices: tuple[Choice, ...], typed: str, after: str, num_more_replaced: int
) -> tuple[Choice, ...]:
    """What is left of those choices that begin with `typed` and would still change something."""
    found: list[Choice] = []
    for choice in choices:
        num_replaced = choice.num_replaced_chars + num_more_replaced
        rest = choice.text[len(typed) :]
        is_empty = not rest or rest == after[:num_replaced]
        if num_replaced < 0 or is_empty or not choice.text.startswith(typed):
            continue
        found.append(Choice(rest, num_replaced, choice.is_finished))
    return tuple(found)


def _with_line_feeds(answer: Answer) -> Answer:
    """The same answer without carriage returns at line ends."""
    if not any("\r\n" in choice.text for choice in answer.choices):
        return answer
    choices = tuple(
        msgspec.structs.replace(choice, text=choice.text.replace("\r\n", "\n"))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)
