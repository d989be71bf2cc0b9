"""Runs the benchmark: rounds in turn, figures, the record."""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from benchmarks.brain.files import WORKPLACES, Workplace
from benchmarks.brain.measure import Sample, keystrokes, parse_ms, run
from benchmarks.brain.report import NUM_BROKEN, FileFigures, figures, lines_of, stages_of, typical
from benchmarks.keystrokes.main import device
from paceline.complete.config import CompleteConfig, plain_config

ROOT = Path(__file__).resolve().parents[2]

NUM_PLACES = 16
"""Of the file where something is typed."""
FIRST_USE = """
import time
def ms(since): return (time.process_time() - since) * 1000
start = time.process_time()
from paceline.complete.service import Service
imported = ms(start)
from benchmarks.brain.script import ScriptedModel
service = Service(ScriptedModel())
start = time.process_time()
service.warm_up()
print(imported, ms(start))
"""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a run."""

    date: str
    device: str
    python: str
    commit: str
    command: str
    load_before: float
    """Of the machine, in processes that want to run: above 1 others were busy meanwhile."""
    load_after: float
    import_ms: float
    """Importing the service, in a new process."""
    warm_up_ms: float
    files: list[FileFigures]


def main() -> int:
    """Measure, print, keep a record if told where."""
    parser = argparse.ArgumentParser(description="What the brain itself costs a keystroke.")
    parser.add_argument(
        "--quick", action="store_true", help="two rounds, few places: a minute at most"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--languages", default=",".join(WORKPLACES))
    parser.add_argument("--out", type=Path, help="folder for README.md and record.json")
    options = parser.parse_args()
    rounds, num_places = (2, 4) if options.quick else (options.rounds, NUM_PLACES)
    load_before = os.getloadavg()[0]
    import_ms, warm_up_ms = first_use()
    found = [
        measure(name, WORKPLACES[name](), rounds, num_places)
        for name in options.languages.split(",")
    ]
    record = Record(
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        device=device(),
        python=sys.version.split()[0],
        commit=_commit(),
        command="python benchmarks/brain_overhead.py"
        + (" --quick" if options.quick else f" --rounds {rounds}"),
        load_before=load_before,
        load_after=os.getloadavg()[0],
        import_ms=round(import_ms, 1),
        warm_up_ms=round(warm_up_ms, 1),
        files=found,
    )
    page = page_of(record)
    print(page)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "README.md").write_text(page, encoding="utf-8")
        (options.out / "record.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(record)) + b"\n"
        )
    return 0


def measure(language: str, workplace: Workplace, num_rounds: int, num_places: int) -> FileFigures:
    """All rounds of one file: ours, the plain one and a parse in turn."""
    keys = keystrokes(workplace, num_places)
    broken_keys = keystrokes(workplace, max(num_places // 2, NUM_BROKEN), num_broken=NUM_BROKEN)
    ours: list[list[Sample]] = []
    plain: list[list[Sample]] = []
    broken: list[list[Sample]] = []
    parses: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        for document in (workplace.document, *workplace.open_documents):
            (Path(root) / document.path).write_text(document.text, encoding="utf-8")
        (Path(root) / ".gitignore").write_text("build/\n*.log\n", encoding="utf-8")
        for _ in range(num_rounds):
            ours.append(run(keys, workplace, root, CompleteConfig()))
            plain.append(run(keys, workplace, root, plain_config()))
            broken.append(run(broken_keys, workplace, root, CompleteConfig()))
            parses += [parse_ms(workplace.document) for _ in range(10)]
    first_ms = ours[0][0].own_ms
    ours, plain, broken = ([one[1:] for one in rounds] for rounds in (ours, plain, broken))
    own = own_of(ours)
    sources = [sample.source for sample in ours[0]]
    return FileFigures(
        language=language,
        path=workplace.document.path,
        num_lines=workplace.document.text.count("\n"),
        num_keystrokes=len(keys),
        num_rounds=num_rounds,
        first_keystroke_ms=round(first_ms, 2),
        own=figures(own),
        wall=figures([sample.wall_ms for samples in ours for sample in samples]),
        asked=figures([ms for ms, source in zip(own, sources, strict=True) if source == "network"]),
        with_instant_model=figures(
            typical([[sample.all_ms for sample in samples] for samples in ours])
        ),
        stages=stages_of(ours),
        sources=dict(Counter(sources).most_common()),
        broken=figures(own_of(broken)),
        parse_ms=figures(parses).median,
        plain=figures(own_of(plain)),
    )


def own_of(rounds: list[list[Sample]]) -> list[float]:
    """Each keystroke's own milliseconds."""
    return typical([[sample.own_ms for sample in samples] for samples in rounds])


def first_use() -> tuple[float, float]:
    """Importing the service and warming it up, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    imported, warmed = done.stdout.split()
    return float(imported), float(warmed)


def page_of(record: Record) -> str:
    """The record's page."""
    lines = [
        f"# The brain's own cost, {record.date}, {record.device}, Python {record.python}",
        "",
        f"    {record.command}",
        "",
        f"Commit {record.commit}; load of the machine {record.load_before:.1f} before, {record.load_after:.1f} after. "
        "Milliseconds of CPU time of one keystroke, unless said otherwise; each keystroke by its median over "
        f"{record.files[0].num_rounds} rounds. What is measured, and how: [benchmarks/README.md](../../README.md). "
        f"Once per process: importing the service {record.import_ms:.0f} ms, warming it up {record.warm_up_ms:.0f} ms; "
        "`paceline serve` does both before it answers.",
        "",
    ]
    for one in record.files:
        lines += lines_of(one)
    return "\n".join(lines).rstrip() + "\n"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
