"""Accepting a part of a completion: by word, by line, or as the client counts. The rest stays on screen.

No part ends inside what a reader sees as one character: surrogate pairs, combining marks, joined emoji.
"""

from __future__ import annotations

import re

import msgspec

from paceline.prompt.characters import border_after, border_before

WORD_SIGNS: dict[str, str] = {
    "clojure": "-?!*",
    "css": "-",
    "html": "-",
    "javascript": "$",
    "javascriptreact": "$",
    "less": "-",
    "lisp": "-?!*",
    "php": "$",
    "ruby": "?!",
    "scheme": "-?!*",
    "scss": "-",
    "shellscript": "$",
    "typescript": "$",
    "typescriptreact": "$",
    "xml": "-",
}
"""Signs that names have in a language, besides letters, digits and underscores."""

_SPACE = re.compile(r"\s*")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One completion cut in two.

    before + accepted + after[num_replaced_chars:] is the document now, and with the rest accepted too it is
    what the whole completion gives.
    """

    accepted: str
    num_replaced_chars: int
    """Characters after the cursor that the accepted part takes the place of."""
    rest: str
    num_rest_replaced_chars: int
    """The same for the rest: of the characters that are then after the cursor."""


def next_word(text: str, language: str = "") -> str:
    """The beginning of `text` up to the end of its first word: white space, and a name, a number or a sign.

    Signs that stand together are one word (`):`, `->`), but for a bracket or quote that opens. Never empty
    unless `text` is; word after word gives `text`.
    """
    start = _end_of_space(text)
    if start >= len(text):
        return text
    signs = WORD_SIGNS.get(language, "")
    end = start + 1
    if _is_of_name(text[start], signs):
        while end < len(text) and (_is_of_name(text[end], signs) or border_after(text, end) != end):
            end += 1
    else:
        while end < len(text) and text[end - 1] not in "([{\"'`" and _is_sign(text[end], signs):
            end += 1
    return text[: border_after(text, end)]


def next_line(text: str) -> str:
    """The beginning of `text` up to the end of its first line that is not blank, without the line break.

    Never empty unless `text` is; line after line gives `text`.
    """
    end = text.find("\n", _end_of_space(text))
    if end < 0:
        return text
    return text[:end].removesuffix("\r")


def split_accept(text: str, num_chars: int, *, replaced_text: str = "") -> Part:
    """Cut `text` behind `num_chars` characters, or before, where that would break a character.

    Args:
        num_chars: accepted code points (`code_points_of` converts what clients count); what is out of range
            is the nearest that is not.
        replaced_text: what the whole completion takes the place of, as it stands after the cursor.
    """
    num_chars = min(max(num_chars, 0), len(text))
    end = border_before(text, num_chars) or (border_after(text, num_chars) if num_chars else 0)
    accepted, rest = text[:end], text[end:]
    num_replaced = _num_replaced_by(accepted, rest, replaced_text)
    return Part(
        accepted=accepted,
        num_replaced_chars=num_replaced,
        rest=rest,
        num_rest_replaced_chars=len(replaced_text) - num_replaced,
    )


def code_points_of(text: str, num_utf16: int) -> int:
    """How many code points of `text` its first `num_utf16` UTF-16 units are (LSP's acceptedLength).

    Half a surrogate pair counts as nothing; more than there are is all.
    """
    if num_utf16 <= 0:
        return 0
    if text.isascii():
        return min(num_utf16, len(text))
    num_chars = num_units = 0
    for character in text[:num_utf16]:
        num_units += 2 if character > "\uffff" else 1
        if num_units > num_utf16:
            break
        num_chars += 1
    return num_chars


def num_utf16_of(text: str) -> int:
    """How many UTF-16 units `text` is; a lone surrogate is one."""
    return len(text) if text.isascii() else len(text) + sum(c > "\uffff" for c in text)


def _num_replaced_by(accepted: str, rest: str, replaced: str) -> int:
    """How many of the replaced characters the accepted part takes the place of.

    Those that the rest will write again stay (`foo(` of `foo(x)` leaves the closing bracket that the editor
    wrote), and so does what neither part writes, until the end: nothing of the user's is taken away early.
    """
    if not rest:
        return len(replaced)
    num_kept, place = 0, len(rest)
    while num_kept < len(replaced):
        place = rest.rfind(replaced[-1 - num_kept], 0, place)
        if place < 0:
            break
        num_kept += 1
    num_taken, place = 0, 0
    while num_taken < len(replaced) - num_kept:
        place = accepted.find(replaced[num_taken], place) + 1
        if place == 0:
            break
        num_taken += 1
    return num_taken


def _end_of_space(text: str) -> int:
    match = _SPACE.match(text)
    return match.end() if match else 0


def _is_of_name(character: str, signs: str) -> bool:
    return character.isalnum() or character == "_" or character in signs


def _is_sign(character: str, signs: str) -> bool:
    return not (character.isspace() or _is_of_name(character, signs))
