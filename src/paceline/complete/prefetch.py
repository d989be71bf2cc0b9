"""What to ask ahead: the next completion, as if this one had been accepted.

Whoever accepts presses one key, and then waits for the next answer. Asked while the user still reads, it is
there when they accept; if they do not, it was in vain. So it is asked where accepting is likely and the
server has nothing better to do.
"""

from __future__ import annotations

import msgspec

from paceline.complete.modes import Mode
from paceline.core.types import Cursor, Document

MAX_COPIED_CHARS = 1_000_000
"""A longer document is copied only around the cursor: a copy of this many takes about 0.1 ms."""
BEFORE_CHARS = 65_536
"""Of a longer document, so much before the cursor is kept: four times what a prompt reads (config.py)."""
AFTER_CHARS = 32_768

MIN_PROBABILITY: dict[Mode, float] = {
    "single_line": 0.35,
    "block_body": 0.5,
    "multi_line": 0.5,
}
"""Asked ahead from this probability of being kept on. Our choice: about one in three shown lines is taken in
published figures (facts/clients.md section 4), so what is likelier than that is worth an idle server's
time. After a whole block users move on more often than to the next line, so it takes more."""
UNFINISHED_BONUS = 0.15
"""Text whose end was cut will be asked on with, wherever it is accepted."""


class Prefetch(msgspec.Struct, frozen=True):
    """Ask ahead?"""

    is_wanted: bool
    reason: str


def after_accept(cursor: Cursor, text: str, num_replaced_chars: int = 0) -> Cursor:
    """The cursor after `text` was put in at `cursor`, in place of `num_replaced_chars` characters after it.

    The document is whole up to MAX_COPIED_CHARS; else it is a window, so that the cost has a bound.
    """
    document, offset = cursor.document, cursor.offset
    size = len(document.text)
    start, end = 0, size
    if size > MAX_COPIED_CHARS:
        start, end = max(offset - BEFORE_CHARS, 0), min(offset + AFTER_CHARS, size)
    resume = min(offset + max(num_replaced_chars, 0), end)
    before = document.text[start:offset] + text
    after = Document(
        path=document.path,
        text=before + document.text[resume:end],
        language=document.language,
    )
    return Cursor(document=after, offset=len(before))


def window_of(cursor: Cursor) -> Cursor:
    """The same cursor for keeping: of a document above MAX_COPIED_CHARS only what `after_accept` would take."""
    return after_accept(cursor, "") if len(cursor.document.text) > MAX_COPIED_CHARS else cursor


def should_prefetch(
    probability: float | None,
    *,
    is_finished: bool,
    mode: Mode,
    is_server_busy: bool,
    is_known: bool = False,
) -> Prefetch:
    """Is the completion after this one worth asking for now?

    Args:
        probability: that this completion is kept; 1 after it was accepted; None: nobody can say.
        is_finished: is the end of this completion certain?
        is_server_busy: does anybody wait there for an answer?
        is_known: is what comes next in the cache already, from the same stream or an earlier request?
    """
    if is_known:
        return Prefetch(False, "known")
    if is_server_busy:
        return Prefetch(False, "server_busy")
    if probability is None:
        return Prefetch(False, "probability_unknown")
    needed = MIN_PROBABILITY[mode] - (0.0 if is_finished else UNFINISHED_BONUS)
    if probability < needed:
        return Prefetch(False, "unlikely_to_be_kept")
    return Prefetch(True, "likely_to_be_kept" if is_finished else "end_was_cut")
