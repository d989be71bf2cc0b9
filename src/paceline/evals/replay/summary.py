"""A replay's main figures on a terminal: the baseline beside the brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from paceline.evals.replay.ablation import (
    NONE,
    ablated,
    change_text,
    relative_text,
    value_text,
)
from paceline.evals.replay.modes import LINE_STARTS
from paceline.evals.replay.report import HEADLINE, KEY_FIGURES, Report, Row
from paceline.evals.replay.variants import BASELINE, BRAIN

NOTE = "[low, high]: 95 % interval, bootstrap over traces; changes are paired."


def print_summary(report: Report, console: Console) -> None:
    """Print the tables, and the sentences on gate and modes."""
    console.print(_headline(report.rows, "all keys"))
    if report.documented:
        console.print(_headline(report.documented, "after a comment or docstring"))
    console.print(NOTE, style="dim", markup=False)
    worst = ablated(report)
    figure = next(one for one in KEY_FIGURES if one.name == HEADLINE)
    if len(worst) > 1:
        table = Table("variant", figure.title, box=None, title="without a part")
        for row in worst:
            table.add_row(row.name, change_text(row.differences.get(HEADLINE), figure))
        console.print(table)
    for line in sentences(report):
        console.print(line, markup=False, soft_wrap=True)
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _headline(rows: Sequence[Row], title: str) -> Table:
    """Baseline and brain, and what changed."""
    by_name = {row.name: row for row in rows}
    base, whole = by_name.get(BASELINE), by_name.get(BRAIN)
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in (BASELINE, BRAIN, "change") if base else (BRAIN,):
        table.add_column(heading, justify="right")
    for figure in KEY_FIGURES:
        cells = [value_text(row.intervals[figure.name], figure) for row in (base, whole) if row]
        if base and whole:
            cells.append(relative_text(whole.differences.get(figure.name), figure))
        table.add_row(figure.title, *cells)
    for title_, low, high in (
        ("latency p50 / p95, ms", "latency_p50_ms", "latency_p95_ms"),
        ("own time p50 / p95, ms", "own_p50_ms", "own_p95_ms"),
    ):
        table.add_row(title_, *(_pair(row, low, high) for row in (base, whole) if row))
    table.add_row(
        "opportunities",
        *(f"{row.result.figures.num_chances:,}" for row in (base, whole) if row),
    )
    return table


def _pair(row: Row, low: str, high: str) -> str:
    values = (getattr(row.result.figures, name) for name in (low, high))
    return " / ".join(NONE if value is None else f"{value:.1f}" for value in values)


def sentences(report: Report) -> Iterator[str]:
    """What is said of gate and modes."""
    gate = report.gate
    if gate is not None:
        yield (
            f"Gate: AUC {gate.figures.auc:.3f}, calibration error {gate.figures.ece:.3f} on "
            f"{gate.figures.num_rows:,} completions, of which {100 * gate.figures.kept_share:.1f} % would be kept; "
            f"at {gate.threshold:.3f} it shows {100 * gate.shown_share:.1f} %."
        )
    default = report.default_modes()
    if default is not None and default.precision and default.recall:
        yield (
            f"Modes, at {LINE_STARTS}: precision {100 * default.precision.value:.1f} %, recall "
            f"{100 * default.recall.value:.1f} % of offering several lines at {default.threshold:.2f}, on "
            f"{default.num_moments:,} moments; always a single line would be right "
            f"{100 * (default.accuracy_of_single_line or 0):.1f} % of the time."
        )
