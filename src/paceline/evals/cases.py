"""Single-line cases cut from held-out packages: even over packages, spread over files, repeatable.

Two strata. `rest_of_line` is a keystroke: the cursor is uniform over the code points of a line, after
something that is not blank. `whole_line` has the cursor after the line's indentation. In both the
middle is the rest of the line without its newline, and everything else of the file is given.

Each file draws from a random state of its own (seed, stratum and the file's hash), so a file's cases
do not depend on which other files are in the corpus.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

import msgspec

from paceline.artifacts.corpus import CorpusDocument
from paceline.evals.config import EvalConfig
from paceline.evals.text_class import Spans, TextClass, classify, find_spans

Stratum = Literal["rest_of_line", "whole_line"]
STRATA: tuple[Stratum, ...] = ("rest_of_line", "whole_line")

TRIES_PER_FILE = 64
"""Draws in one file and stratum before it is left; misses are other classes and lines drawn twice."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One hole. `prefix + middle + suffix` is the file's text."""

    case_id: str
    package: str
    path: str
    document_sha256: str
    stratum: Stratum
    text_class: TextClass
    text: str
    offset: int
    """The cursor, in code points."""
    end_offset: int
    """Where the line ends."""

    @property
    def prefix(self) -> str:
        """The file up to the cursor."""
        return self.text[: self.offset]

    @property
    def middle(self) -> str:
        """What is to be predicted: the rest of the line, at least `min_middle_chars` of it."""
        return self.text[self.offset : self.end_offset]

    @property
    def suffix(self) -> str:
        """The file from the line's newline on."""
        return self.text[self.end_offset :]


class _Line(NamedTuple):
    """Cursor offsets `first`..`last` of one line are cases; `end` is where the line ends."""

    first: int
    last: int
    end: int


def cut_cases(documents: Iterable[CorpusDocument], config: EvalConfig) -> list[Case]:
    """Cut the cases of an evaluation; ordered by package, then stratum and class.

    A package that is too small gives fewer: the report states how many cases each gave.
    """
    by_package: defaultdict[str, list[CorpusDocument]] = defaultdict(list)
    for document in documents:
        by_package[document.package].append(document)
    num_cells = len(STRATA) * max(len(by_package), 1)
    quotas: dict[TextClass, int] = {
        "code": -(-config.num_cases // num_cells),
        "comment_or_string": round(config.num_cases * config.comment_share / num_cells),
    }
    cases: list[Case] = []
    for _, members in sorted(by_package.items()):
        ordered = sorted(members, key=lambda d: _digest(config.seed, d.sha256))
        for stratum in STRATA:
            drawn = [list(_draw(document, stratum, config)) for document in ordered]
            for text_class, quota in quotas.items():
                cases += _take_evenly(drawn, text_class, quota)
    return cases


def _digest(*parts: object) -> str:
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()


def _take_evenly(drawn: list[list[Case]], text_class: TextClass, quota: int) -> list[Case]:
    """The first case of each file, then the second of each, and so on, up to `quota`."""
    queues = [[case for case in cases if case.text_class == text_class] for cases in drawn]
    depth = max(map(len, queues), default=0)
    rounds = (queue[i] for i in range(depth) for queue in queues if i < len(queue))
    return [case for case, _ in zip(rounds, range(quota), strict=False)]


def _draw(document: CorpusDocument, stratum: Stratum, config: EvalConfig) -> Iterator[Case]:
    """Draw different lines of one file until each class has its most, or the tries are over."""
    lines = list(_eligible_lines(document.text, stratum, config))
    if not lines:
        return
    rng = random.Random(_digest(config.seed, stratum, document.sha256))
    ends_of_weight = list(accumulate(line.last - line.first + 1 for line in lines))
    spans = find_spans(document.text)
    used: set[int] = set()
    left: dict[TextClass, int] = dict.fromkeys(
        ("code", "comment_or_string"), config.max_cases_per_file
    )
    for _ in range(TRIES_PER_FILE):
        pick = rng.randrange(ends_of_weight[-1])
        index = bisect_right(ends_of_weight, pick)
        line = lines[index]
        case = _case(document, stratum, spans, line.last - (ends_of_weight[index] - 1 - pick), line)
        if index not in used and left[case.text_class]:
            used.add(index)
            left[case.text_class] -= 1
            yield case


def _eligible_lines(text: str, stratum: Stratum, config: EvalConfig) -> Iterator[_Line]:
    """Lines with enough before them and enough left to predict, with their cursor offsets."""
    start = 0
    for number, line in enumerate(text.split("\n")):
        end = start + len(line)
        has_context = number >= config.min_prefix_lines or start >= config.min_prefix_chars
        inked = [i for i, char in enumerate(line) if not char.isspace()]
        if has_context and len(inked) >= config.min_middle_chars:
            first = inked[0] if stratum == "whole_line" else inked[0] + 1
            last = first if stratum == "whole_line" else inked[-config.min_middle_chars]
            if first <= last:
                yield _Line(start + first, start + last, end)
        start = end + 1


def _case(
    document: CorpusDocument, stratum: Stratum, spans: Spans, offset: int, line: _Line
) -> Case:
    return Case(
        case_id=_digest(document.sha256, stratum, offset)[:16],
        package=document.package,
        path=document.path,
        document_sha256=document.sha256,
        stratum=stratum,
        text_class=classify(spans, offset),
        text=document.text,
        offset=offset,
        end_offset=line.end,
    )
