"""What is still to come: each keystroke of a trace with the text that its user goes on to type there.

The truth of a moment is what the file has between the cursor and the end of the edit when the edit
is finished. It is empty where the user is about to take something away or to go elsewhere: after a
mistake, on an indentation that is too deep, before a deletion, at the end of an edit.

    at each moment with a truth:    text[:offset] + truth + text[offset + num_closed_chars:]
                                    is the document at the end of the edit

An edit runs from one jump to the next. Works on every trace, however it was made. Whoever replays and
accepts `n` characters at a moment goes on at the first moment of the same edit whose `num_typed` is
`moment.num_typed + n` or more; `moment.after(n)` is the state in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from paceline.core.errors import InputError
from paceline.core.types import Cursor
from paceline.traces.types import Keystroke, Trace


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The state after one keystroke."""

    keystroke: Keystroke
    cursor: Cursor
    truth: str
    """What the user goes on to insert here, all of it; empty: nothing (see above)."""
    edit_index: int
    """Number of the edit in the trace, from 0."""
    num_typed: int
    """How much of the edit's final text stands before the cursor."""
    is_last_of_edit: bool
    """The next keystroke, if any, is elsewhere."""
    next_at_ms: float | None
    """When the next key is pressed; None after the last."""
    closed: tuple[int, ...] = ()
    """Offsets within `truth` of the characters that the editor has already put after the cursor.

    They stand right behind it, in this order, and the truth takes their place.
    """

    @property
    def is_opportunity(self) -> bool:
        """Is there anything to offer: does the truth have more than white space?"""
        return bool(self.truth.strip())

    def num_replaced_chars(self, num_chars: int) -> int:
        """How many characters after the cursor the first `num_chars` of the truth take the place of."""
        return bisect_left(self.closed, num_chars)

    def after(self, num_chars: int) -> Cursor:
        """The cursor once the first `num_chars` of the truth stand, with what the editor closed intact.

        Raises:
            InputError: the truth has no so many.
        """
        if not 0 <= num_chars <= len(self.truth):
            raise InputError(
                f"num_chars is {num_chars}, but the truth has {len(self.truth)} characters."
            )
        document, offset = self.cursor.document, self.cursor.offset
        rest = document.text[offset + self.num_replaced_chars(num_chars) :]
        text = document.text[:offset] + self.truth[:num_chars] + rest
        changed = msgspec.structs.replace(document, text=text)
        return Cursor(document=changed, offset=offset + num_chars)


def moments(trace: Trace) -> Iterator[Moment]:
    """Yield the moment after each keystroke, in order.

    Costs one copy of the document a keystroke, as `replay` does, and one of the edit's text.
    """
    text = trace.document.text
    ends = [*(keystroke.at_ms for keystroke in trace.keystrokes[1:]), None]
    at = 0
    for edit_index, keystrokes in enumerate(_edits(trace.keystrokes)):
        futures = _Region(keystrokes, text).futures()
        for number, (keystroke, future) in enumerate(zip(keystrokes, futures, strict=True)):
            text = keystroke.apply(text)
            document = msgspec.structs.replace(trace.document, text=text)
            num_typed, truth, closed = future
            yield Moment(
                keystroke=keystroke,
                cursor=Cursor(document=document, offset=keystroke.cursor_offset),
                truth=truth,
                edit_index=edit_index,
                num_typed=num_typed,
                is_last_of_edit=number == len(keystrokes) - 1,
                next_at_ms=ends[at],
                closed=closed,
            )
            at += 1


def opportunities(trace: Trace) -> Iterator[Moment]:
    """The moments at which there is something to offer."""
    return (moment for moment in moments(trace) if moment.is_opportunity)


def _edits(keystrokes: Sequence[Keystroke]) -> Iterator[Sequence[Keystroke]]:
    """The keystrokes of each edit: a jump and what follows it."""
    starts = [0] + [at for at, one in enumerate(keystrokes) if one.kind == "jump" and at > 0]
    for start, end in zip(starts, [*starts[1:], len(keystrokes)], strict=True):
        if end > start:
            yield keystrokes[start:end]


class _Region:
    """The part of the document that one edit touches, as a list of numbered characters.

    A character that the edit takes away again, old or new, is doomed; while any is there, the truth
    is empty.
    """

    def __init__(self, keystrokes: Sequence[Keystroke], text: str) -> None:
        self._keystrokes = keystrokes
        self._start, num_old_chars = _extent(keystrokes)
        self._old = text[self._start : self._start + num_old_chars]

    def futures(self) -> Iterator[tuple[int, str, tuple[int, ...]]]:
        """For each keystroke: characters that stay and are before the cursor, truth, closed."""
        final, final_text = self._last_state()
        places = {number: place for place, number in enumerate(final)}
        is_pasted = any(one.kind == "paste" for one in self._keystrokes)
        is_doomed = [number not in places for number in range(len(self._old))]
        num_doomed = sum(is_doomed)
        for keystroke, region, removed, added in self._states():
            num_doomed += sum(number not in places for number in added)
            num_doomed -= sum(number not in places for number in removed)
            here = keystroke.cursor_offset - self._start
            num_typed = here
            if num_doomed:
                num_typed = sum(number in places for number in region[:here])
            if num_doomed or is_pasted:
                yield num_typed, "", ()
            else:
                closed = tuple(places[number] - here for number in region[here:])
                yield num_typed, final_text[here:], closed

    def _last_state(self) -> tuple[list[int], str]:
        """Numbers of the characters that are there at the end, and the text that they are."""
        text, region = self._old, list[int]()
        for keystroke, state, _, _ in self._states():
            at = keystroke.offset - self._start
            text = text[:at] + keystroke.inserted + text[at + keystroke.num_deleted_chars :]
            region = state
        return region, text

    def _states(self) -> Iterator[tuple[Keystroke, list[int], list[int], list[int]]]:
        """After each keystroke: the characters of the region, those that went, those that came."""
        region = list(range(len(self._old)))
        numbers = count(len(region))
        for keystroke in self._keystrokes:
            if keystroke.kind == "typeover":
                yield keystroke, region, [], []
                continue
            at = keystroke.offset - self._start
            removed = region[at : at + keystroke.num_deleted_chars]
            added = [next(numbers) for _ in keystroke.inserted]
            region[at : at + keystroke.num_deleted_chars] = added
            yield keystroke, region, removed, added


def _extent(keystrokes: Sequence[Keystroke]) -> tuple[int, int]:
    """Where an edit's region starts, and how many characters of the old text it takes in."""
    start = min(keystroke.offset for keystroke in keystrokes)
    end = keystrokes[0].offset
    num_old_chars = end - start
    for keystroke in keystrokes:
        reach = keystroke.offset + keystroke.num_deleted_chars
        num_old_chars += max(reach - end, 0)
        end = max(end, reach) + len(keystroke.inserted) - keystroke.num_deleted_chars
    return start, num_old_chars
