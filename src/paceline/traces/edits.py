"""The difference of two texts as the edits that a person would make, top to bottom.

    lines ──equal runs──> replaced blocks ──equal words──> spans ──join, trim, slide──> edits

Changing one argument is an edit of that argument; a new function is one insertion that begins with
Enter at the end of the line above and ends with the function's last line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import msgspec

MAX_LINE_PAIRS = 2_000_000
"""Pairs of equal lines up to which every line that is not blank may anchor the comparison; ours."""
MAX_REPEATS = 8
"""Beyond that, lines that occur more often anchor nothing: the cost stays near linear; ours."""
MAX_TOKEN_PAIRS = 1_000_000
"""Larger replaced blocks (about 100 lines by 100) are rewritten as a whole; ours."""
MIN_KEPT_CHARS = 4
"""Shorter equal text between two changes on a line is typed again, as nobody jumps over it; ours."""
MAX_SLIDE_CHARS = 2000
"""How far an insertion is moved to where it reads best; ours."""

LINE = re.compile(r"[^\n]*\n|[^\n]+")
TOKEN = re.compile(r"\w+|[ \t]+|\n|[^\w \t\n]")


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`deleted` at `offset` of the old text gives way to `inserted`; one of them may be empty."""

    offset: int
    deleted: str = ""
    inserted: str = ""


class Span(NamedTuple):
    """A change: this range of the old text became that range of the new one."""

    start: int
    end: int
    new_start: int
    new_end: int

    @property
    def size(self) -> int:
        """Characters of the longer side."""
        return max(self.end - self.start, self.new_end - self.new_start)


def edits_between(before: str, after: str) -> list[Edit]:
    """Return edits, in order of offset and apart from each other, that turn `before` into `after`.

    `apply_edits(before, edits_between(before, after)) == after` for any two texts.
    """
    spans: list[Span] = []
    for block in _changed_lines(before, after):
        spans += _refine(block, before, after)
    edits = [
        Edit(
            offset=span.start,
            deleted=before[span.start : span.end],
            inserted=after[span.new_start : span.new_end],
        )
        for span in spans
    ]
    return _slide_all(edits, before)


def apply_edits(before: str, edits: Iterable[Edit]) -> str:
    """The text that the edits leave."""
    parts: list[str] = []
    at = 0
    for edit in edits:
        parts += before[at : edit.offset], edit.inserted
        at = edit.offset + len(edit.deleted)
    return "".join([*parts, before[at:]])


def _changed_lines(before: str, after: str) -> Iterator[Span]:
    """Spans of whole lines that differ."""
    old, new = LINE.findall(before), LINE.findall(after)
    head, tail = _common_ends(old, new)
    old_starts, new_starts = _starts(old), _starts(new)
    inner = _matches(old[head : len(old) - tail], new[head : len(new) - tail])
    for start, end, new_start, new_end in inner:
        yield Span(
            old_starts[head + start],
            old_starts[head + end],
            new_starts[head + new_start],
            new_starts[head + new_end],
        )


def _matches(old: list[str], new: list[str]) -> Iterator[Span]:
    """What differs between two lists of lines, in lines. Blank lines anchor nothing."""
    counts = Counter(new)
    pairs = sum(number * counts[line] for line, number in Counter(old).items() if line.strip())
    max_repeats = MAX_REPEATS if pairs > MAX_LINE_PAIRS else len(new)

    def is_junk(line: str) -> bool:
        return not line.strip() or counts[line] > max_repeats

    return _differences(old, new, is_junk)


