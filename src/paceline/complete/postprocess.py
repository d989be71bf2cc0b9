"""Candidate to completion: small pure steps, in order. Every drop has a reason.

A step only ever shortens the candidate from its end or drops it: the result is a prefix of the raw
text, and the document before the cursor is never touched. `postprocess` repeats the steps until
nothing changes, so it is idempotent. A new rule is one function, one line in COMMON_STEPS and its
cases in tests/complete/.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from paceline.complete.ending import certain_end
from paceline.complete.lines import following_line, line_after, line_before
from paceline.complete.modes import Mode
from paceline.core.types import Candidate, Cursor, Drop

Step = Callable[[Candidate, Cursor], Candidate | Drop]

MIN_REPEATED_CHARS = 3
"""A repeated rest of the line with words in it counts from this length ..."""
MIN_PARTLY_REPEATED_CHARS = 8
"""... and the beginning of such a rest from this one; shorter ones happen by chance."""
_WORD = re.compile(r"\w")


def postprocess(candidate: Candidate, cursor: Cursor, mode: Mode) -> Candidate | Drop:
    """Apply the steps of `mode` until nothing changes."""
    while True:
        before = candidate.text
        for step in STEPS[mode]:
            result = step(candidate, cursor)
            if isinstance(result, Drop):
                return result
            candidate = result
        if candidate.text == before:
            return candidate


def _end_for(mode: Mode) -> Step:
    def end(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
        """Cut where the mode says that a completion ends."""
        return _cut(candidate, certain_end(candidate.text, cursor, mode))

    return end


def end_at_whole_line(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Cut a last line that ran out of tokens or time, if there is a whole line before it."""
    if candidate.finish_reason not in ("length", "deadline"):
        return candidate
    end = candidate.text.rfind("\n")
    return _cut(candidate, end if candidate.text[: max(end, 0)].strip() else None)


def cut_repeated_rest(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Cut text that the rest of the line already has: `a, b)` before `)` becomes `a, b`.

    Words count by length. Brackets and quotes alone are cut only if the line is better balanced
    without them, so that `foo(x)` before the `)` of an outer call stays whole.
    """
    rest = line_after(cursor)
    if not rest:
        return candidate
    text, before = candidate.text, line_before(cursor)
    for start in range(len(text)):
        tail = text[start:]
        if rest.startswith(tail):
            common, more = tail, ""
        elif tail.startswith(rest):
            common, more = rest, tail[len(rest) :]
        else:
            continue
        if _WORD.search(common):
            is_whole = common == rest and (not more or more.lstrip(" \t\r").startswith("\n"))
            num_chars = len(common.strip())
            is_repeat = num_chars >= (
                MIN_REPEATED_CHARS if is_whole else MIN_PARTLY_REPEATED_CHARS
            ) and (is_whole or not more)
        else:
            kept = before + text[:start] + rest
            is_repeat = imbalance(kept) < imbalance(before + text + rest)
        if is_repeat:
            return _cut(candidate, start, if_empty="repeats_suffix")
    return candidate


def cut_repeated_line(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Cut before a line that is, with its indentation, the next line of the document."""
    following = following_line(cursor)
    if not following:
        return candidate
    is_first_whole = not line_after(cursor)
    start = 0
    for index, line in enumerate(candidate.text.split("\n")):
        whole = line if index else line_before(cursor) + line
        if line.strip() and whole.rstrip() == following and (index or is_first_whole):
            return _cut(candidate, max(start - 1, 0), if_empty="repeats_suffix")
        start += len(line) + 1
    return candidate


def trim_end(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Cut white space at the end, unless it separates the text from the rest of the line."""
    end = len(candidate.text.rstrip())
    return candidate if line_after(cursor) or not end else _cut(candidate, end)


def cut_broken_text(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Cut before U+FFFD, which stands for bytes that are no text."""
    end = candidate.text.find("\ufffd")
    return _cut(candidate, end if end >= 0 else None, if_empty="broken_text")


def drop_blank(candidate: Candidate, cursor: Cursor) -> Candidate | Drop:
    """Drop text of white space only."""
    if candidate.text.strip():
        return candidate
    return Drop("deadline" if candidate.finish_reason == "deadline" else "blank")


def imbalance(text: str) -> int:
    """How many brackets and quotes of `text` lack their other half, counted without parsing."""
    brackets = sum(abs(text.count(pair[0]) - text.count(pair[1])) for pair in ("()", "[]", "{}"))
    return brackets + sum(text.count(quote) % 2 for quote in "\"'`")


def _cut(candidate: Candidate, end: int | None, *, if_empty: str = "") -> Candidate | Drop:
    """Keep the text before `end`; the text then ends where it should, whatever stopped the model."""
    if end is None or end >= len(candidate.text):
        return candidate
    text = candidate.text[:end]
    if if_empty and not text.strip():
        return Drop(if_empty)
    return replace(candidate, text=text, finish_reason="stop")


COMMON_STEPS: tuple[Step, ...] = (
    cut_broken_text,
    cut_repeated_rest,
    cut_repeated_line,
    trim_end,
    drop_blank,
)
STEPS: dict[Mode, tuple[Step, ...]] = {
    "single_line": (_end_for("single_line"), *COMMON_STEPS),
    "block_body": (_end_for("block_body"), end_at_whole_line, *COMMON_STEPS),
    "multi_line": (_end_for("multi_line"), end_at_whole_line, *COMMON_STEPS),
}
"""The order is the design: first where it ends, then what is already there, then what is left."""
