"""A report as a few lines of Markdown: what a model card quotes."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.evals.report import GROUPS, Report, Row
from paceline.evals.table import comparison_lines, number, percent, title_of

NOTE = (
    "Cases are single lines of held-out packages, half of them rests of a line from any character on, half "
    "whole lines; greedy; exact match after trailing white space. The model sees the text after the cursor, "
    "the baselines only the text before it. [low, high]: 95 % interval, bootstrap over files."
)


def render_summary(report: Report) -> str:
    """Return the main figures as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "| cases | subject | n | exact match | edit similarity | bits per byte |"
    yield "|---|---|---:|---:|---:|---:|"
    for row in report.rows:
        if row.group in GROUPS:
            yield _row(row)
    yield ""
    for line in comparison_lines(report):
        yield f"- {line}"
    for file_row in report.files:
        yield (
            f"- Whole files left to right, {file_row.subject}: "
            f"{number(file_row.bits_per_byte, 3)} bits per byte ({file_row.num_files} files)"
        )
    for warning in report.warnings:
        yield f"- Warning: {warning}"
    yield ""
    yield NOTE


def _row(row: Row) -> str:
    bits = number(row.bits_per_byte) if row.bits_per_byte else "-"
    return (
        f"| {title_of(row.group)} | {row.subject} | {row.num_cases} | {percent(row.exact)} | "
        f"{row.edit_similarity.value:.3f} | {bits} |"
    )
