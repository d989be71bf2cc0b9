"""A replay's report as one HTML page: tables and inline SVG, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from paceline.complete.config import CompleteConfig
from paceline.evals.html import STYLE
from paceline.evals.replay.ablation import (
    NONE,
    ablated,
    ablation_figures,
    capped_rows,
    change_text,
    relative_text,
    value_text,
)
from paceline.evals.replay.plots import (
    Bar,
    BarGroup,
    Point,
    Series,
    bar_chart,
    line_chart,
    range_chart,
)
from paceline.evals.replay.report import HEADLINE, KEY_FIGURES, KeyFigure, Report, Row
from paceline.evals.replay.summary import NOTE, sentences
from paceline.evals.replay.variants import BASELINE, BRAIN

MAX_DROPS = 20
WIDE = "th { white-space: normal; vertical-align: bottom; } .wide { overflow-x: auto; }"
"""Of tables with many columns: headings wrap, and the table scrolls by itself."""
USER_STATEMENT = (
    "The user is simulated. They notice ghost text if no key of theirs comes first, read it until it turns "
    "wrong, and then do what saves most time, if that is enough: type on, accept all and delete a wrong end, or accept "
    "its beginning by lines and words. They know what they want: what the real edit typed. No draw is made. What "
    "each step costs, and where the number is from, is in traces/user.py."
)
HEADLINE_FIGURE = next(figure for figure in KEY_FIGURES if figure.name == HEADLINE)


def render_html(report: Report) -> str:
    """The whole page."""
    title = f"Replay: {report.config.source}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="warning">{escape(text)}</p>' for text in report.warnings),
        f"<p>{escape(_what_was_typed(report))}</p>",
        "<h2>Baseline and brain</h2>",
        _note(
            "The baseline asks on every key, shows everything, and stops at the newline. " + NOTE
        ),
        _comparison(report.rows),
        *_documented(report),
        *_ablation(report),
        *_lengths(report),
        *_latency(report),
        *_drops(report),
        *_gate(report),
        *_modes(report),
        *_users(report),
        *_projects(report),
        *_repeat(report),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{WIDE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _what_was_typed(report: Report) -> str:
    whole = report.row(BRAIN) or report.rows[0]
    counts = whole.result.counts
    num_keys = int(counts["num_moments"] + counts["num_spared"])
    return (
        f"{len(report.traces)} edited files of {len(report.num_traces_by_project)} projects, {num_keys:,} keystrokes "
        f"pressed or spared, {whole.result.figures.num_chances:,} opportunities (keys after which the real edit goes "
        f"on); user: {report.config.user}."
    )


def _comparison(rows: Sequence[Row], *, is_slice: bool = False) -> str:
    """Table and bars of baseline and brain."""
    chosen = [row for row in rows if row.name in (BASELINE, BRAIN)]
    whole = next((row for row in chosen if row.name == BRAIN), None)
    has_change = whole is not None and bool(whole.against)
    headings = ["", *(row.name for row in chosen), *(["change"] if has_change else [])]
    lines: list[list[str]] = []
    groups: list[BarGroup] = []
    for figure in KEY_FIGURES:
        if is_slice and figure.top == "spared":
            continue  # what is spared is known of whole traces only
        found = [
            (row.slice_intervals if is_slice else row.intervals).get(figure.name) for row in chosen
        ]
        cells = [value_text(one, figure) for one in found]
        if whole is not None and has_change:
            changes = whole.slice_differences if is_slice else whole.differences
            cells.append(relative_text(changes.get(figure.name), figure))
        lines.append([_titled(figure), *cells])
        bars = [
            Bar(row.name, one, value_text(one, figure, has_interval=False))
            for row, one in zip(chosen, found, strict=True)
        ]
        groups.append(BarGroup(figure.title, bars))
    for title, name in (
        ("latency, p50 ms", "latency_p50_ms"),
        ("latency, p95 ms", "latency_p95_ms"),
        ("own time of the brain, p50 ms", "own_p50_ms"),
        ("own time of the brain, p95 ms", "own_p95_ms"),
        ("opportunities", "num_chances"),
        ("shown", "num_shown"),
    ):
        figures = [row.result.slice if is_slice else row.result.figures for row in chosen]
        lines.append([title, *(_plain(getattr(one, name)) for one in figures)])
    table = _table(headings, lines)
    return table if is_slice else table + bar_chart(groups, "Key figures of baseline and brain")


def _documented(report: Report) -> list[str]:
    if not report.documented:
        return []
    return [
        "<h2>After a comment or docstring</h2>",
        _note(
            "The same traces, asked only where a comment or docstring has just said what comes next, and for the "
            "keys that follow."
        ),
        _comparison(report.documented),
        "<h3>At the very place</h3>",
        _comparison(report.documented, is_slice=True),
    ]


def _ablation(report: Report) -> list[str]:
    rows = ablated(report)
    if len(rows) < 2:
        return []
    figures = ablation_figures()
    cells = [
        [row.name, *(change_text(row.differences.get(figure.name), figure) for figure in figures)]
        for row in rows
    ]
    bars = [
        Bar(row.name, found.difference if found else None, change_text(found, HEADLINE_FIGURE))
        for row in rows
        for found in [row.differences.get(HEADLINE)]
    ]
    return [
        "<h2>What each part is worth</h2>",
        _note(
            "Differences to the whole brain in characters saved; below 0: the brain is worse without it. Of as many "
            "rows as this, one in twenty is beyond the noise by chance."
        ),
        range_chart(bars, f"Differences in {HEADLINE_FIGURE.title}"),
        _table(["variant", *map(_titled, figures)], cells),
    ]


def _lengths(report: Report) -> list[str]:
    rows = capped_rows(report)
    if not rows:
        return []
    sections = ["<h2>How long a completion may be</h2>"]
    for field, title in (
        ("single_line_max_tokens", "single line"),
        ("multi_line_max_tokens", "several lines"),
    ):
        found = sorted(
            (float(row.result.config[field]), row) for row in rows if row.name.startswith(title)
        )
        kept = [
            Point(cap, one.value, one.low, one.high)
            for cap, row in found
            if (one := row.intervals.get(HEADLINE)) is not None
        ]
        late = [
            Point(cap, value)
            for cap, row in found
            if (value := row.result.figures.latency_p95_ms) is not None
        ]
        axis = f"most tokens, {title}"
        sections += [
            line_chart(
                [Series(HEADLINE_FIGURE.title, kept)], axis, x_title=axis, y_title="characters"
            ),
            line_chart([Series("latency, p95 ms", late)], axis, x_title=axis, y_title="ms"),
        ]
    figures = ablation_figures()
    headings = ["variant", *map(_titled, figures), "latency p50 ms", "latency p95 ms"]
    cells = [
        [
            row.name,
            *(value_text(row.intervals.get(figure.name), figure) for figure in figures),
            _plain(row.result.figures.latency_p50_ms),
            _plain(row.result.figures.latency_p95_ms),
        ]
        for row in rows
    ]
    return [*sections, _table(headings, cells)]


def _latency(report: Report) -> list[str]:
    sections = ["<h2>Where the time goes</h2>"]
    for row in _pair(report):
        spans = sorted(row.result.spans.items(), key=lambda item: -item[1].total_ms)
        total = sum(span.total_ms for _, span in spans) or 1.0
        cells = [
            [
                name,
                f"{span.num:,}",
                _plain(span.p50_ms),
                _plain(span.p95_ms),
                f"{100 * span.total_ms / total:.1f} %",
            ]
            for name, span in spans
        ]
        headings = [f"stage ({row.name})", "times", "p50 ms", "p95 ms", "share of all time"]
        sections.append(_table(headings, cells))
    return sections


def _drops(report: Report) -> list[str]:
    rows = _pair(report)
    reasons = list(dict.fromkeys(name for row in reversed(rows) for name in row.result.drops))
    cells = [
        [reason, *(f"{row.result.drops.get(reason, 0):,}" for row in rows)]
        for reason in reasons[:MAX_DROPS]
    ]
    sources = list(dict.fromkeys(name for row in rows for name in row.result.sources))
    from_where = [
        [name, *(f"{row.result.sources.get(name, 0):,}" for row in rows)] for name in sources
    ]
    names = [row.name for row in rows]
    return [
        "<h2>Why nothing was shown</h2>",
        _table(["reason", *names], cells),
        "<h2>Where completions came from</h2>",
        _table(["source", *names], from_where),
    ]


def _gate(report: Report) -> list[str]:
    gate = report.gate
    if gate is None:
        return []
    points = [
        Point(one.mean_probability, one.kept.value, one.kept.low, one.kept.high)
        for one in gate.bins
    ]
    extra = ""
    if gate.kept_share_of_shown is not None and gate.kept_chars_share is not None:
        extra = (
            f"<p>Of what it shows, {100 * gate.kept_share_of_shown:.1f} % is kept, and "
            f"{100 * gate.kept_chars_share:.1f} % of all characters that would be kept.</p>"
        )
    first = next(iter(sentences(report)))
    return [
        "<h2>The gate</h2>",
        f"<p>{escape(first)}</p>{extra}",
        line_chart(
            [Series("kept, by tenths of the completions", points)],
            "Calibration of the gate",
            x_title="probability that the gate gives",
            y_title="share kept",
            y_range=(0.0, max(0.1, *(one.kept.high for one in gate.bins))),
            has_diagonal=True,
        ),
    ]


def _modes(report: Report) -> list[str]:
    if not report.modes:
        return []
    sections = [
        "<h2>One line or several</h2>",
        _note(
            "Right is: several lines are offered where the real edit went on for at least one more line of the "
            f"cursor's block. The brain's threshold is {CompleteConfig().multi_line_threshold}."
        ),
    ]
    for group in dict.fromkeys(one.group for one in report.modes):
        found = [one for one in report.modes if one.group == group]
        precision = [
            Point(one.threshold, one.precision.value, one.precision.low, one.precision.high)
            for one in found
            if one.precision is not None
        ]
        recall = [
            Point(one.threshold, one.recall.value, one.recall.low, one.recall.high)
            for one in found
            if one.recall is not None
        ]
        first = found[0]
        sections += [
            f"<h3>{escape(group)}: {first.num_moments:,} moments, {first.num_wanting_more:,} wanting more</h3>",
            line_chart(
                [Series("precision", precision), Series("recall", recall)],
                f"Precision and recall by threshold, {group}",
                x_title="threshold",
                y_title="share",
                y_range=(0.0, 1.0),
            ),
        ]
    cells = [
        [
            one.group,
            f"{one.threshold:.2f}",
            f"{one.num_offered:,}",
            f"{one.num_right:,}",
            f"{100 * one.accuracy.value:.1f} %" if one.accuracy else NONE,
            f"{100 * (one.accuracy_of_single_line or 0):.1f} %",
        ]
        for one in report.modes
    ]
    headings = ["moments", "threshold", "offered", "right", "accuracy", "always a single line"]
    return [*sections, _table(headings, cells)]


def _users(report: Report) -> list[str]:
    fields = msgspec.structs.asdict(report.user)
    sections = [
        "<h2>The user</h2>",
        f"<p>{escape(USER_STATEMENT)}</p>",
        _table(
            ["cost", report.config.user], [[name, str(value)] for name, value in fields.items()]
        ),
    ]
    if not report.users:
        return sections
    figures = [figure for figure in KEY_FIGURES if figure.name != "asked_per_opportunity"]
    cells: list[list[str]] = []
    for user in report.users:
        for row in user.rows:
            values = [value_text(row.intervals.get(figure.name), figure) for figure in figures]
            cells.append([user.name, row.name, *values])
            if row.against:
                changes = [
                    relative_text(row.differences.get(figure.name), figure) for figure in figures
                ]
                cells.append([user.name, "change", *changes])
    return [*sections, "<h3>Other users</h3>", _table(["user", "", *map(_titled, figures)], cells)]


def _projects(report: Report) -> list[str]:
    rows = _pair(report)
    cells: list[list[str]] = []
    for project, num_traces in report.num_traces_by_project.items():
        for row in rows:
            one = row.result.by_project.get(project)
            if one is not None:
                values = (one.kept_chars_per_opportunity, one.spared_share, one.kept_share)
                cells.append(
                    [
                        project,
                        row.name,
                        str(num_traces),
                        f"{one.num_chances:,}",
                        *map(_three, values),
                    ]
                )
    headings = [
        "project",
        "",
        "files",
        "opportunities",
        HEADLINE_FIGURE.title,
        "keystrokes spared",
        "kept share",
    ]
    return ["<h2>By project</h2>", _table(headings, cells)]


def _repeat(report: Report) -> list[str]:
    facts = {"config": msgspec.structs.asdict(report.config), **report.facts}
    raw = msgspec.json.format(msgspec.json.encode(facts), indent=1).decode()
    return [
        "<h2>How to repeat it</h2>",
        f"<pre>{escape(report.config.command)}</pre>" if report.config.command else "",
        f"<pre>{escape(raw)}</pre>",
    ]


def _pair(report: Report) -> list[Row]:
    return [row for row in (report.row(BASELINE), report.row(BRAIN)) if row is not None]


def _titled(figure: KeyFigure) -> str:
    return f"{figure.title} ({'more' if figure.is_more_better else 'less'} is better)"


def _plain(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def _three(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    lines = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'
