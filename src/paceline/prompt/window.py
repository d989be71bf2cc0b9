"""The text around a cursor as a prompt gets it: a window, line feeds alone as line ends, no surrogates."""

from __future__ import annotations

from paceline.core.types import Cursor
from paceline.prompt.characters import border_after, border_before, repair


def text_around(cursor: Cursor, *, max_prefix_chars: int, max_suffix_chars: int) -> tuple[str, str]:
    """Return (prefix, suffix) around `cursor`, at most so long; the rest of the document is not read.

    A cursor between carriage return and line feed counts as before both; of a surrogate pair with the
    cursor inside, neither half is shown. Far ends break no character.
    """
    text, offset = cursor.document.text, cursor.offset
    start = max(offset - max_prefix_chars, 0)
    end = min(offset + max_suffix_chars, len(text))
    near_start, near_end = _near_ends(text, offset)
    prefix = text[min(border_after(text, start), near_start) : near_start]
    suffix = text[near_end : max(border_before(text, end), near_end)]
    return _normal(prefix), _normal(suffix)


def _near_ends(text: str, offset: int) -> tuple[int, int]:
    """Where the prefix ends and the suffix begins: the cursor, or around the character that it splits."""
    around = text[max(offset - 1, 0) : offset + 1]
    if offset and len(around) == 2:
        if around == "\r\n":
            return offset - 1, offset - 1
        if "\ud800" <= around[0] <= "\udbff" and "\udc00" <= around[1] <= "\udfff":
            return offset - 1, offset + 1
    return offset, offset


def _normal(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return repair(text)
