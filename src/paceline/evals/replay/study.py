"""One replay from traces and a generator to a report: which variants run, and what is made of them."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from paceline import __version__
from paceline.artifacts.manifest import (
    MANIFEST_NAME,
    Manifest,
    current_git_sha,
    read_manifest,
    sha256_of,
)
from paceline.complete.gate import Gate
from paceline.core.progress import Progress
from paceline.evals.intervals import wilson
from paceline.evals.replay.drive import GateRow, Windows
from paceline.evals.replay.fit import gate_figures
from paceline.evals.replay.modes import ModeFigures, mode_figures, sample_moments
from paceline.evals.replay.records import Record, RecordFile, code_sha256, key_of, result_of
from paceline.evals.replay.report import (
    Comparer,
    GateBin,
    GateReport,
    Report,
    Row,
    StudyConfig,
    UserRows,
)
from paceline.evals.replay.run import Replayer, ReplayTrace
from paceline.evals.replay.variants import Variant, baseline, brain, capped, without
from paceline.generate.types import TextGenerator
from paceline.traces.user import USERS

INTERNAL_ERROR = "internal_error"
WITHOUT_GATE = "without gate"
NUM_BINS = 10
MIN_TRACES = 10
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(21))


class Study(NamedTuple):
    """A report, and the completions that a gate can be fitted to."""

    report: Report
    rows: list[GateRow]


class _Replays:
    """Runs variants, or finds them finished."""

    def __init__(
        self,
        generator: TextGenerator,
        traces: Sequence[ReplayTrace],
        config: StudyConfig,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._traces, self._config, self._progress = traces, config, progress
        self._windows = Windows(max_keys=config.max_keys)
        self._replayer = Replayer(generator, USERS[config.user])
        self._file = RecordFile(folder)
        self._what = {"traces": _digest(traces), "generator": generator_facts(generator)}

    def record(
        self, variant: Variant, *, user: str | None = None, is_sliced: bool = False
    ) -> Record:
        """What `variant` does under `user`."""
        user = user or self._config.user
        windows = self._windows._replace(is_sliced_only=is_sliced)
        key = key_of(
            **self._what,
            name=variant.name,
            config=msgspec.to_builtins(variant.config, order="deterministic"),
            user=msgspec.to_builtins(USERS[user]),
            windows=windows,
        )
        found = self._file.get(key)
        if found is not None:
            return found
        self._replayer.user, self._replayer.windows = USERS[user], windows
        outcome = self._replayer.run(variant, self._traces, self._progress)
        rows = [] if variant.config.is_gated else outcome.rows
        record = Record(key=key, result=result_of(outcome, variant, user), rows=rows)
        self._file.add(record)
        return record


def run_study(
    generator: TextGenerator,
    traces: Sequence[ReplayTrace],
    config: StudyConfig,
    folder: Path,
    progress: Progress,
) -> Study:
    """Type `traces` through every variant that `config` asks for.

    Finished variants are kept in `folder`: a study that was stopped goes on where it was.

    Raises:
        whatever the generator raises.
    """
    replays = _Replays(generator, traces, config, folder, progress)
    comparer = Comparer(len(traces), num_resamples=config.num_resamples, seed=config.seed)
    records = {variant.name: replays.record(variant) for variant in variants_of(config)}
    pair = ([baseline()] if config.has_baseline else []) + [brain()]
    documented = comparer.rows([replays.record(one, is_sliced=True).result for one in pair])
    users: list[UserRows] = []
    for name in USERS if config.is_user_swept else ():
        results = [replays.record(one, user=name).result for one in pair]
        users.append(UserRows(name=name, config=USERS[name], rows=comparer.rows(results)))
    rows = records[WITHOUT_GATE].rows
    to_fit = list(rows)
    if config.is_fitting:
        # Blocks are offered where they are documented, and there alone are enough of them to learn from.
        ungated = next(one for one in variants_of(config) if one.name == WITHOUT_GATE)
        to_fit += replays.record(ungated, is_sliced=True).rows
    report = Report(
        config=config,
        user=USERS[config.user],
        facts=facts_of(generator),
        warnings=(
            *few_traces(traces),
            *warnings_of(generator, traces),
            *failures_of(records.values()),
        ),
        num_traces_by_project=dict(Counter(one.project for one in traces)),
        traces=tuple(f"{one.project}: {one.trace.document.path}" for one in traces),
        rows=comparer.rows([record.result for record in records.values()]),
        documented=_if_any(documented),
        gate=gate_report(Gate.load(), rows) if rows else None,
        modes=tuple(_modes(traces, config, progress)) if config.has_modes else (),
        users=tuple(users),
    )
    return Study(report, to_fit)


def variants_of(config: StudyConfig) -> list[Variant]:
    """The variants of a study, in its order; names are unique."""
    whole = brain()
    parts = without(whole)
    found = [baseline()] if config.has_baseline else []
    found += [whole, next(one for one in parts if one.name == WITHOUT_GATE)]
    found += parts if config.is_ablated else []
    found += capped(whole) if config.is_capped else []
    return list({variant.name: variant for variant in found}.values())


def gate_report(gate: Gate, rows: Sequence[GateRow]) -> GateReport:
    """Judge `gate` by `rows`, of which there is at least one."""
    threshold = gate.weights.threshold
    judged = sorted(
        ((gate.probability(row.features), row) for row in rows), key=lambda item: item[0]
    )
    shown = [row for probability, row in judged if probability >= threshold]
    num_chars = sum(row.num_kept_chars for row in rows)
    num_shown_chars = sum(row.num_kept_chars for row in shown)
    return GateReport(
        figures=gate_figures(gate, rows),
        threshold=threshold,
        shown_share=len(shown) / len(rows),
        kept_share_of_shown=sum(row.is_kept for row in shown) / len(shown) if shown else None,
        kept_chars_share=num_shown_chars / num_chars if num_chars else None,
        bins=tuple(_bins(judged)),
    )


def _bins(judged: Sequence[tuple[float, GateRow]]) -> list[GateBin]:
    """Tenths of the rows, by probability."""
    bins: list[GateBin] = []
    for number in range(NUM_BINS):
        part = judged[number * len(judged) // NUM_BINS : (number + 1) * len(judged) // NUM_BINS]
        if part:
            mean = sum(probability for probability, _ in part) / len(part)
            kept = wilson(sum(row.is_kept for _, row in part), len(part))
            bins.append(GateBin(num_rows=len(part), mean_probability=mean, kept=kept))
    return bins


def _modes(
    traces: Sequence[ReplayTrace], config: StudyConfig, progress: Progress
) -> list[ModeFigures]:
    """The mode detector at every threshold: at all moments, and where lines start."""
    groups = sample_moments(
        [one.trace for one in traces], config.num_mode_moments, seed=config.seed, progress=progress
    )
    return [
        mode_figures(members, threshold, group=group)
        for group, members in groups.items()
        for threshold in THRESHOLDS
        if members
    ]


def facts_of(generator: TextGenerator) -> dict[str, Any]:
    """What made the figures."""
    return {
        "paceline": __version__,
        "git_sha": current_git_sha(),
        "code_sha256": code_sha256(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **generator_facts(generator),
    }


def generator_facts(generator: TextGenerator) -> dict[str, Any]:
    """Model and device. Figures of other ones are other figures."""
    model = generator.models[0]
    manifest = Path(model.path) / MANIFEST_NAME if model.path else None
    is_known = manifest is not None and manifest.is_file()
    return {
        "model": model.model_id,
        "num_parameters": model.num_parameters,
        "model_manifest_sha256": sha256_of(manifest) if manifest and is_known else "",
        "device": str(getattr(generator, "device_line", "")),
    }


def few_traces(traces: Sequence[ReplayTrace]) -> Iterator[str]:
    """Intervals come from resampling the files: a handful of them says nothing of others."""
    if len(traces) < MIN_TRACES:
        yield f"Only {len(traces)} files: read no figure here as more than an example."


def warnings_of(generator: TextGenerator, traces: Sequence[ReplayTrace]) -> tuple[str, ...]:
    """Was the model trained on what is typed?"""
    model = generator.models[0]
    path = Path(model.path) if model.path else None
    manifest = (
        read_manifest(path, "checkpoint") if path and (path / MANIFEST_NAME).is_file() else None
    )
    names: Sequence[str] = _packages(manifest) if manifest else ()
    if not names:
        return (f"What {model.model_id} was trained on is not known.",)
    trained = {name.lower() for name in names}
    both = sorted({one.project for one in traces if one.project.lower() in trained})
    if not both:
        return ()
    return (f"{model.model_id} was trained on releases of {', '.join(both)}.",)


def failures_of(records: Iterable[Record]) -> Iterator[str]:
    """A brain that fails inside answers with nothing: figures of it are not the brain's."""
    for record in records:
        num = record.result.drops.get(INTERNAL_ERROR, 0)
        if num:
            yield f"{record.result.name}: {num:,} requests failed inside the brain; its figures count for nothing."


def _packages(manifest: Manifest) -> Sequence[str]:
    """Names of the packages that a model was trained on, if its manifest has them."""
    return manifest.stats.get("train_packages", ())


def _digest(traces: Sequence[ReplayTrace]) -> str:
    """Of all that is typed."""
    found = hashlib.sha256()
    for one in traces:
        found.update(msgspec.json.encode(one))
    return found.hexdigest()


def _if_any(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """`rows`, if a single key was typed."""
    return rows if any(row.result.counts["num_moments"] for row in rows) else ()


__all__ = ["Study", "gate_report", "run_study", "variants_of"]
