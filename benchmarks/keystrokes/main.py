"""The command line: install, sweep, measure in interleaved rounds, write the record."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import re
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.keystrokes import counters, report, summary
from benchmarks.keystrokes import sweep as sweeping
from benchmarks.keystrokes.agreement import agreement
from benchmarks.keystrokes.engines import PEERS, Engine, Paceline, Setting
from benchmarks.keystrokes.install import InstallError, llama_python
from benchmarks.keystrokes.measure import (
    Plan,
    Round,
    Target,
    measure_round,
    pin_client,
    prepare,
    to_plain,
)
from benchmarks.keystrokes.models import ROOT, BenchModel, make_gguf, random_model, shipped_model
from benchmarks.keystrokes.processes import ServerError

QUICK = Plan(
    undisturbed_keys=15,
    bursts=(2, 1, 1),
    bursts_without_cancel=(1, 1, 1),
    bound_repeats=(3, 2, 1),
    typing_s=4.0,
    capacity_levels=(1, 4),
    capacity_s=1.0,
    prefill_prompts=2,
    decode_batches=(1, 4),
)
MODELS = {
    "shipped": (shipped_model, "paceline-python-6m, Qwen3 shape, 6.5 M parameters"),
    "random": (random_model, "62 M random weights, Llama shape"),
}


class Running(NamedTuple):
    """An engine that is up (and frozen while another is measured), and what it gave so far."""

    target: Target
    rounds: list[Round]
    before: dict[str, float]
    """Its counters at the start."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options; see benchmarks/README.md."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser = argparse.ArgumentParser(
        prog="benchmarks/keystrokes.py",
        description="Keystroke latency of paceline beside its peers.",
    )
    parser.add_argument("--work", type=Path, default=cache / "paceline-benchmarks")
    parser.add_argument("--models", default="shipped,random", help="of: shipped, random")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help=f"of: {', '.join(PEERS)}; or empty"
    )
    parser.add_argument("--threads", type=int, default=1, help="compute threads of every engine")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--paceline-command", help="instead of this checkout's `paceline serve`")
    parser.add_argument("--out", type=Path, help="folder of the record")
    parser.add_argument("--quick", action="store_true", help="paceline alone, one short round")
    parser.add_argument("--sweep-only", action="store_true", help="choose settings and stop")
    parser.add_argument("--resweep", action="store_true", help="measure settings again")
    parser.add_argument("--nice", type=int, default=0, help="of servers while sweeping")
    return parser.parse_args(arguments)


