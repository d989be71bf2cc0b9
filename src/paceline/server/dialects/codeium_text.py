"""Between Codeium's texts and ours: cursors in UTF-8 bytes, and completions in its parts.

Codeium's clients replace, from the start of the cursor's line to the end of what is replaced, by a text that
repeats the line's beginning. They draw parts:

- INLINE, before what stays of the line. One for each gap that the completion leaves (`x` and `:` around a bracket).
- INLINE_MASK, the whole new line after the cursor, for clients that draw over the line.
- BLOCK, the lines below.

neocodeium and codeium.el also insert by parts, which can only add lines below the whole line. So there are several
lines only where the first one repeats all that stays after the cursor.
"""

from __future__ import annotations

from typing import NamedTuple

from paceline.complete.accept import split_accept
from paceline.core.errors import FieldError
from paceline.server.dialects.codeium_types import (
    CodeiumDocument,
    SentPart,
    SentPosition,
    SentRange,
)


def offset_of_cursor(document: CodeiumDocument, field: str = "document") -> int:
    """The cursor's offset in code points; inside of a character it is before it.

    Raises:
        FieldError: it is outside of the text.
    """
    text, position = document.text, document.cursor_position
    if position is None:
        return _advance(text, document.cursor_offset, f"{field}.cursor_offset")
    break_ = "\r" if document.line_ending == "\r" else "\n"
    start = 0
    for _ in range(min(position.row, len(text) + 1)):
        start = text.find(break_, start) + 1
        if start == 0:
            raise FieldError(
                f"{field}.cursor_position.row", "is beyond the last line; send the whole text"
            )
    end = text.find(break_, start)
    line = text[start : end if end >= 0 else len(text)]
    return start + _advance(line, position.col, f"{field}.cursor_position.col")


def _advance(text: str, num_bytes: int, field: str) -> int:
    """How many code points of `text` lie in its first `num_bytes`."""
    raw = text.encode()
    if num_bytes > len(raw):
        raise FieldError(field, "is beyond the end; it counts UTF-8 bytes")
    return len(raw[:num_bytes].decode(errors="ignore"))


class Place(NamedTuple):
    """The line that the cursor is in, and where it is in the document."""

    line_start: int
    """UTF-8 bytes."""
    row: int
    prefix: str
    """Of the line, before the cursor."""
    suffix: str
    """Of the line, after the cursor."""

    @classmethod
    def at(cls, text: str, offset: int, line_ending: str = "") -> Place:
        """Where `offset` is."""
        break_ = "\r" if line_ending == "\r" else "\n"
        start = text.rfind(break_, 0, offset) + 1
        end = text.find(break_, offset)
        suffix = text[offset : end if end >= 0 else len(text)].removesuffix("\r")
        row = text.count(break_, 0, start)
        return cls(len(text[:start].encode()), row, text[start:offset], suffix)

    def offset(self, num_suffix_chars: int = 0) -> int:
        """UTF-8 bytes from the document's start to that many characters behind the cursor."""
        before = self.prefix + self.suffix[:num_suffix_chars]
        return self.line_start + len(before.encode())


class Insertion(NamedTuple):
    """What is put at the cursor, and how many characters after it, on its line, it takes the place of."""

    text: str
    num_replaced_chars: int


def showable(insertion: Insertion, place: Place) -> Insertion:
    """What of it every client shows and inserts rightly: all, or its first line. Its text may be empty."""
    text, num_replaced = insertion
    first, has_more, _ = text.partition("\n")
    if not has_more:
        return insertion
    replaced, rest = place.suffix[:num_replaced], place.suffix[num_replaced:]
    if not rest.strip() and _gaps(first, replaced) is not None:
        return insertion
    part = split_accept(text, len(first.removesuffix("\r")), replaced_text=replaced)
    return Insertion(part.accepted, part.num_replaced_chars)


def text_and_range(insertion: Insertion, place: Place) -> tuple[str, SentRange]:
    """The completion's text, and what it takes the place of."""
    end = place.offset(insertion.num_replaced_chars)
    row = str(place.row)
    return place.prefix + insertion.text, SentRange(
        start_offset=str(place.line_start),
        end_offset=str(end),
        start_position=SentPosition(row=row),
        end_position=SentPosition(row=row, col=str(end - place.line_start)),
    )


def parts_of(insertion: Insertion, place: Place) -> list[SentPart]:
    """The pieces that a client draws. What cannot be drawn between what stays is drawn before it."""
    first, _, block = insertion.text.partition("\n")
    first, block = first.removesuffix("\r"), block.removesuffix("\n")
    replaced = place.suffix[: insertion.num_replaced_chars]
    rest = place.suffix[insertion.num_replaced_chars :]
    line = str(place.row)
    parts = _inline_parts(first, replaced, place)
    if first:
        parts.append(
            SentPart(
                text=first + rest,
                offset=str(place.offset()),
                type="COMPLETION_PART_TYPE_INLINE_MASK",
                prefix=place.prefix,
                line=line,
            )
        )
    if block:
        parts.append(
            SentPart(
                text=block,
                offset=str(place.offset(len(place.suffix))),
                type="COMPLETION_PART_TYPE_BLOCK",
                prefix="" if parts else place.prefix,  # codeium.vim takes a word after it
                line=line,
            )
        )
    return parts


def _inline_parts(first: str, replaced: str, place: Place) -> list[SentPart]:
    gaps = _gaps(first, replaced) or [(0, first)]
    parts: list[SentPart] = []
    before, at = place.prefix, 0
    for num_passed, text in gaps:
        before += replaced[at:num_passed]
        at = num_passed
        if text:
            parts.append(
                SentPart(
                    text=text,
                    offset=str(place.offset(num_passed)),
                    type="COMPLETION_PART_TYPE_INLINE",
                    prefix=before,
                    line=str(place.row),
                )
            )
            before = ""
    return parts


def _gaps(first: str, replaced: str) -> list[tuple[int, str]] | None:
    """What `first` puts before each of the replaced characters and after the last, with how many come before it;
    None if it does not repeat them in their order. From the end, so that the closing bracket that stays is the
    last one."""
    found: list[tuple[int, str]] = []
    end = len(first)
    for num_passed in range(len(replaced), 0, -1):
        at = first.rfind(replaced[num_passed - 1], 0, end)
        if at < 0:
            return None
        found.append((num_passed, first[at + 1 : end]))
        end = at
    return [(0, first[:end]), *reversed(found)]
