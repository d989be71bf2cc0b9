"""A report as one HTML file: tables and an inline SVG chart, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import msgspec

from paceline.evals.report import Report, Row
from paceline.evals.table import INTERVALS_NOTE, comparison_lines, number, percent, title_of

COLOURS = ("#2563eb", "#d97706", "#6b7280", "#059669", "#9333ea")
LABEL_WIDTH, PLOT_WIDTH, BAR_HEIGHT, GAP = 190, 460, 16, 12

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #111; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { font-size: 13px; padding: .2rem .5rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
.warning { background: #fef3c7; padding: .5rem 1rem; }
.note { color: #555; font-size: 13px; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 12px; }
"""


def render_html(report: Report) -> str:
    """The whole page."""
    name = report.subjects[0] if report.subjects else "nothing"
    facts = {"config": report.config, "model": report.model, "ngram": report.ngram}
    facts |= {"corpus_sha256": report.corpus_sha256, "cases": report.num_cases_by_package}
    sections = [
        f"<h1>Evaluation: {escape(name)}</h1>",
        *(f'<p class="warning">{escape(text)}</p>' for text in report.warnings),
        "<h2>Exact match of the rest of a line</h2>",
        _chart(report),
        *(f"<p>{escape(line)}</p>" for line in comparison_lines(report)),
        _case_table(report),
        f'<p class="note">{escape(INTERVALS_NOTE)} Predictions are greedy. The model sees the file before and '
        "after the hole, the baselines only what is before it.</p>",
        "<h2>Whole files, left to right</h2>",
        _file_table(report),
        "<h2>How to repeat it</h2>",
        f"<pre>{escape(msgspec.json.format(msgspec.json.encode(facts), indent=1).decode())}</pre>",
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Paceline evaluation: {escape(name)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _case_table(report: Report) -> str:
    headings = ("cases", "subject", "n", "files", "exact match", "Wilson", "edit similarity")
    rows = (
        (
            title_of(row.group),
            row.subject,
            str(row.num_cases),
            str(row.num_files),
            percent(row.exact),
            f"({100 * row.exact_wilson.low:.1f}, {100 * row.exact_wilson.high:.1f})",
            number(row.edit_similarity, 3),
            number(row.correct_prefix_chars, 1),
            number(row.bits_per_byte) if row.bits_per_byte else "–",
        )
        for row in report.rows
    )
    return _table((*headings, "right characters", "bits per byte"), rows)


def _file_table(report: Report) -> str:
    rows = (
        ("first lines of files", row.subject, str(row.num_files), number(row.bits_per_byte, 3))
        for row in report.files
    )
    return _table(("text", "subject", "files", "bits per byte"), rows)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    lines = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in rows)
    return (
        f"<table><tr>{head}</tr>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
    )


def _chart(report: Report) -> str:
    """Horizontal bars of exact match with their intervals, grouped."""
    most = max((row.exact.high for row in report.rows), default=1.0) or 1.0
    parts: list[str] = []
    y, previous = GAP, ""
    for row in report.rows:
        if row.group != previous:
            y += GAP if previous else 0
            parts.append(_text(LABEL_WIDTH - 8, y + 12, title_of(row.group), anchor="end"))
            previous = row.group
        parts.append(_bar(row, y, most, COLOURS[report.subjects.index(row.subject) % len(COLOURS)]))
        y += BAR_HEIGHT
    y += GAP
    for i, subject in enumerate(report.subjects):
        colour = COLOURS[i % len(COLOURS)]
        parts.append(
            f'<rect x="{LABEL_WIDTH + 160 * i}" y="{y}" width="12" height="12" fill="{colour}"/>'
        )
        parts.append(_text(LABEL_WIDTH + 160 * i + 18, y + 11, subject))
    width = LABEL_WIDTH + PLOT_WIDTH + 80
    return (
        f'<svg role="img" aria-label="Exact match by group and subject" width="{width}" height="{y + 24}" '
        f'viewBox="0 0 {width} {y + 24}" font-size="12" font-family="system-ui, sans-serif">'
        + "\n".join(parts)
        + "</svg>"
    )


def _bar(row: Row, y: int, most: float, colour: str) -> str:
    low, value, high = (
        LABEL_WIDTH + PLOT_WIDTH * share / most
        for share in (row.exact.low, row.exact.value, row.exact.high)
    )
    middle = y + BAR_HEIGHT / 2
    return (
        f'<rect x="{LABEL_WIDTH}" y="{y + 1}" width="{value - LABEL_WIDTH:.1f}" height="{BAR_HEIGHT - 2}" '
        f'fill="{colour}"><title>{escape(row.subject)}: {percent(row.exact)}</title></rect>'
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="#111" stroke-width="1.5"/>'
        + _text(high + 6, y + 12, f"{100 * row.exact.value:.1f} %")
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
