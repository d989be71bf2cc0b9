"""Text in the middle of a line: it must meet what stands after the cursor, or take its place."""

from __future__ import annotations

import re

from msgspec.structs import replace

from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import (
    Reading,
    following_text,
    is_directive,
    num_duplicates,
    open_at_cursor,
    read,
)
from paceline.complete.steps.cut import cut, rest_of_line
from paceline.core.types import Candidate, Drop

_AUTO_CLOSED = re.compile(r"[\s)>}\]\"'`]*[\s:{;,]*")
"""What editors and habits put after a cursor: Copilot completes mid-line only before such a rest."""
_STOPS = re.compile(r"\s*[:{;,]+\s*")


def cover_closers(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Let a candidate that closes what the rest of the line closes take that rest's place.

    Only where it goes on after its closers (`x):` before `)`); closers at its very end are cut instead
    (brackets.py), which any client can show.
    """
    rest = rest_of_line(candidate, scene)
    if not rest or candidate.num_replaced_chars or not _AUTO_CLOSED.fullmatch(rest):
        return candidate
    count, net = num_duplicates(candidate, scene)
    if not count:
        return candidate
    duplicates = net[len(net) - count :]
    covered = _covered_chars(rest, [closer.text for closer in duplicates])
    after = candidate.text[duplicates[0].offset :]
    if not covered or "".join(rest.split()).startswith("".join(after.split())):
        return candidate
    left = rest[covered:]
    if _STOPS.fullmatch(left) and candidate.text.rstrip().endswith(left.strip()):
        covered = len(rest)
    return replace(candidate, num_replaced_chars=covered, flags=())


def meet_rest(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Before words on the same line: keep one line of text, with no bracket open that the rest leaves open.

    Before closing brackets and stops alone there is nothing to meet.
    """
    rest = rest_of_line(candidate, scene)
    if not rest or _AUTO_CLOSED.fullmatch(rest):
        return candidate
    line_end = candidate.text.find("\n")
    if line_end >= 0:
        return cut(candidate, len(candidate.text[:line_end].rstrip("\r")), if_empty="mid_line")
    is_ended = candidate.text.rstrip().endswith(";") and open_at_cursor(scene)[-1:] != ("(",)
    return candidate if _meets(candidate, scene) and not is_ended else Drop("mid_line")


def _covered_chars(rest: str, closers: list[str]) -> int:
    """How much of `rest` is `closers`, with the white space before each."""
    end = 0
    for closer in closers:
        start = end + len(rest[end:]) - len(rest[end:].lstrip())
        if not rest.startswith(closer, start):
            break
        end = start + len(closer)
    return end


def _meets(candidate: Candidate, scene: Scene) -> bool:
    """Is the line, with the next ones, as well balanced with the candidate as without it?"""
    language, opened = scene.language, open_at_cursor(scene)
    own = read(candidate.text, language, opened)
    if own.open == opened or is_directive(scene):
        return True
    if scene.place.is_in_comment or scene.place.is_in_docstring:
        return True
    following = following_text(candidate, scene)
    without, with_it = read(following, language, opened), read(following, language, own.open)
    return len(own.wrong) + _num_unbalanced(with_it) <= _num_unbalanced(without)


def _num_unbalanced(reading: Reading) -> int:
    return len(reading.wrong) + reading.num_unfinished + len(reading.open)
