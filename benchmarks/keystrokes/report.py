"""The record: tables in Markdown, everything in JSON, and one plot of latency under overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.keystrokes.summary import Figures, Goal, Latency
from benchmarks.keystrokes.sweep import Swept, best_of, describe

Row = tuple[str, Callable[[Figures], str]]


class ModelRecord(msgspec.Struct, kw_only=True):
    """All that was found on one model."""

    model: str
    description: str
    figures: list[Figures]
    goals: list[Goal]
    skipped: dict[str, str]
    """Engines that did not run, and why."""
    sweeps: dict[str, Swept]
    rounds: dict[str, list[dict[str, Any]]]
    """Samples of each engine and round."""


class Record(msgspec.Struct, kw_only=True):
    """One run of the benchmark."""

    date: str
    device: str
    commit: str
    command: str
    threads: int
    num_rounds: int
    models: list[ModelRecord]


def write(record: Record, folder: Path) -> None:
    """Write README.md, record.json and one SVG a model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(markdown(record))
    compact = msgspec.json.encode(msgspec.to_builtins(_rounded(record), str_keys=True))
    (folder / "record.json").write_bytes(compact + b"\n")
    for model in record.models:
        plot(model, folder / f"overlap-{model.model}.svg")


def markdown(record: Record) -> str:
    """The page of the record."""
    lines = [
        f"# Keystrokes, {record.date}, {record.device}",
        "",
        f"Commit {record.commit}; {record.threads} compute thread(s) for every engine, server and client on "
        f"cores of their own where there are enough; {record.num_rounds} interleaved rounds.",
        "",
        f"    {record.command}",
        "",
        "Latencies in ms, `p50 / p95` (nearest rank); 24 greedy tokens from token ids over streaming HTTP. What is "
        "measured, and how: [benchmarks/README.md](../../README.md).",
    ]
    for model in record.models:
        lines += ["", f"## {model.model}: {model.description}", "", *table(model.figures), ""]
        lines += [f"- skipped: {name}: {reason}" for name, reason in model.skipped.items()]
        lines += ["", f"![latency under overlap](overlap-{model.model}.svg)", "", "### Goals", ""]
        lines += ["| goal | measured | |", "|---|---|---|"]
        lines += [
            f"| {goal.text} | {goal.measured} | {'met' if goal.is_met else '**not met**'} |"
            for goal in model.goals
        ]
        lines += ["", "### Settings tried (the best one is measured)", ""]
        for name, swept in model.sweeps.items():
            lines += [f"- {name}, best: **{best_of(swept.tried)}**"]
            lines += [f"    - {describe(line)}" for line in swept.tried]
    return "\n".join(lines) + "\n"


def table(figures: Sequence[Figures]) -> list[str]:
    """One column an engine, one row a figure."""
    rows: list[Row] = [
        ("setting", lambda one: one.setting),
        ("undisturbed keystroke", lambda one: pair(one.undisturbed)),
        ("its CPU, ms", lambda one: number(one.undisturbed_cpu_ms)),
    ]
    for users in figures[0].overlap:
        rows += [
            (f"survivor, {_users(users)}, older closed", _overlap(users)),
            (f"survivor, {_users(users)}, older left open", _open_overlap(users)),
            (f"batch bound, {_users(users)}", _bound(users)),
        ]
    for users in figures[0].typing:
        rows += [
            (f"typing, {_users(users)}: in time, of all keys", _typing(users, "in_time_share")),
            (
                f"typing, {_users(users)}: in time, of keys waited for",
                _typing(users, "in_time_share_of_waited"),
            ),
            (f"typing, {_users(users)}: p95 of these", _typing(users, "waited_p95_ms")),
            (f"typing, {_users(users)}: in time per s", _typing(users, "in_time_per_s")),
            (f"typing, {_users(users)}: in time per CPU-s", _typing(users, "in_time_per_cpu_s")),
        ]
    for users in figures[0].capacity:
        rows.append((f"no pauses, {_users(users)}: answers per s, latency", _capacity(users)))
    rows += [
        ("answers per s at p95 ≤ 300 ms", lambda one: number(one.completions_per_s_in_time)),
        ("cold prefill, tokens/s", lambda one: number(one.prefill_tokens_per_s)),
    ]
    for batch in figures[0].decode_tokens_per_s:
        rows.append((f"decode, batch {batch}, tokens/s", _decode(batch)))
    rows += [
        ("peak RSS, MB", lambda one: number(one.peak_rss_bytes / 1e6)),
        ("tokens received and abandoned", lambda one: str(one.abandoned_tokens)),
        ("tokens wasted, by the engine's count", lambda one: number(one.server_wasted_tokens)),
        ("answers shortened by type-through, tokens each lacks", _missing),
        ("drafts accepted", lambda one: share(one.draft_acceptance)),
        ("same answer as paceline / same first 8 tokens", _agreement),
        ("errors", lambda one: str(len(one.errors))),
    ]
    head = [
        "| | " + " | ".join(one.engine for one in figures) + " |",
        "|---" * (len(figures) + 1) + "|",
    ]
    return head + [
        f"| {title} | " + " | ".join(cell(one) for one in figures) + " |" for title, cell in rows
    ]


