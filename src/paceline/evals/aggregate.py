"""Scored cases to rows and comparisons. Pure arithmetic: no model, no files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from paceline.evals.config import EvalConfig
from paceline.evals.intervals import (
    ClusterBootstrap,
    Interval,
    mcnemar,
    percentile_interval,
    wilson,
)
from paceline.evals.report import HEADLINE, CaseResult, Comparison, FileRow, Row
from paceline.evals.whole_files import FileHead


def group_cases(results: Sequence[CaseResult]) -> dict[str, list[CaseResult]]:
    """The groups of the report, in its order; empty groups are left out."""
    code = [result for result in results if result.text_class == "code"]
    groups = {
        HEADLINE: code,
        "rest_of_line": [result for result in code if result.stratum == "rest_of_line"],
        "whole_line": [result for result in code if result.stratum == "whole_line"],
        "comment_or_string": [result for result in results if result.text_class != "code"],
        "all": list(results),
    }
    for package in sorted({result.package for result in results}):
        groups[f"package:{package}"] = [result for result in code if result.package == package]
    return {name: members for name, members in groups.items() if members}


def make_rows(results: Sequence[CaseResult], config: EvalConfig) -> list[Row]:
    """One row for each group and subject."""
    rows: list[Row] = []
    for group, members in group_cases(results).items():
        bootstrap = _bootstrap(members, config)
        rows += [_row(group, subject, members, bootstrap) for subject in members[0].scores]
    return rows


def _bootstrap(results: Sequence[CaseResult], config: EvalConfig) -> ClusterBootstrap:
    files = [result.document_sha256 for result in results]
    return ClusterBootstrap(files, num_resamples=config.num_resamples, seed=config.seed)


def _row(group: str, subject: str, results: list[CaseResult], bootstrap: ClusterBootstrap) -> Row:
    scores = [result.scores[subject] for result in results]
    num_bytes = [float(result.middle_bytes) for result in results]
    bits = [score.bits for score in scores if score.bits is not None]

    def mean(values: Iterable[float]) -> Interval:
        return bootstrap.ratio(list(values), [1.0] * len(scores))

    return Row(
        group=group,
        subject=subject,
        num_cases=len(results),
        num_files=bootstrap.num_clusters,
        exact=mean(float(score.is_exact) for score in scores),
        exact_wilson=wilson(sum(score.is_exact for score in scores), len(scores)),
        edit_similarity=mean(score.edit_similarity for score in scores),
        correct_prefix_chars=mean(float(score.correct_prefix_chars) for score in scores),
        bits_per_byte=bootstrap.ratio(bits, num_bytes) if bits else None,
    )


def make_file_row(
    subject: str, heads: Sequence[FileHead], bits: Sequence[float], config: EvalConfig
) -> FileRow:
    """Bits per byte over whole files."""
    files = [head.document_sha256 for head in heads]
    bootstrap = ClusterBootstrap(files, num_resamples=config.num_resamples, seed=config.seed)
    sizes = [head.num_bytes for head in heads]
    return FileRow(
        subject=subject,
        num_files=len(heads),
        num_bytes=sum(sizes),
        bits_per_byte=bootstrap.ratio(bits, [float(size) for size in sizes]),
    )


def headline_of(results: Sequence[CaseResult]) -> list[CaseResult]:
    """The cases that comparisons are about."""
    return group_cases(results).get(HEADLINE, [])


def _hits(results: Sequence[CaseResult], subject: str) -> list[float]:
    return [float(result.scores[subject].is_exact) for result in results]


def compare(
    results: Sequence[CaseResult], subject: str, baseline: str, config: EvalConfig
) -> Comparison:
    """Compare two subjects on the same cases."""
    mine, theirs = _hits(results, subject), _hits(results, baseline)
    only_mine = sum(a > b for a, b in zip(mine, theirs, strict=True))
    only_theirs = sum(a < b for a, b in zip(mine, theirs, strict=True))
    return Comparison(
        subject=subject,
        baseline=baseline,
        ratio=best_ratio(results, subject, [baseline], config),
        num_only_subject=only_mine,
        num_only_baseline=only_theirs,
        mcnemar_p=mcnemar(only_mine, only_theirs),
    )


def best_ratio(
    results: Sequence[CaseResult], subject: str, baselines: Sequence[str], config: EvalConfig
) -> Interval:
    """Exact matches of `subject` over those of the best baseline, chosen anew in each resample."""
    bootstrap = _bootstrap(results, config)
    mine = _hits(results, subject)
    theirs = [_hits(results, baseline) for baseline in baselines]
    best = np.max([bootstrap.resampled_sums(hits) for hits in theirs], axis=0)
    resampled = bootstrap.resampled_sums(mine) / np.maximum(best, 1.0)
    return percentile_interval(sum(mine) / max(1.0, *map(sum, theirs)), resampled)
