"""From outcomes to a report: paired differences, tables, the page, and going on after a stop."""

from __future__ import annotations

import io
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from paceline.complete.gate import Gate
from paceline.core.errors import ConfigError
from paceline.core.progress import Progress
from paceline.evals.intervals import Interval
from paceline.evals.replay.ablation import ablation_markdown, change_text, relative_text, value_text
from paceline.evals.replay.drive import GateRow
from paceline.evals.replay.fit import MIN_ROWS, fit_gate
from paceline.evals.replay.html import render_html
from paceline.evals.replay.publish import load_report, save_report
from paceline.evals.replay.records import (
    COLUMNS,
    RESULTS_NAME,
    Record,
    RecordFile,
    columns_of,
    result_of,
)
from paceline.evals.replay.report import (
    HEADLINE,
    KEY_FIGURES,
    Comparer,
    Difference,
    Report,
    StudyConfig,
)
from paceline.evals.replay.run import Outcome
from paceline.evals.replay.study import Study, gate_report, run_study, variants_of
from paceline.evals.replay.summary import print_summary
from paceline.evals.replay.tally import Tally, quantile
from paceline.evals.replay.variants import BASELINE, BRAIN, Variant, baseline, brain
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from tests.evals.replay.scripts import (
    FILE,
    Oracle,
    always_right,
    always_wrong,
    as_items,
    run,
    sometimes_right,
    typed,
    typed_at,
)

TRACES = [typed(seed=seed, num_holes=2) for seed in range(3)]
CONFIG = StudyConfig(source="three files", max_keys=60, num_resamples=200)
CHOSEN = (
    BASELINE, BRAIN, "without gate", "without cache", "without step drop_blank",
    "single line, 4 tokens", "single line, 16 tokens", "several lines, 48 tokens",
)  # fmt: skip
BY_NAME = {figure.name: figure for figure in KEY_FIGURES}