def pair(latency: Latency) -> str:
    """`p50 / p95`."""
    return f"{number(latency.p50)} / {number(latency.p95)}"


def number(value: float | None) -> str:
    """Three digits or so."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "none"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Per cent."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def plot(model: ModelRecord, path: Path) -> None:
    """Survivor's p50 (bar) and p95 (line) of each engine and number of users, on a log scale."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "keystrokes"
    from matplotlib import pyplot as plt

    levels = list(model.figures[0].overlap)
    figure, axes = plt.subplots(figsize=(8, 4))
    width = 0.8 / len(model.figures)
    for index, one in enumerate(model.figures):
        places = [at + index * width for at in range(len(levels))]
        middles = [min(one.overlap[users].p50, 10_000) for users in levels]
        highs = [min(one.overlap[users].p95, 10_000) for users in levels]
        axes.bar(places, middles, width * 0.92, label=one.engine)
        axes.vlines(places, middles, highs, color="black", linewidth=1)
        quiet = min(one.undisturbed.p50, 10_000)
        axes.hlines(
            quiet, places[0] - width / 2, places[0] + width / 2, color="white", linewidth=1.5
        )
    axes.set_yscale("log")
    axes.axhline(300, color="grey", linestyle="--", linewidth=0.8)
    centre = 0.4 - width / 2
    axes.set_xticks([at + centre for at in range(len(levels))], [_users(users) for users in levels])
    axes.set_ylabel("answer to the last of 10 keystrokes, ms")
    axes.set_title(
        f"{model.model} model: bar p50, line up to p95, white: undisturbed; dashed: 300 ms",
        fontsize=9,
    )
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _rounded(record: Record) -> Record:
    """Samples with three digits after the point, so that the file stays small."""

    def shorten(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 3) if math.isfinite(value) else None
        if isinstance(value, dict):
            return {key: shorten(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shorten(item) for item in value]
        return value

    models = [
        msgspec.structs.replace(model, rounds=shorten(model.rounds)) for model in record.models
    ]
    return msgspec.structs.replace(record, models=models)


def _users(users: int) -> str:
    return "1 user" if users == 1 else f"{users} users"


def _overlap(users: int) -> Callable[[Figures], str]:
    return lambda one: pair(one.overlap[users])


def _open_overlap(users: int) -> Callable[[Figures], str]:
    return lambda one: pair(one.overlap_without_cancel[users])


def _bound(users: int) -> Callable[[Figures], str]:
    return lambda one: pair(one.bound[users])


def _typing(users: int, field: str) -> Callable[[Figures], str]:
    show = share if "share" in field else number
    return lambda one: show(getattr(one.typing[users], field))


def _capacity(users: int) -> Callable[[Figures], str]:
    return lambda one: (
        f"{number(one.capacity[users].completions_per_s)}; {pair(one.capacity[users].latency)}"
    )


def _decode(batch: int) -> Callable[[Figures], str]:
    return lambda one: number(one.decode_tokens_per_s[batch])


def _missing(one: Figures) -> str:
    return f"{one.missing_tokens[0]}; {number(one.missing_tokens[1])}"


def _agreement(one: Figures) -> str:
    if one.agreement is None:
        return "-"
    return f"{share(one.agreement[0])} / {share(one.agreement[1])}"
