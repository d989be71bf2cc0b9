"""From scored cases to the figures of a report, and the report's folder.

OUT/manifest.json    kind "eval-report"; parents: checkpoint and corpus
OUT/report.json      everything below; no code, so that it can be published
OUT/report.html      the same for people, one file, nothing loaded from elsewhere
"""

from __future__ import annotations

from typing import Any

import msgspec

from paceline.evals.cases import Stratum
from paceline.evals.intervals import Interval
from paceline.evals.metrics import LineScore
from paceline.evals.text_class import TextClass

HEADLINE = "code"
"""The group that the ratio and the paired tests are about."""
GROUPS: dict[str, str] = {
    HEADLINE: "all cases in code",
    "rest_of_line": "rest of line (code)",
    "whole_line": "whole line (code)",
    "comment_or_string": "in comments and strings",
    "all": "all of them",
}
"""Groups of cases and their titles; `package:NAME` (code only) comes on top."""


class Scored(LineScore, frozen=True, kw_only=True):
    """One subject's result on one case."""

    bits: float | None
    """Negative log2-probability of the true middle, if the subject has probabilities."""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One case without its text, and how each subject did."""

    case_id: str
    package: str
    path: str
    document_sha256: str
    stratum: Stratum
    text_class: TextClass
    offset: int
    middle_chars: int
    middle_bytes: int
    middle_sha256: str
    scores: dict[str, Scored]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One subject on one group of cases. Intervals are a bootstrap over files, save Wilson's."""

    group: str
    subject: str
    num_cases: int
    num_files: int
    exact: Interval
    exact_wilson: Interval
    edit_similarity: Interval
    correct_prefix_chars: Interval
    bits_per_byte: Interval | None


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subject on whole files, left to right."""

    subject: str
    num_files: int
    num_bytes: int
    bits_per_byte: Interval


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A subject against a baseline in exact match, on the same cases of the headline group."""

    subject: str
    baseline: str
    ratio: Interval
    """Of exact matches; a resample without a match of the baseline counts as having one."""
    num_only_subject: int
    num_only_baseline: int
    mcnemar_p: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one evaluation."""

    config: dict[str, Any]
    model: dict[str, Any]
    """Name, hashes and training figures; empty when only baselines were run."""
    corpus_sha256: str
    """Of the corpus manifest."""
    warnings: tuple[str, ...]
    ngram: dict[str, Any]
    subjects: tuple[str, ...]
    num_cases_by_package: dict[str, int]
    rows: tuple[Row, ...]
    files: tuple[FileRow, ...]
    comparisons: tuple[Comparison, ...]
    best_baseline_ratio: Interval | None
    """Model over the better baseline, which is chosen anew in each resample."""
    cases: tuple[CaseResult, ...]
