"""A report as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from paceline.evals.intervals import Interval
from paceline.evals.report import GROUPS, Report

INTERVALS_NOTE = "[low, high]: 95 % interval, bootstrap over files."


def title_of(group: str) -> str:
    """What a group is called for people."""
    return GROUPS.get(group) or group.removeprefix("package:") + " (code)"


def percent(interval: Interval) -> str:
    """`12.3 % [11.0, 13.9]`."""
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.1f} % [{low:.1f}, {high:.1f}]"


def number(interval: Interval, digits: int = 2) -> str:
    """`1.23 [1.10, 1.39]`."""
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def comparison_lines(report: Report) -> Iterator[str]:
    """Sentences on the model against the baselines in exact match, headline group."""
    for c in report.comparisons:
        verdict = "" if c.mcnemar_p < 0.05 else " (within noise)"
        yield (
            f"{c.subject} / {c.baseline}: {number(c.ratio)}x exact match; only {c.subject} right "
            f"{c.num_only_subject}, only {c.baseline} right {c.num_only_baseline}, "
            f"McNemar p = {c.mcnemar_p:.2g}{verdict}"
        )
    if report.best_baseline_ratio is not None:
        yield f"Against the better baseline: {number(report.best_baseline_ratio)}x"


def print_report(report: Report, console: Console) -> None:
    """Print the figures of a report."""
    table = Table(box=None)
    for heading in ("cases", "subject"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    for heading in ("n", "exact match", "edit sim.", "right chars", "bits per byte"):
        table.add_column(heading, justify="right")
    previous = ""
    for row in report.rows:
        table.add_row(
            "" if row.group == previous else title_of(row.group),
            row.subject,
            str(row.num_cases),
            percent(row.exact),
            f"{row.edit_similarity.value:.3f}",
            f"{row.correct_prefix_chars.value:.1f}",
            number(row.bits_per_byte) if row.bits_per_byte else "-",
        )
        previous = row.group
    console.print(table)
    console.print(INTERVALS_NOTE, style="dim", markup=False)
    for file_row in report.files:
        console.print(
            f"Whole files left to right, {file_row.subject}: {number(file_row.bits_per_byte, 3)} bits "
            f"per byte ({file_row.num_files} files, {file_row.num_bytes} bytes)",
            markup=False,
        )
    for line in comparison_lines(report):
        console.print(line, markup=False, soft_wrap=True)
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)
