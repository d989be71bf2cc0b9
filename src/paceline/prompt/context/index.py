"""Finds the windows of documents that look like the text at the cursor: BM25 over windows of ten lines.

    segments of 5 lines    | 0 | 1 | 2 | 3 | 4 | ...
    windows of 10          |___0___|
                               |___1___|

A term counts once in a window, however often it stands there. What is returned is the window together
with the lines that follow it, since these are what the cursor's next lines may look like.

Source: Robertson and Zaragoza 2009 (BM25); window and continuation: facts/retrieval.md §5.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable

from paceline.prompt.context.terms import known_terms, terms_of

SEGMENT_LINES = 5
LENGTH_WEIGHT = 0.4
"""BM25's b for windows, whose number of lines is the same anyway."""
MAX_LINE_CHARS = 300
"""A longer line is looked at no further, and ends a snippet."""
MAX_SHARE_OF_WINDOWS = 0.5
"""A term in more of them than this tells nothing apart."""
WORTH_COMPARING = 0.4
"""Windows with less than this of the best one's weight cannot come out first, whatever their length."""
MAX_INDEXES = 256
MAX_INDEXED_CHARS = 16_000_000
"""Together; the documents not asked for longest are forgotten first."""


class DocumentIndex:
    """The terms of one text, by segment."""

    def __init__(self, text: str) -> None:
        self.num_chars = len(text)
        self.lines = [line[: MAX_LINE_CHARS + 1] for line in text.split("\n")]
        self.postings: dict[str, list[int]] = {}
        self._sizes: list[int] = []
        for number, first in enumerate(range(0, len(self.lines), SEGMENT_LINES)):
            terms = terms_of("\n".join(self.lines[first : first + SEGMENT_LINES]))
            self._sizes.append(len(terms))
            for term in terms:
                self.postings.setdefault(term, []).append(number)

    @property
    def num_windows(self) -> int:
        """One for each segment; the last has no second half."""
        return len(self._sizes)

    def best_windows(self, weights: dict[str, float], count: int, num_lines: int) -> list[int]:
        """First lines of the `count` best windows, best first, `num_lines` or more apart."""
        scores = [0.0] * self.num_windows
        for term, weight in weights.items():
            before = -2
            for segment in self.postings.get(term, ()):
                if segment and before != segment - 1:
                    scores[segment - 1] += weight
                scores[segment] += weight
                before = segment
        least = WORTH_COMPARING * max(scores)
        mean = 2 * sum(self._sizes) / self.num_windows or 1.0
        ranked = sorted(
            (self._adjusted(score, window, mean), window)
            for window, score in enumerate(scores)
            if score > least
        )
        chosen: list[int] = []
        while ranked and len(chosen) < count:
            window = ranked.pop()[1]
            if all(abs(window - other) * SEGMENT_LINES >= num_lines for other in chosen):
                chosen.append(window)
        return [window * SEGMENT_LINES for window in chosen]

    def _adjusted(self, score: float, window: int, mean: float) -> float:
        """Less for a window of many terms, which has some of any query's."""
        size = sum(self._sizes[window : window + 2])
        return score / (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * size / mean)

    def text_from(self, first_line: int, num_lines: int, max_chars: int) -> str:
        """Whole lines from `first_line`, or from before it where the text ends too soon.

        Without blank ones at either end; a line that is too long ends them.
        """
        first_line = max(min(first_line, len(self.lines) - num_lines), 0)
        kept: list[str] = []
        num_chars = 0
        for line in self.lines[first_line : first_line + num_lines]:
            num_chars += len(line) + 1
            if num_chars > max_chars or len(line) > MAX_LINE_CHARS:
                break
            if kept or line.strip():
                kept.append(line.rstrip())
        return "\n".join(kept).rstrip()


class Query:
    """The words at the cursor, each weighted by how few windows have it."""

    def __init__(self, text: str, indexes: Iterable[DocumentIndex]) -> None:
        self.terms = known_terms(text)
        known = list(indexes)
        num_windows = sum(index.num_windows for index in known)
        self.weights: dict[str, float] = {}
        for term in self.terms:
            num_with = sum(len(index.postings.get(term, ())) for index in known)
            if num_with <= 2 + MAX_SHARE_OF_WINDOWS * num_windows:
                self.weights[term] = math.log1p((num_windows - num_with + 0.5) / (num_with + 0.5))
        if num_windows < 2:
            self.weights = dict.fromkeys(self.terms, 1.0)
        self._total = sum(abs(weight) for weight in self.weights.values())

    def similarity(self, text: str) -> float:
        """Share of the query's weight that `text` has: 0 to 1."""
        if not self._total:
            return 0.0
        terms = known_terms(text)
        return sum(weight for term, weight in self.weights.items() if term in terms) / self._total


class IndexStore:
    """Indexes of texts seen lately, so that an unchanged document is read once."""

    def __init__(self, max_new_chars: int) -> None:
        self._indexes: OrderedDict[str, DocumentIndex] = OrderedDict()
        self._num_chars = 0
        self._max_new_chars = max_new_chars
        self._allowance = max_new_chars

    def start_call(self, *, is_unlimited: bool = False) -> None:
        """What may be indexed from now on; a text larger than that is still taken if it is the first."""
        self._allowance = 1 << 60 if is_unlimited else self._max_new_chars

    def index(self, text: str) -> DocumentIndex | None:
        """The index of `text`; None if too much was new in this call."""
        index = self._indexes.get(text)
        if index is None:
            if self._allowance < self._max_new_chars and len(text) > self._allowance:
                return None
            self._allowance -= len(text)
            index = self._indexes[text] = DocumentIndex(text)
            self._num_chars += len(text)
            self._forget()
        self._indexes.move_to_end(text)
        return index

    def _forget(self) -> None:
        while len(self._indexes) > MAX_INDEXES or self._num_chars > MAX_INDEXED_CHARS:
            if len(self._indexes) == 1:
                return
            _, oldest = self._indexes.popitem(last=False)
            self._num_chars -= oldest.num_chars
