"""What each part is worth: the whole brain without it, as a table. Markdown for docs/completion.md."""

from __future__ import annotations

from collections.abc import Iterable

from paceline.evals.intervals import Interval
from paceline.evals.replay.report import HEADLINE, KEY_FIGURES, Difference, KeyFigure, Report, Row
from paceline.evals.replay.variants import BASELINE, BRAIN

ABLATION_FIGURES = (
    HEADLINE,
    "kept_share",
    "flickers_per_100_keys",
    "tokens_per_kept_char",
    "net_ms_per_opportunity",
)
WITHIN_NOISE, NO_CHANGE = "within noise", "no change"
NONE, MINUS = "–", "−"
_BY_NAME = {figure.name: figure for figure in KEY_FIGURES}


def ablation_figures() -> list[KeyFigure]:
    """The figures of the table, in its order."""
    return [_BY_NAME[name] for name in ABLATION_FIGURES]


def ablated(report: Report) -> list[Row]:
    """The variants that are the brain less something: the one that loses most by it first."""
    rows = [row for row in report.rows if row.name.startswith("without ")]
    return sorted(rows, key=_effect)


def capped_rows(report: Report) -> list[Row]:
    """The variants that have other limits on length, as they ran."""
    names = (BASELINE, BRAIN)
    return [
        row for row in report.rows if row.name not in names and not row.name.startswith("without ")
    ]


def ablation_markdown(report: Report) -> str:
    """The table: differences to the whole brain, with 95 % intervals."""
    figures = ablation_figures()
    whole = report.row(BRAIN)
    lines = [
        "| " + " | ".join(["variant", *(figure.title for figure in figures)]) + " |",
        "|" + "---|" + "---:|" * len(figures),
    ]
    if whole is not None:
        values = (value_text(whole.intervals.get(figure.name), figure) for figure in figures)
        lines.append(_line(["the whole brain", *values]))
    for row in ablated(report):
        cells = (change_text(row.differences.get(figure.name), figure) for figure in figures)
        lines.append(_line([row.name, *cells]))
    note = (
        f"Differences to the whole brain on the same {len(report.traces)} traces of {report.config.source}, 95 % "
        f"intervals of a paired bootstrap over traces; “{WITHIN_NOISE}” where the interval includes 0, which one in twenty true zeros does not. Sorted by "
        f"{_BY_NAME[HEADLINE].title}."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def value_text(interval: Interval | None, figure: KeyFigure, *, has_interval: bool = True) -> str:
    """`0.71 [0.61, 0.82]`, shares as percentages."""
    if interval is None:
        return NONE
    value, low, high = (
        _number(number, figure) for number in (interval.value, interval.low, interval.high)
    )
    unit = " %" if figure.is_share else ""
    return f"{value}{unit} [{low}, {high}]" if has_interval else f"{value}{unit}"


def change_text(difference: Difference | None, figure: KeyFigure) -> str:
    """`−0.12 [−0.19, −0.05]`; in points of shares; says so if it is within noise, or no change at all."""
    if difference is None:
        return NONE
    one = difference.difference
    if one.value == one.low == one.high == 0:
        return NO_CHANGE
    value, low, high = (
        _number(number, figure, is_signed=True) for number in (one.value, one.low, one.high)
    )
    text = f"{value} [{low}, {high}]"
    return f"{text} {WITHIN_NOISE}" if difference.is_within_noise else text


def relative_text(difference: Difference | None, figure: KeyFigure) -> str:
    """`+41 % [+29, +55]`, or that it is within noise; the plain difference where there is no ratio."""
    if difference is None or difference.relative is None or figure.is_signed:
        return change_text(difference, figure)
    one = difference.relative
    value, low, high = (
        f"{100 * number:+.0f}".replace("-", MINUS) for number in (one.value, one.low, one.high)
    )
    noise = f" {WITHIN_NOISE}" if difference.is_within_noise else ""
    return f"{value} % [{low}, {high}]{noise}"


def _number(value: float, figure: KeyFigure, *, is_signed: bool = False) -> str:
    if figure.is_share:
        value *= 100
    digits = 1 if figure.is_share or figure.top == "net_ms" else 3
    if figure.bottom == "kept_chars" or figure.top == "flickers_100":
        digits = 2
    text = f"{value:+.{digits}f}" if is_signed else f"{value:.{digits}f}"
    return text.replace("-", MINUS)


def _effect(row: Row) -> tuple[bool, float]:
    found = row.differences.get(HEADLINE)
    return (found is None, 0.0 if found is None else found.difference.value)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
