"""Where a text may be cut without breaking a character, and text that cannot be written as UTF-8.

A Python string holds an astral character as one code point, but halves of surrogate pairs come in from
editors that count UTF-16. What a reader sees as one character may be many code points.

Source: UAX #29 (Unicode text segmentation), grapheme cluster rules GB3, GB6 to GB13, simplified.
"""

from __future__ import annotations

import re
import unicodedata

MAX_JOINED_CHARS = 16
"""A longer pile of marks is cut where it stands, so that no text can hold the search for a border up."""

FIRST_JOINING = "\u0300"
"""No character below joins another, but for the line feed after a carriage return."""
ZERO_WIDTH_JOINER = "\u200d"
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
_MARKS = frozenset(("Mn", "Me", "Mc"))


def repair(text: str) -> str:
    """`text` without surrogates: pairs become their character, halves U+FFFD. Mostly `text` itself."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _HALF.sub("\ufffd", _PAIR.sub(_joined, text))
    return text


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def is_joined(text: str, at: int) -> bool:
    """Do the code points on both sides of `at` belong to one visible character, or one line end?"""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < FIRST_JOINING:
        return after == "\n" and before == "\r"
    if before == ZERO_WIDTH_JOINER or after in (ZERO_WIDTH_JOINER, "\u200c"):
        return True
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return True
    if unicodedata.category(after) in _MARKS or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if "\U000e0020" <= after <= "\U000e007f":
        return True
    return _is_flag_joined(text, at) or _is_hangul_joined(before, after)


def border_after(text: str, at: int) -> int:
    """The first place from `at` on, at most some characters later, that breaks no character."""
    end = min(at + MAX_JOINED_CHARS, len(text))
    return next((place for place in range(at, end + 1) if not is_joined(text, place)), at)


def border_before(text: str, at: int) -> int:
    """The last place up to `at`, at most some characters earlier, that breaks no character."""
    start = max(at - MAX_JOINED_CHARS, 0)
    return next((place for place in range(at, start - 1, -1) if not is_joined(text, place)), at)


def _is_flag_joined(text: str, at: int) -> bool:
    """Is `at` inside a flag? Of a row of regional indicators, every two are one."""
    if not (_is_regional(text[at]) and _is_regional(text[at - 1])):
        return False
    start = at - 1
    while start > max(at - 2 * MAX_JOINED_CHARS, 0) and _is_regional(text[start - 1]):
        start -= 1
    return (at - start) % 2 == 1


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_hangul_joined(before: str, after: str) -> bool:
    """Is `after` a vowel or final that a syllable goes on with? Also a consonant after a consonant."""
    if "\u1160" <= after <= "\u11ff":
        return "\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    return "\u1100" <= after <= "\u115f" and "\u1100" <= before <= "\u115f"
