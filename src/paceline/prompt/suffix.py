"""Keeps the suffix of a prompt as it was while it changes little, since all that follows it is recomputed.

In a stable-first prompt the suffix stands before the prefix: one character that changes there costs the
prefill of everything after it. Far below the cursor such a change matters less than that.

Source: Copilot keeps an old suffix whose first 50 tokens differ by at most 10 % (facts/clients.md §2.5).
Here the lines that the completion has to meet must be the same besides.
"""

from __future__ import annotations

from itertools import islice

from rapidfuzz.distance import Levenshtein

MAX_CHANGED_SHARE = 0.1
"""Copilot's share of the text that is compared."""
HEAD_CHARS = 200
"""Copilot compares 50 tokens, of about four characters each."""
MAX_COMPARED_CHARS = 4096
"""Further away nothing but the length is looked at."""
NUM_EQUAL_LINES = 4
"""The rest of the cursor's line, and so many lines with text below it, are never old."""


class SuffixKeeper:
    """The suffix of one document's prompts. Ask it with each new suffix, in order."""

    def __init__(self) -> None:
        self._kept: str | None = None

    def keep(self, suffix: str) -> str:
        """Return the suffix to use: an earlier one if `suffix` differs little from it, else `suffix`."""
        if self._kept is None or not is_close(self._kept, suffix):
            self._kept = suffix
        return self._kept


def is_close(old: str, new: str) -> bool:
    """May a prompt hold `old` where the document has `new`?

    Never if the lines right after the cursor differ, or if only one of them is empty.
    """
    if old == new:
        return True
    if not old or not new or _first_lines(old) != _first_lines(new):
        return False
    if abs(len(old) - len(new)) > MAX_CHANGED_SHARE * len(new):
        return False
    for num_chars in (HEAD_CHARS, MAX_COMPARED_CHARS):
        a, b = old[:num_chars], new[:num_chars]
        limit = int(MAX_CHANGED_SHARE * min(len(a), len(b)))
        if Levenshtein.distance(a, b, score_cutoff=limit) > limit:
            return False
    return True


def _first_lines(text: str) -> list[str]:
    """The rest of the cursor's line and the next lines that are not blank, without the white space at
    their ends. The last line of a window may be cut, so it counts only if it is ended."""
    head = text[:MAX_COMPARED_CHARS]
    first, _, rest = head.partition("\n")
    below = (line.rstrip() for line in rest.split("\n") if line.strip())
    return [first, *islice(below, NUM_EQUAL_LINES)]