def split_cores(threads: int) -> tuple[list[int], list[int]]:
    """(cores of the server, cores of the client); empty lists where they must share."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:threads], cores[threads:]) if len(cores) > threads else ([], [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run. Returns the exit code. Servers are stopped however it ends, SIGKILL excepted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_arguments(arguments)
    command = shlex.join(["python", "benchmarks/keystrokes.py", *(arguments or sys.argv[1:])])
    for place in (ROOT, Path.home()):  # a record names no path of this machine
        command = command.replace(f"{place}/", "")
    started_s = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    names = [] if options.quick else [name for name in options.peers.split(",") if name]
    engines, skipped = install_peers(names, options.work, options.threads)
    ours = Paceline(options.work, options.threads, options.paceline_command)
    name_of_device = device()
    server_cores, client_cores = split_cores(options.threads)
    pin_client(client_cores)
    found: list[report.ModelRecord] = []
    for name in ["shipped"] if options.quick else options.models.split(","):
        make, description = MODELS[name]
        model = make(options.work)
        if engines:
            make_gguf(model, llama_python(options.work))
        one = run_model(model, description, [ours, *engines], dict(skipped), options, server_cores)
        found += [one] if one else []
    if options.sweep_only or not found:
        return 0 if options.sweep_only else 1
    record = report.Record(
        date=datetime.date.today().isoformat(),
        device=name_of_device,
        commit=ours.version(),
        command=command,
        threads=options.threads,
        num_rounds=1 if options.quick else options.rounds,
        models=found,
    )
    folder = options.out or default_folder(record, options)
    report.write(record, folder)
    print((folder / "README.md").read_text())
    print(f"{folder} written after {(time.monotonic() - started_s) / 60:.1f} minutes")
    return 0


def install_peers(
    names: Sequence[str], work: Path, threads: int
) -> tuple[list[Engine], dict[str, str]]:
    """Engines that can run, and the reasons of those that cannot."""
    ready: list[Engine] = []
    skipped: dict[str, str] = {}
    for name in names:
        engine = PEERS[name](work, threads)
        try:
            engine.install()
        except InstallError as error:
            skipped[name] = str(error)
            print(f"skipped: {name}: {error}", flush=True)
        else:
            ready.append(engine)
    return ready, skipped


def run_model(
    model: BenchModel,
    description: str,
    engines: Sequence[Engine],
    skipped: dict[str, str],
    options: argparse.Namespace,
    cores: list[int],
) -> report.ModelRecord | None:
    """Sweep and measure all engines on one model; None if nothing was measured."""
    settings: dict[str, Setting] = {}
    sweeps: dict[str, sweeping.Swept] = {}
    for engine in engines:
        if isinstance(engine, Paceline):
            settings[engine.name] = engine.settings[0]
            continue
        try:
            settings[engine.name], sweeps[engine.name] = sweeping.sweep(
                engine, model, cores=cores, nice=options.nice,
                is_repeated=options.resweep,
            )  # fmt: skip
        except ServerError as error:
            skipped[engine.name] = str(error)
    if options.sweep_only:
        return None
    running = start_all(engines, model, settings, skipped, cores)
    try:
        return measure_all(running, model, description, skipped, sweeps, options)
    finally:
        for one in running:
            one.target.server.stop()


def start_all(
    engines: Sequence[Engine],
    model: BenchModel,
    settings: dict[str, Setting],
    skipped: dict[str, str],
    cores: list[int],
) -> list[Running]:
    """Start each engine, then freeze it."""
    running: list[Running] = []
    for engine in engines:
        if engine.name not in settings:
            continue
        setting = settings[engine.name]
        try:
            server = sweeping.start(engine, model, setting, cores=cores)
        except ServerError as error:
            skipped[engine.name] = str(error)
            print(f"skipped: {engine.name}: {error}", flush=True)
            continue
        running.append(
            Running(Target(engine, model, setting, server), [], counters.read(server.port))
        )
        server.pause()
    return running


def measure_all(
    running: Sequence[Running],
    model: BenchModel,
    description: str,
    skipped: dict[str, str],
    sweeps: dict[str, sweeping.Swept],
    options: argparse.Namespace,
) -> report.ModelRecord | None:
    """Rounds in turn, one engine awake at a time; the order turns round each time."""
    if not running:
        return None
    tokenizer = model.tokenizer()
    plan = QUICK if options.quick else Plan()
    for index in range(1 if options.quick else options.rounds):
        work = prepare(plan, tokenizer, index)
        for one in running if index % 2 == 0 else reversed(running):
            started_s = time.monotonic()
            one.target.server.resume()
            one.rounds.append(asyncio.run(measure_round(one.target, work)))
            one.target.server.pause()
            name, took_s = one.target.engine.name, time.monotonic() - started_s
            print(f"{model.name}, round {index + 1}: {name}, {took_s:.0f} s", flush=True)
            for error, count in Counter(one.rounds[-1].errors).most_common(3):
                print(f"  {count}x {error}", flush=True)
    figures = [figures_of(one) for one in running]
    ours = figures[0] if isinstance(running[0].target.engine, Paceline) else None
    if ours:
        for one, found in zip(running[1:], figures[1:], strict=True):
            found.agreement = agreement(running[0].rounds, one.rounds, tokenizer)
    return report.ModelRecord(
        model=model.name,
        description=description,
        figures=figures,
        goals=summary.goals(ours, figures[1:]) if ours else [],
        skipped=skipped,
        sweeps=sweeps,
        rounds={one.target.engine.name: [to_plain(r) for r in one.rounds] for one in running},
    )


def figures_of(one: Running) -> summary.Figures:
    """Figures of an engine that has run all its rounds."""
    target = one.target
    target.server.resume()
    counted = counters.grown(one.before, counters.read(target.server.port))
    target.server.pause()
    return summary.summarise(
        one.rounds,
        engine=target.engine.name,
        version=target.engine.version(),
        setting=target.setting.name,
        peak_rss_bytes=target.server.peak_rss_bytes(),
        server_counters=counted,
    )


def device() -> str:
    """CPU and the number of cores that are used."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found.group(1).strip() if found else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0)) or 1} core(s)"


def default_folder(record: report.Record, options: argparse.Namespace) -> Path:
    """A dated folder of benchmarks/records; a quick run leaves nothing in the repository."""
    if options.quick:
        return options.work / "quick"
    slug = re.sub(r"[^a-z0-9]+", "-", record.device.split(",")[0].lower()).strip("-")
    return ROOT / "benchmarks/records" / f"{record.date}_{slug}_keystrokes"
