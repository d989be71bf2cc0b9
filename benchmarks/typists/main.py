"""Start a server, let a crowd type on it, print a table."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.keystrokes.stats import percentile
from benchmarks.typists.crowd import Crowd, Tally, run_crowd

SCRIPTED = ("tests.scripted",)
REAL = ("paceline.cli.main", "serve", "--port", "0")
ROOT = Path(__file__).resolve().parents[2]
WARM_SHARE = 0.25
"""So much of a run is typed before memory is measured for the first time: caches have a size to grow to."""
MAX_GROWTH = 0.10
"""Memory that grows by more in the rest of the run is no longer called flat."""
ALLOWED = frozenset({200, 429})


@contextmanager
def serving(*module: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server as a process of its own: (process, port)."""
    with subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"(?:127\.0\.0\.1:|^)(\d+)", line)
            if found is None:
                raise RuntimeError(f"the server did not start: {line!r}")
            yield process, int(found[1])
        finally:
            process.terminate()


def resident_mb(process: subprocess.Popen[str]) -> float:
    """Memory of a process that is in RAM (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def measure(
    module: tuple[str, ...],
    *,
    num_typists: int,
    num_idle: int,
    seconds: float,
    keys_per_s: float,
) -> bool:
    """One server, one crowd; print, and return whether all went well."""
    name = "scripted model" if module[0] == SCRIPTED[0] else "shipped model"
    print(f"\n{name}: {num_typists} typists, {num_idle} idle WebSockets, {seconds:g} s,", end=" ")
    print(f"{keys_per_s:g} keys a second each")
    with serving(*module) as (process, port):

        def crowd(share: float, idle: int) -> Crowd:
            run = run_crowd(
                port,
                num_typists=num_typists,
                seconds=seconds * share,
                keys_per_s=keys_per_s,
                num_idle=idle,
            )
            return asyncio.run(run)

        crowd(WARM_SHARE, num_idle)
        start_mb, cpu_s, started_s = resident_mb(process), _cpu_s(process), time.monotonic()
        found = crowd(1 - WARM_SHARE, num_idle)
        wall_s = time.monotonic() - started_s
        end_mb = resident_mb(process)
        print_table(found)
        share = (_cpu_s(process) - cpu_s) / wall_s
        print(f"memory {start_mb:.1f} -> {end_mb:.1f} MB; the server used {share:.2f} cores")
        if num_idle:
            print(f"idle WebSockets that answer at the end: {found.num_idle_alive} of {num_idle}")
    return end_mb <= start_mb * (1 + MAX_GROWTH) and is_well(found)


def is_well(crowd: Crowd) -> bool:
    """Nothing hung, nothing broke, nobody saw anything but an answer or "too many"."""
    totals = crowd.tallies.values()
    return (
        not any(tally.num_hung or tally.num_broken for tally in totals)
        and all(set(tally.statuses) <= ALLOWED for tally in totals)
        and crowd.num_idle_alive == crowd.num_idle
    )


def print_table(crowd: Crowd) -> None:
    """A line for each dialect, and one for all."""
    print(f"{'dialect':<11} answered overtaken  429 other hung broken   p50 ms   p95 ms   p99 ms")
    rows = dict(crowd.tallies)
    rows["all"] = whole = Tally()
    for tally in crowd.tallies.values():
        whole.latencies_ms += tally.latencies_ms
        whole.num_overtaken += tally.num_overtaken
        whole.num_hung += tally.num_hung
        whole.num_broken += tally.num_broken
        whole.statuses.update(tally.statuses)
    for name, tally in rows.items():
        other = sum(count for status, count in tally.statuses.items() if status not in ALLOWED)
        figures = [percentile(tally.latencies_ms, share) for share in (0.5, 0.95, 0.99)]
        print(
            f"{name:<11} {tally.statuses[200]:8} {tally.num_overtaken:9} {tally.statuses[429]:4} "
            f"{other:5} {tally.num_hung:4} {tally.num_broken:6} "
            + " ".join(f"{value:8.1f}" for value in figures)
        )


def _cpu_s(process: subprocess.Popen[str]) -> float:
    fields = (
        Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Read the command line; exit 1 if anything hung, broke or grew."""
    parser = argparse.ArgumentParser(description="Many typists on one server.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--typists", type=int, default=200, help="on the scripted model; 0: skip")
    parser.add_argument("--real-typists", type=int, default=8, help="on the shipped one; 0: skip")
    parser.add_argument("--idle", type=int, default=0, help="WebSockets that only stay open")
    parser.add_argument("--keys-per-second", type=float, default=1.0, help="of each of the crowd")
    parser.add_argument("--real-keys-per-second", type=float, default=4.0)
    parser.add_argument("--ms-per-token", type=float, default=2.0, help="of the scripted model")
    arguments = parser.parse_args()
    is_well_so_far = True
    if arguments.typists or arguments.idle:
        is_well_so_far &= measure(
            (*SCRIPTED, "--ms-per-token", str(arguments.ms_per_token)),
            num_typists=arguments.typists,
            num_idle=arguments.idle,
            seconds=arguments.seconds,
            keys_per_s=arguments.keys_per_second,
        )
    if arguments.real_typists:
        is_well_so_far &= measure(
            REAL,
            num_typists=arguments.real_typists,
            num_idle=0,
            seconds=arguments.seconds,
            keys_per_s=arguments.real_keys_per_second,
        )
    print("\nnothing hung, broke or grew" if is_well_so_far else "\nNOT well: see above")
    return 0 if is_well_so_far else 1