def _differences(
    old: Sequence[str], new: Sequence[str], is_junk: Callable[[str], bool]
) -> Iterator[Span]:
    matcher = SequenceMatcher(is_junk, old, new, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            yield Span(start, end, new_start, new_end)


def _refine(block: Span, before: str, after: str) -> list[Span]:
    """The spans of words that differ within a block; apart from each other by text worth keeping."""
    old = TOKEN.findall(before, block.start, block.end)
    new = TOKEN.findall(after, block.new_start, block.new_end)
    if len(old) * len(new) > MAX_TOKEN_PAIRS:
        return [_trim(block, before, after)]
    old_starts, new_starts = _starts(old, block.start), _starts(new, block.new_start)
    joined: list[Span] = []
    for start, end, new_start, new_end in _differences(old, new, _is_mark):
        span = Span(old_starts[start], old_starts[end], new_starts[new_start], new_starts[new_end])
        joined.append(_trim(span, before, after))
        while len(joined) > 1 and _belong_together(joined[-2], joined[-1], before, after):
            right, left = joined.pop(), joined.pop()
            both = Span(left.start, right.end, left.new_start, right.new_end)
            joined.append(_trim(both, before, after))
    return joined


def _is_mark(token: str) -> bool:
    """White space and punctuation anchor no comparison: they are everywhere."""
    return not (token[0].isalnum() or token[0] == "_")


def _belong_together(left: Span, right: Span, before: str, after: str) -> bool:
    """Would a person type the equal text between two changes again rather than jump over it?

    The rule of the "semantic clean-up" of diff-match-patch: text no longer than both changes.
    Changes of white space alone (indentation) never join.
    """
    between = right.start - left.end
    if any(_is_blank(span, before, after) for span in (left, right)):
        return between == 0
    if "\n" not in before[left.end : right.start] and between < MIN_KEPT_CHARS:
        return True
    return between <= min(left.size, right.size)


def _is_blank(span: Span, before: str, after: str) -> bool:
    changed = before[span.start : span.end] + after[span.new_start : span.new_end]
    return not changed.strip()


def _trim(span: Span, before: str, after: str) -> Span:
    """Leave out what both sides begin and end with: characters, if that leaves one side empty, else words."""
    old, new = before[span.start : span.end], after[span.new_start : span.new_end]
    head, tail = _common_ends(old, new)
    if min(len(old), len(new)) > head + tail:
        old_tokens, new_tokens = TOKEN.findall(old), TOKEN.findall(new)
        num_head, num_tail = _common_ends(old_tokens, new_tokens)
        head = sum(map(len, old_tokens[:num_head]))
        tail = sum(map(len, old_tokens[len(old_tokens) - num_tail :]))
    return Span(span.start + head, span.end - tail, span.new_start + head, span.new_end - tail)


def _common_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many items both begin with, and how many of the rest both end with."""
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return head, tail


def _slide_all(edits: list[Edit], before: str) -> list[Edit]:
    """Move insertions of lines to where a person would type them; drop edits that change nothing."""
    edits = [edit for edit in edits if edit.deleted != edit.inserted]
    ends = [*(edit.offset for edit in edits[1:]), len(before)]
    moved: list[Edit] = []
    for edit, end in zip(edits, ends[: len(edits)], strict=True):
        floor = moved[-1].offset + len(moved[-1].deleted) + 1 if moved else 0
        ceiling = end if end == len(before) else end - 1
        moved.append(_slide(edit, before, floor, max(ceiling, edit.offset)))
    return moved


def _slide(edit: Edit, before: str, floor: int, ceiling: int) -> Edit:
    """The same insertion at the end of a line, if it can be had there: the best such place.

    Best: its first line that is not blank is the least indented, follows a blank line, and its last
    line is not blank.
    """
    if edit.deleted or "\n" not in edit.inserted:
        return edit
    places = [place for place in _places(edit, before, floor, ceiling) if place.inserted[0] == "\n"]
    return min(places, key=lambda place: _ugliness(place, before), default=edit)


def _places(edit: Edit, before: str, floor: int, ceiling: int) -> Iterator[Edit]:
    """All edits with the same outcome whose text is inserted elsewhere."""
    yield edit
    text, at = edit.inserted, edit.offset
    while at > max(floor, edit.offset - MAX_SLIDE_CHARS) and before[at - 1] == text[-1]:
        at, text = at - 1, text[-1] + text[:-1]
        yield Edit(offset=at, inserted=text)
    text, at = edit.inserted, edit.offset
    while at < min(ceiling, edit.offset + MAX_SLIDE_CHARS) and before[at] == text[0]:
        at, text = at + 1, text[1:] + text[0]
        yield Edit(offset=at, inserted=text)


def _ugliness(edit: Edit, before: str) -> tuple[bool, int, bool, int]:
    """Sorts places of one insertion, the best first."""
    lines = edit.inserted.split("\n")[1:]
    first = next((line for line in lines if line.strip()), "")
    above = before[before.rfind("\n", 0, edit.offset) + 1 : edit.offset]
    follows_blank = not lines[0].strip() or not above.strip()
    indent = len(first) - len(first.lstrip())
    return (not lines[-1].strip(), indent, not follows_blank, edit.offset)


def _starts(parts: Sequence[str], at: int = 0) -> list[int]:
    """Where each part starts, and where the last ends."""
    starts = [at]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return starts