def study(
    folder: Path, answer: Callable[[str, str], str] = sometimes_right, **changes: bool
) -> Study:
    generator = Oracle([FILE], answer)
    return run_study(generator, as_items(*TRACES), replace(CONFIG, **changes), folder, Progress())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report with all its parts, of a small replay."""
    config = replace(
        CONFIG, max_keys=50, is_ablated=True, is_capped=True, is_user_swept=True, has_modes=True
    )
    text = '    """Return the area of so many circles and squares."""\n    circle_area = area_of_circle(radius)'
    traces = as_items(TRACES[0], typed_at(text, FILE.index(text)))
    few = [one for one in variants_of(config) if one.name in CHOSEN]
    folder = tmp_path_factory.mktemp("replay")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paceline.evals.replay.study.variants_of", lambda _: few)
        generator = Oracle([FILE], sometimes_right)
        return run_study(generator, traces, config, folder, Progress()).report


def test_a_report_is_read_as_it_was_written(whole: Report, tmp_path: Path) -> None:
    page = save_report(whole, tmp_path)
    assert load_report(tmp_path) == whole
    assert page.read_text(encoding="utf-8") == render_html(whole)
    assert "radius" not in (tmp_path / "report.json").read_text(), "no code in it"


def test_the_page_needs_nothing_else(whole: Report) -> None:
    page = render_html(whole)
    assert "http" not in page
    assert "<script" not in page
    charts = [part.split("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]
    assert len(charts) > 8
    for chart in charts:
        assert "nan" not in chart
        xml.dom.minidom.parseString("<svg" + chart)
    for word in ("What each part is worth", "How long", "The gate", "One line or several", "hasty"):
        assert word in page


def test_every_part_is_there(whole: Report) -> None:
    names = [row.name for row in whole.rows]
    assert names == list(CHOSEN)
    assert {row.against for row in whole.rows} == {"", BASELINE, BRAIN}
    assert len({row.result.figures.num_chances for row in whole.rows}) == 1
    assert [user.name for user in whole.users] == [
        "typical", "hasty", "careful", "quick typist", "whole only",
    ]  # fmt: skip
    assert whole.default_modes() is not None
    assert whole.gate is not None
    assert sum(one.num_rows for one in whole.gate.bins) == whole.gate.figures.num_rows


def test_tables_for_people(whole: Report) -> None:
    table = ablation_markdown(whole)
    lines = table.split("\n")
    assert lines[2].startswith("| the whole brain |")
    assert sum(line.startswith("| without ") for line in lines) == sum(
        row.name.startswith("without ") for row in whole.rows
    )
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    console = Console(width=140, record=True, file=io.StringIO())
    print_summary(whole, console)
    text = console.export_text()
    assert "characters saved per opportunity" in text
    assert "baseline" in text


def test_a_bare_report_has_a_page_as_well(tmp_path: Path) -> None:
    bare = study(tmp_path, always_wrong, has_baseline=False).report
    assert [row.name for row in bare.rows] == [BRAIN, "without gate"]
    page = render_html(bare)
    assert "What each part is worth" not in page
    assert "the whole brain" in ablation_markdown(bare)


def test_better_is_better() -> None:
    traces = [typed(seed=seed) for seed in range(6)]
    results = [
        result_of(run(Oracle([FILE], answer), variant, *traces), variant, "typical")
        for answer, variant in (
            (always_wrong, baseline()),
            (always_right, brain(is_gated=False)),
        )
    ]
    comparer = Comparer(len(traces), num_resamples=300, seed=0)
    base, whole = comparer.rows(results)
    assert base.against == ""
    assert whole.against == BASELINE
    saved = whole.differences[HEADLINE]
    assert saved is not None
    assert saved.difference.low > 0
    assert not saved.is_within_noise
    assert saved.relative is None, "there is no share of nothing"
    assert base.intervals["tokens_per_kept_char"] is None
    assert whole.intervals["spared_share"] is not None
    for figure in KEY_FIGURES:
        value = getattr(whole.result.figures, figure.name)
        interval = whole.intervals[figure.name]
        assert interval is not None
        assert interval.value == pytest.approx(value), "figures and columns say the same"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
@settings(max_examples=20)
def test_no_change_is_no_change(kept: list[int]) -> None:
    tallies = [Tally(num_kept_chars=n, num_chances=60, num_shown_chars=n + 1) for n in kept]
    result = _result(baseline(), tallies)
    rows = Comparer(len(kept), num_resamples=100, seed=0).rows(
        [result, msgspec.structs.replace(result, name=BRAIN)]
    )
    for name, change in rows[1].differences.items():
        if change is not None:
            assert change.difference == Interval(0.0, 0.0, 0.0)
            assert change.is_within_noise
            assert change_text(change, BY_NAME[name]) == "no change"


def test_words_for_differences() -> None:
    figure = BY_NAME["kept_share"]
    noise = Difference(difference=Interval(-0.01, -0.05, 0.02), relative=Interval(-0.1, -0.4, 0.2))
    sure = Difference(difference=Interval(0.2, 0.1, 0.3), relative=Interval(0.5, 0.25, 0.75))
    assert change_text(noise, figure) == "−1.0 [−5.0, +2.0] within noise"
    assert change_text(sure, figure) == "+20.0 [+10.0, +30.0]"
    assert relative_text(noise, figure) == "−10 % [−40, +20] within noise"
    assert relative_text(sure, figure) == "+50 % [+25, +75]"
    assert relative_text(sure, BY_NAME["net_ms_per_opportunity"]) == "+0.2 [+0.1, +0.3]"
    assert value_text(Interval(0.5, 0.4, 0.6), figure) == "50.0 % [40.0, 60.0]"
    assert (
        value_text(None, figure) == change_text(None, figure) == relative_text(None, figure) == "–"
    )


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    generator = Stopping([FILE], sometimes_right)
    generator.stop_at = tmp_path / RESULTS_NAME
    with pytest.raises(KeyboardInterrupt):
        run_study(generator, as_items(*TRACES), CONFIG, tmp_path, Progress())
    kept = (tmp_path / RESULTS_NAME).read_bytes()
    assert kept.count(b"\n") == 1, "the baseline was finished"
    (tmp_path / RESULTS_NAME).write_bytes(kept + kept[: len(kept) // 2])  # as if cut off in writing
    again = Oracle([FILE], sometimes_right)
    report = run_study(again, as_items(*TRACES), CONFIG, tmp_path, Progress()).report
    fresh = study(tmp_path / "fresh").report
    for one, other in zip(report.rows, fresh.rows, strict=True):
        assert _without_times(one.result.counts) == _without_times(other.result.counts)
        assert one.result.by_trace == other.result.by_trace
    num_calls = len(again.calls)
    repeated = run_study(again, as_items(*TRACES), CONFIG, tmp_path, Progress()).report
    assert repeated.rows == report.rows
    assert len(again.calls) == num_calls, "nothing was computed again"


def test_other_traces_are_another_study(tmp_path: Path) -> None:
    generator = Oracle([FILE], always_right)
    run_study(generator, as_items(*TRACES), CONFIG, tmp_path, Progress())
    num_lines = len((tmp_path / RESULTS_NAME).read_bytes().splitlines())
    run_study(generator, as_items(*TRACES[:2]), CONFIG, tmp_path, Progress())
    assert len((tmp_path / RESULTS_NAME).read_bytes().splitlines()) == 2 * num_lines


def test_variants_of_a_study() -> None:
    few = variants_of(CONFIG)
    many = variants_of(replace(CONFIG, is_ablated=True, is_capped=True))
    assert [one.name for one in few] == [BASELINE, BRAIN, "without gate"]
    assert [one.name for one in many[:3]] == [one.name for one in few]
    assert len({one.name for one in many}) == len(many) > 40


def test_a_gate_is_fitted_to_what_was_seen() -> None:
    traces = [typed(seed=seed, num_holes=3) for seed in range(6)]
    rows = run(Oracle([FILE], sometimes_right), brain(is_gated=False), *traces).rows
    assert rows
    rows = (rows * (MIN_ROWS // len(rows) + 1))[:MIN_ROWS]
    weights = fit_gate(rows, source="test", fitted_at="2026-01-01", key_ms=240.0)
    assert weights.metadata.fitted
    report = gate_report(Gate(weights), rows)
    assert 0 <= report.shown_share <= 1
    assert report.figures.auc > 0.5


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_gate_needs_enough_of_both_kinds(is_kept: bool) -> None:
    traces = [typed(seed=1)]
    row = run(Oracle([FILE], always_wrong), brain(is_gated=False), *traces).rows[0]
    same = [msgspec.structs.replace(row, is_kept=is_kept)] * MIN_ROWS
    for rows in (same, same[:3], list[GateRow]()):
        with pytest.raises(ConfigError, match="too few to fit a gate"):
            fit_gate(rows, source="test", fitted_at="", key_ms=240.0)


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    record = Record(key="k", result=_result(baseline(), [Tally()]))
    file = RecordFile(tmp_path)
    file.add(record)
    path = tmp_path / RESULTS_NAME
    path.write_bytes(b'{"key": 1}\n\xff\xfe\n' + path.read_bytes() + b'{"key": "cut')
    again = RecordFile(tmp_path)
    assert again.get("k") == record
    again.add(msgspec.structs.replace(record, key="other"))
    assert RecordFile(tmp_path).get("other") is not None


@given(st.lists(st.floats(0, 1e4), max_size=30), st.integers(1, 99))
def test_percentiles(values: list[float], percent: int) -> None:
    found = quantile(values, percent)
    if values:
        assert found is not None
        assert min(values) - 1e-6 <= found <= max(values) + 1e-6
    else:
        assert found is None


def test_columns_are_of_numbers() -> None:
    columns = columns_of([Tally(num_kept_chars=3, num_chances=4), Tally()])
    assert set(columns) == set(COLUMNS)
    assert columns["kept_chars"] == (3, 0)
    used = {name for figure in KEY_FIGURES for name in (figure.top, figure.bottom)}
    assert used <= set(COLUMNS)


class Stopping(Oracle):
    """Its user presses Ctrl-C as soon as one variant is finished."""

    stop_at = Path()

    def _chunks(self, parts: PromptParts, params: GenerateParams) -> list[TextChunk]:
        if self.stop_at.is_file():
            raise KeyboardInterrupt
        return super()._chunks(parts, params)


def _result(variant: Variant, tallies: list[Tally]):

    total = Tally()
    for tally in tallies:
        total.add(tally)
    empty = [Tally() for _ in tallies]
    return result_of(
        Outcome(variant.name, total, Tally(), {}, [], tallies, empty), variant, "typical"
    )


def _without_times(counts: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in counts.items() if not name.endswith("_ms")}
