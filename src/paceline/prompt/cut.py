"""Where a text that is too long for its budget is cut, so that the cut stays while the user types.

    given   |..........................................................| cursor
    kept              ^ cut: any of the line starts that leave 3/4 .. 4/4 of the budget

A prefix cache compares prompts from their beginning, so a far end that moves by a token with every
keystroke makes it useless. The cut is chosen by content, not by count: of the possible line starts,
the one where the largest unit begins (a whole definition before a statement), and of equals the one
whose hash (of the line and the next) is least. It stays the least until it is pushed out of the range
or a smaller one enters, whatever else changes and wherever the client's own window starts.

Sizes are taken at the start of the line that is being typed, plus that line in whole quanta: the number
of its ids goes up and down with each keystroke, and a range that moved back and forth with it would
drop and take up the same line start again and again.

Source: content-defined chunking, as in Muthitacharoen et al. 2001 (LBFS), by the local minimum.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

from paceline.prompt.characters import border_after, border_before

CHARS_PER_TOKEN = 6
"""First guess at the text that fills a budget: tokenizing is the slowest part of a prompt."""
CUT_MARGIN_TOKENS = 8
"""Ids next to an arbitrary cut may differ from those of the whole text, so this many are thrown away."""
QUANTUM_TOKENS = 64
QUANTUM_CHARS = 3 * QUANTUM_TOKENS
LINE_QUANTUM_TOKENS = 32
NO_BORDER = re.compile(r"[ \t]*(?:[)\]}]|(?:else|elif|except|finally|catch|case|end)\b)")
"""A line that begins so goes on with what stands above it."""


class TextEncoder(Protocol):
    """What cutting needs of a tokenizer; the estimate of one will do (prompt/as_text.py)."""

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, as text."""
        ...

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text`, and where each begins in it, in code points."""
        ...


class Part(NamedTuple):
    """One end of a text, tokenized."""

    text: str
    ids: list[int]
    starts: list[int]
    """Where each id begins in `text`, in code points."""
    is_whole: bool
    """Is nothing of the given text missing?"""
    line_chars: int = 0
    """Characters of the line in which `text` begins that stand before it."""

    @property
    def num_tokens(self) -> int:
        """A lower bound, if it is not whole."""
        return len(self.ids)

    @property
    def num_before_line(self) -> int:
        """Ids before the last line, the one that is being typed."""
        return bisect_left(self.starts, self.text.rfind("\n") + 1)

    def num_steady(self, max_tokens: int) -> int:
        """No less than `num_tokens`, and the same for many keystrokes: the last line in whole quanta."""
        return self.num_before_line + self._line_quanta(max_tokens)

    def _line_quanta(self, max_tokens: int) -> int:
        quantum = max(1, min(LINE_QUANTUM_TOKENS, max_tokens // 8))
        return -(-(self.num_tokens - self.num_before_line + 1) // quantum) * quantum

    def steady_range(self, max_tokens: int) -> tuple[int, int] | None:
        """Where an end of 3/4 to 4/4 of `max_tokens` may begin; None if the last line takes half."""
        room = max_tokens - self._line_quanta(max_tokens)
        if 2 * room < max_tokens or room >= self.num_before_line:
            return None
        before = self.num_before_line
        return self.starts[before - room], self.starts[before - (3 * room + 3) // 4]


def tokenize_end(text: str, tokenizer: TextEncoder, min_tokens: int) -> Part:
    """Tokenize the end of `text`: more than `min_tokens` ids, or all there are."""
    return _tokenize(text, tokenizer, min_tokens, is_end=True)


def tokenize_start(text: str, tokenizer: TextEncoder, min_tokens: int) -> Part:
    """Tokenize the start of `text`: more than `min_tokens` ids, or all there are."""
    return _tokenize(text, tokenizer, min_tokens, is_end=False)


def _tokenize(text: str, tokenizer: TextEncoder, min_tokens: int, *, is_end: bool) -> Part:
    num_chars = min_tokens * CHARS_PER_TOKEN + 1
    encode = tokenizer.encode_with_starts if is_end else partial(_encode_again, tokenizer)
    while num_chars < len(text):
        piece = text[len(text) - num_chars :] if is_end else text[:num_chars]
        ids, starts = encode(piece)
        if len(ids) >= min_tokens + CUT_MARGIN_TOKENS:
            skipped = len(text) - num_chars if is_end else 0
            line_start = text.rfind("\n", 0, skipped) + 1
            return Part(piece, ids, starts, False, skipped - line_start)
        num_chars = 2 * num_chars + 1
    return Part(text, *encode(text), True)


@lru_cache(maxsize=16)
def _encode_again(tokenizer: TextEncoder, text: str) -> tuple[list[int], list[int]]:
    """Starts are those of suffixes, which stay the same from keystroke to keystroke."""
    return tokenizer.encode_with_starts(text)


def cut_end(part: Part, tokenizer: TextEncoder, max_tokens: int) -> tuple[str, list[int]]:
    """The end of a text that fills 3/4 to 4/4 of `max_tokens`, or all if it fits; with its ids."""
    if part.is_whole and part.num_tokens <= max_tokens:
        return part.text, part.ids
    if max_tokens < 1:
        return "", []
    bounds = part.steady_range(max_tokens)
    chosen = _least(part.text, _line_starts(part.text, *bounds)) if bounds else None
    if chosen is not None:
        ids = _ids_from(part, chosen, tokenizer)
        if len(ids) <= max_tokens:
            return part.text[chosen:], ids
    return _cut_long_line(part, _first_start(part, max_tokens), tokenizer, max_tokens)


def cut_start(part: Part, tokenizer: TextEncoder, max_tokens: int) -> tuple[str, list[int]]:
    """The start of a text that fills 3/4 to 4/4 of `max_tokens`, or all if it fits; with its ids."""
    if part.is_whole and part.num_tokens <= max_tokens:
        return part.text, part.ids
    if max_tokens < 1:
        return "", []
    first = part.starts[(3 * max_tokens) // 4]
    last = part.starts[max_tokens]
    chosen = _least(part.text, _line_starts(part.text, first, last))
    if chosen is not None:
        index = bisect_left(part.starts, chosen)
        is_aligned = part.starts[index] == chosen
        ids = part.ids[:index] if is_aligned else tokenizer.encode(part.text[:chosen])
        if len(ids) <= max_tokens:
            return part.text[:chosen], ids
    whole = border_before(part.text, last)
    if whole != last:
        return part.text[:whole], tokenizer.encode(part.text[:whole])
    return part.text[:last], part.ids[: bisect_left(part.starts, last)]


def _first_start(part: Part, max_tokens: int) -> int:
    """The first place from which at most `max_tokens` ids follow, between two characters."""
    start = part.starts[part.num_tokens - max_tokens]
    is_split = part.num_tokens > max_tokens and part.starts[-max_tokens - 1] == start
    return start + 1 if is_split else start


def _ids_from(part: Part, start: int, tokenizer: TextEncoder) -> list[int]:
    """Ids of the text from `start`; as they are, if one begins there."""
    index = bisect_left(part.starts, start)
    is_aligned = index < part.num_tokens and part.starts[index] == start
    return part.ids[index:] if is_aligned else tokenizer.encode(part.text[start:])


def _line_starts(text: str, first: int, last: int) -> Iterable[int]:
    """Starts of lines between `first` and `last`, both included, that are not blank.

    Before a blank line the line break would be torn from its token.
    """
    at = text.find("\n", max(first - 1, 0), last) + 1
    while at > 0:
        line_end = text.find("\n", at)
        if text[at : line_end if line_end >= 0 else None].strip():
            yield at
        at = text.find("\n", at, last) + 1


def _least(text: str, starts: Iterable[int]) -> int | None:
    """The best border; of equals, the start with the least hash of its line and the next, then the first."""
    return min(
        starts,
        key=lambda start: (_border_rank(text, start), _hash_of_lines(text, start)),
        default=None,
    )


def _border_rank(text: str, start: int) -> int:
    """How much is torn by a cut at this line start: 0 between top-level definitions, 3 within a block.

    Told by the line and the one above alone, so that it stays whatever else changes: indentation, and
    a blank line above, which is how every language sets definitions apart.
    """
    if NO_BORDER.match(text, start):
        return 3
    is_top_level = text[start] not in " \t"
    is_after_blank = start < 2 or not text[text.rfind("\n", 0, start - 1) + 1 : start].strip()
    return (0 if is_top_level else 1) if is_after_blank else (2 if is_top_level else 3)


def _hash_of_lines(text: str, start: int) -> int:
    line_end = text.find("\n", start)
    next_end = text.find("\n", line_end + 1) if line_end >= 0 else -1
    return zlib.crc32(text[start : next_end if next_end >= 0 else None].encode("utf-8", "replace"))


def _cut_long_line(
    part: Part, first: int, tokenizer: TextEncoder, max_tokens: int
) -> tuple[str, list[int]]:
    """Cut inside a line, at a multiple of a quantum from its start.

    The quantum is halved where it would cost more than half of the budget (several ids a character).
    """
    line_start = part.text.rfind("\n", 0, first) + 1 or -part.line_chars
    quantum = QUANTUM_CHARS
    while True:
        start = line_start + -(-(first - line_start) // quantum) * quantum
        start = border_after(part.text, start)
        while len(ids := tokenizer.encode(part.text[start:])) > max_tokens:
            start = border_after(part.text, start + quantum)
        if quantum == 1 or 2 * len(ids) >= max_tokens:
            return part.text[start:], ids
        quantum //= 2
