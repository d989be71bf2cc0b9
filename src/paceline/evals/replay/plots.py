"""Charts as inline SVG: bars and ranges with intervals, lines over one axis. Each has a text for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from paceline.evals.html import COLOURS
from paceline.evals.intervals import Interval

LABEL_WIDTH, PLOT_WIDTH, RIGHT_WIDTH = 300, 380, 190
BAR_HEIGHT, GAP = 16, 10
CHART_WIDTH, CHART_HEIGHT, MARGIN = 460, 240, 48
INK, PALE = "#111", "#ddd"


class Bar(NamedTuple):
    """One bar of a group; None draws nothing but the label."""

    name: str
    interval: Interval | None
    text: str


class BarGroup(NamedTuple):
    """Bars on one scale."""

    title: str
    bars: Sequence[Bar]


class Point(NamedTuple):
    """A place in a line chart."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


class Series(NamedTuple):
    """A line of a chart."""

    name: str
    points: Sequence[Point]


def bar_chart(groups: Sequence[BarGroup], label: str) -> str:
    """Horizontal bars from 0 with their intervals; each group has a scale of its own.

    What is below 0 is drawn to the left of the group's own zero line.
    """
    names = list(dict.fromkeys(bar.name for group in groups for bar in group.bars))
    parts: list[str] = []
    y = GAP
    for group in groups:
        parts.append(_text(LABEL_WIDTH - 8, y + 12, group.title, anchor="end"))
        low, high = _range([bar.interval for bar in group.bars])
        for bar in group.bars:
            parts.append(_bar(bar, y, low, high, COLOURS[names.index(bar.name) % len(COLOURS)]))
            y += BAR_HEIGHT
        y += GAP
    parts.append(_legend(names, LABEL_WIDTH, y))
    return _svg(label, LABEL_WIDTH + PLOT_WIDTH + RIGHT_WIDTH, y + 24, parts)


def range_chart(bars: Sequence[Bar], label: str) -> str:
    """A point and its interval for each; a line at 0. Pale where the interval includes 0."""
    low, high = _range([bar.interval for bar in bars])
    parts: list[str] = []
    y = GAP
    for bar in bars:
        parts.append(_text(LABEL_WIDTH - 8, y + 12, bar.name, anchor="end"))
        if bar.interval is not None:
            one = bar.interval
            colour = "#9ca3af" if one.low <= 0 <= one.high else COLOURS[0]
            left, middle, right = (_across(x, low, high) for x in (one.low, one.value, one.high))
            parts.append(
                f'<path d="M{left:.1f} {y + 8}H{right:.1f}" stroke="{colour}" stroke-width="3"/>'
                f'<circle cx="{middle:.1f}" cy="{y + 8}" r="4" fill="{colour}"/>'
            )
        parts.append(_text(LABEL_WIDTH + PLOT_WIDTH + 10, y + 12, bar.text))
        y += BAR_HEIGHT + 4
    zero = _across(0.0, low, high)
    parts.append(f'<path d="M{zero:.1f} {GAP / 2}V{y}" stroke="{INK}" stroke-width="1"/>')
    return _svg(label, LABEL_WIDTH + PLOT_WIDTH + RIGHT_WIDTH + 60, y + GAP, parts)


def line_chart(
    series: Sequence[Series],
    label: str,
    *,
    x_title: str,
    y_title: str,
    y_range: tuple[float, float] | None = None,
    has_diagonal: bool = False,
) -> str:
    """Lines with points; a bar through each point that has an interval."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    x_low, x_high = _spread([point.x for point in points])
    tops = [value for point in points for value in (point.y, point.high) if value is not None]
    y_low, y_high = y_range or (min(0.0, *(point.y for point in points)), max(tops) or 1.0)

    def place(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (x - x_low) / (x_high - x_low) * CHART_WIDTH
        down = MARGIN / 2 + (y_high - y) / ((y_high - y_low) or 1.0) * CHART_HEIGHT
        return across, down

    parts = _axes(x_low, x_high, y_low, y_high, x_title, y_title)
    if has_diagonal:
        (x0, y0), (x1, y1) = place(x_low, x_low), place(x_high, x_high)
        parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{PALE}"/>')
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(point.x, point.y) for point in one.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point, (x, y) in zip(one.points, places, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            if point.low is not None and point.high is not None:
                top, bottom = place(point.x, point.high)[1], place(point.x, point.low)[1]
                parts.append(f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}"/>')
    y = CHART_HEIGHT + MARGIN + 26
    parts.append(_legend([one.name for one in series], MARGIN, y))
    return _svg(label, CHART_WIDTH + 2 * MARGIN, y + 20, parts)


def _bar(bar: Bar, y: int, low: float, high: float, colour: str) -> str:
    right = LABEL_WIDTH + PLOT_WIDTH + 10
    text = _text(right, y + 12, bar.text)
    if bar.interval is None:
        return text
    zero, value = _across(0.0, low, high), _across(bar.interval.value, low, high)
    start, end = _across(bar.interval.low, low, high), _across(bar.interval.high, low, high)
    return (
        f'<rect x="{min(zero, value):.1f}" y="{y + 1}" width="{abs(value - zero):.1f}" '
        f'height="{BAR_HEIGHT - 2}" fill="{colour}"><title>{escape(bar.name)}: {escape(bar.text)}</title></rect>'
        f'<path d="M{start:.1f} {y + BAR_HEIGHT / 2}H{end:.1f}" stroke="{INK}" stroke-width="1.5"/>{text}'
    )


def _range(intervals: Sequence[Interval | None]) -> tuple[float, float]:
    """From the lowest end to the highest, with 0."""
    found = [one for one in intervals if one is not None]
    low = min((one.low for one in found), default=0.0)
    high = max((one.high for one in found), default=1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    return low, high if high > low else low + 1.0


def _across(value: float, low: float, high: float) -> float:
    return LABEL_WIDTH + PLOT_WIDTH * (value - low) / (high - low)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _axes(
    x_low: float, x_high: float, y_low: float, y_high: float, x_title: str, y_title: str
) -> list[str]:
    left, right = MARGIN, MARGIN + CHART_WIDTH
    top, bottom = MARGIN / 2, MARGIN / 2 + CHART_HEIGHT
    return [
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>',
        _text(left, bottom + 16, f"{x_low:.3g}"),
        _text(right, bottom + 16, f"{x_high:.3g}", anchor="end"),
        _text((left + right) / 2, bottom + 16, x_title, anchor="middle"),
        _text(left - 6, bottom, f"{y_low:.3g}", anchor="end"),
        _text(left - 6, top + 10, f"{y_high:.3g}", anchor="end"),
        _text(left + 6, top + 10, y_title),
    ]


def _legend(names: Sequence[str], x: float, y: float) -> str:
    parts: list[str] = []
    for number, name in enumerate(names):
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="12" height="12" fill="{COLOURS[number % len(COLOURS)]}"/>'
            + _text(x + 18, y + 11, name)
        )
        x += 40 + 7 * len(name)
    return "".join(parts)


def _svg(label: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="12" font-family="system-ui, sans-serif">'
        + "\n".join(parts)
        + "</svg>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
