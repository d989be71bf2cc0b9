"""One evaluation from a corpus folder and subjects to a report."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from paceline.artifacts.corpus import read_documents
from paceline.artifacts.manifest import MANIFEST_NAME, sha256_of
from paceline.core.errors import CorpusError
from paceline.core.progress import Progress
from paceline.evals.aggregate import best_ratio, compare, headline_of, make_file_row, make_rows
from paceline.evals.cases import Case, cut_cases
from paceline.evals.config import EvalConfig
from paceline.evals.intervals import Interval
from paceline.evals.lineage import ModelLineage
from paceline.evals.metrics import score_line
from paceline.evals.report import CaseResult, Comparison, FileRow, Report, Scored
from paceline.evals.subjects import Subject
from paceline.evals.whole_files import choose_files


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Who is evaluated on what."""

    corpus: Path
    config: EvalConfig
    subjects: tuple[Subject, ...]
    model: str | None
    """Name of the subject that is compared with the others; None if only baselines run."""
    lineage: ModelLineage
    ngram_stats: dict[str, Any] = {}


def evaluate(evaluation: Evaluation, progress: Progress) -> Report:
    """Run every subject on the same cases and files.

    Raises:
        CorpusError: the corpus is incomplete or gives no case.
    """
    corpus, config = evaluation.corpus, evaluation.config
    documents = list(read_documents(corpus, "heldout"))
    cases, heads = cut_cases(documents, config), choose_files(documents, config)
    if not cases:
        raise CorpusError(f"{corpus} has no held-out file long enough to cut a case from.")
    scores: list[dict[str, Scored]] = [{} for _ in cases]
    files: list[FileRow] = []
    for subject in evaluation.subjects:
        for found, score in zip(scores, _score(subject, cases, progress), strict=True):
            found[subject.name] = score
        bits = subject.file_bits(heads, progress) if heads else None
        if bits is not None:
            files.append(make_file_row(subject.name, heads, bits, config))
    results = [_result(case, found) for case, found in zip(cases, scores, strict=True)]
    comparisons, ratio = _compare(results, evaluation)
    return Report(
        config=msgspec.to_builtins(config),
        model=evaluation.lineage.facts,
        corpus_sha256=sha256_of(corpus / MANIFEST_NAME),
        warnings=evaluation.lineage.warnings,
        ngram=evaluation.ngram_stats,
        subjects=tuple(subject.name for subject in evaluation.subjects),
        num_cases_by_package=dict(Counter(case.package for case in cases)),
        rows=tuple(make_rows(results, config)),
        files=tuple(files),
        comparisons=comparisons,
        best_baseline_ratio=ratio,
        cases=tuple(results),
    )


def _compare(
    results: list[CaseResult], evaluation: Evaluation
) -> tuple[tuple[Comparison, ...], Interval | None]:
    """Compare the model with each other subject, and with the better of them."""
    model, config = evaluation.model, evaluation.config
    headline = headline_of(results)
    baselines = [subject.name for subject in evaluation.subjects if subject.name != model]
    if model is None or not baselines or not headline:
        return (), None
    comparisons = tuple(compare(headline, model, baseline, config) for baseline in baselines)
    return comparisons, best_ratio(headline, model, baselines, config)


def _score(subject: Subject, cases: list[Case], progress: Progress) -> list[Scored]:
    predictions = subject.predict(cases, progress)
    bits = subject.middle_bits(cases, progress) or [None] * len(cases)
    return [
        Scored(bits=cost, **msgspec.structs.asdict(score_line(predicted, case.middle)))
        for case, predicted, cost in zip(cases, predictions, bits, strict=True)
    ]


def _result(case: Case, scores: dict[str, Scored]) -> CaseResult:
    raw = case.middle.encode()
    return CaseResult(
        case_id=case.case_id,
        package=case.package,
        path=case.path,
        document_sha256=case.document_sha256,
        stratum=case.stratum,
        text_class=case.text_class,
        offset=case.offset,
        middle_chars=len(case.middle),
        middle_bytes=len(raw),
        middle_sha256=hashlib.sha256(raw).hexdigest(),
        scores=scores,
    )
