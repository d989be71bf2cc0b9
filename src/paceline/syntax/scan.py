"""Line ends of a text that continues code: is a statement complete here, how deep are we, how indented.

For rules that decide where a completion ends, token by token: `scanner = Scanner.start(before, language)` once for
a cursor, then `scanner.lines(text)` for each state of the growing candidate. `lines` reads the whole candidate anew
and keeps nothing, so one scanner serves any number of candidates.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from paceline.syntax.frames import START, State
from paceline.syntax.headers import BlockKind
from paceline.syntax.languages import Language
from paceline.syntax.reader import FOLLOWING_CHARS, Reader

MAX_BEFORE_CHARS = 131_072
"""Of the text before a place so much is read at most; it begins anew at each half of it."""
CHUNK_CHARS = 2_048
"""Text before a place is read in pieces of whole lines, and what is open after each is remembered."""
MAX_CHUNKS = 4_096
"""Remembered pieces, of all documents: about 16 MB."""
MAX_FOLLOWING_CHARS = 80
"""Look-ahead over a line break: whether the next line goes on with the statement."""
MAX_LAST_LINE_CHARS = 20_000
"""Of a longer line only the end is read."""


class LineEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What is known where a line of a candidate ends (before its line break), or where the candidate ends."""

    offset: int
    """In the candidate: of the line break, or the candidate's length."""
    is_last: bool
    """No line break here: the candidate ends, and may go on within this line."""
    indent: int
    """Width of the indentation of the line that ends here; the first line's is that of the cursor's line."""
    is_blank: bool
    """Nothing but white space on the line (the first: including what stands before the cursor)."""
    is_complete: bool
    """A statement may end here: no bracket, string or comment is open on it and it is not plainly unfinished."""
    opens_block: bool
    """What ends here is a block's header: `if x:`, `while (y) {`."""
    block_kind: BlockKind
    """Of the innermost block open here, one whose header ends here included."""
    depth: int
    """Brackets and braces open here less those open at the cursor. In Python a block is not a bracket."""
    lowest_depth: int
    """The least `depth` anywhere so far: below 0, something that was open at the cursor has been closed."""
    num_unmatched: int
    """Closing brackets so far that had nothing to close, at the cursor or after it."""
    num_statements: int
    """Complete ones in the innermost block here, counted from the block's beginning."""
    in_string: bool
    in_comment: bool


class Scanner(msgspec.Struct, frozen=True, eq=False):
    """What is open at a cursor, ready to read what follows it."""

    language: Language
    state: State
    is_line_empty: bool
    """Only white space before the cursor on its line."""

    @classmethod
    def start(cls, before: str, language: Language) -> Scanner:
        """A scanner for what follows `before`: all text before the cursor, or its last few kB from a line start on."""
        return cls.at(before, len(before), language)

    @classmethod
    def at(cls, text: str, offset: int, language: Language) -> Scanner:
        """A scanner for what follows `offset` in `text`. Copies no long text.

        What was read lately is remembered: after a keystroke only the last 2 kB or so are read.
        """
        line = text.rfind("\n", max(offset - MAX_LAST_LINE_CHARS, 0), offset) + 1
        return cls(language, state_at(text, offset, language), not text[line:offset].strip())

    def lines(self, text: str) -> tuple[LineEnd, ...]:
        """The line ends of `text`, in order; the last one is its end, whether or not a line break stands there."""
        reader = Reader(self.language, self.state)
        at_cursor, begin = reader.depth, 0
        ends: list[LineEnd] = []
        while True:
            line_break = text.find("\n", begin)
            end = len(text) if line_break < 0 else line_break
            piece = text[begin:end]
            reader.following = ""
            reader.read(piece)
            reader.following = text[end : end + MAX_FOLLOWING_CHARS].lstrip()
            is_blank = not piece.strip() and (begin > 0 or self.is_line_empty)
            ends.append(
                _line_end(reader, end, at_cursor, is_last=line_break < 0, is_blank=is_blank)
            )
            if line_break < 0:
                return tuple(ends)
            begin = end + 1
            if not piece.endswith("\\"):
                reader.read("\n")


def _line_end(
    reader: Reader, offset: int, at_cursor: int, *, is_last: bool, is_blank: bool
) -> LineEnd:
    frame = reader.frames[-1]
    block = next(frame for frame in reversed(reader.frames) if frame.is_block)
    opens_block = not is_blank and reader.is_header_complete()
    return LineEnd(
        offset=offset,
        is_last=is_last,
        indent=reader.line_indent,
        is_blank=is_blank,
        is_complete=not is_blank and reader.is_statement_complete(),
        opens_block=opens_block,
        block_kind=reader.header_kind() if opens_block else block.kind,
        depth=reader.depth - at_cursor,
        lowest_depth=reader.lowest_depth - at_cursor,
        num_unmatched=reader.num_unmatched,
        num_statements=block.num_statements,
        in_string=frame.is_string,
        in_comment=frame.is_comment,
    )


def state_at(text: str, offset: int, language: Language) -> State:
    """What is open at `offset` in `text`. Pieces read before are remembered, so a keystroke costs little."""
    begin, state = _beginning(text, offset), START
    while offset - begin > CHUNK_CHARS:
        line_end = text.find("\n", begin + CHUNK_CHARS, offset)
        if line_end < 0:
            break
        chunk, begin = text[begin : line_end + 1], line_end + 1
        following = text[begin : min(begin + FOLLOWING_CHARS, offset)]
        state = _after_chunk(state, chunk, following, language)
    reader = Reader(language, state)
    reader.read(text[max(begin, offset - MAX_LAST_LINE_CHARS) : offset])
    return reader.state


def _beginning(text: str, offset: int) -> int:
    """0, or for a long text a place that stays the same while one types: a line that is not indented."""
    half = MAX_BEFORE_CHARS // 2
    if offset <= MAX_BEFORE_CHARS:
        return 0
    begin = (offset // half - 1) * half
    limit = begin + half // 2
    first = line = text.find("\n", begin, limit) + 1
    while line and text[line : line + 1] in (" ", "\t", "\n", "\r", "}", ")", "]"):
        line = text.find("\n", line, limit) + 1
    return line or first or begin


@lru_cache(maxsize=MAX_CHUNKS)
def _after_chunk(before: State, chunk: str, following: str, language: Language) -> State:
    """What is open after `chunk`, which `following` comes after. States are told apart by identity, which this very cache keeps."""
    reader = Reader(language, before)
    reader.following = following
    reader.read(chunk)
    return reader.state
