"""What recording costs the engine's thread, and what reading costs others: CPU time, least of the rounds.

python benchmarks/observer_cost.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from paceline.core.exposition import render
from paceline.engine.observe.observer import EngineObserver, trace_of
from paceline.engine.observe.stats import StepStats
from paceline.plan.flops import DecoderShape

SHAPE = DecoderShape(
    vocab_size=8192,
    hidden_size=384,
    num_layers=8,
    num_heads=6,
    num_kv_heads=2,
    head_dim=64,
    ffn_size=1024,
)
NUM_STEPS = 5000


def step_of(number: int, num_sequences: int, num_drafts: int) -> StepStats:
    """A step of 1 ms in which every sequence gets a token."""
    return StepStats(
        number=number,
        started_s=number / 1000,
        plan_s=2e-5,
        forward_s=9e-4,
        pick_s=5e-5,
        commit_s=3e-5,
        entries=tuple(
            (i, 100 + number, 1 + num_drafts, num_drafts, 1) for i in range(num_sequences)
        ),
        num_waiting=0,
        num_running=num_sequences,
        used_blocks=10,
        cached_blocks=5,
        num_blocks=100,
    )


def observer_of(num_sequences: int) -> EngineObserver:
    """One whose sequences run."""
    observer = EngineObserver("model", SHAPE)
    for sequence_id in range(num_sequences):
        observer.queued(sequence_id, lane="interactive", prompt_tokens=50, now_s=0.0)
        observer.admitted(sequence_id, cached_tokens=3, now_s=0.0)
    return observer


def least_s(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of this thread."""
    times: list[float] = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def measure_steps(num_sequences: int, num_drafts: int, rounds: int) -> None:
    """Print microseconds of building a step's record and of reporting it."""
    observer = observer_of(num_sequences)
    steps = [step_of(n, num_sequences, num_drafts) for n in range(NUM_STEPS)]

    def build() -> None:
        for number in range(NUM_STEPS):
            step_of(number, num_sequences, num_drafts)

    def report() -> None:
        for stats in steps:
            observer.step(stats)

    each = [least_s(work, rounds) / NUM_STEPS * 1e6 for work in (build, report)]
    name = f"{num_sequences} sequences, {num_drafts} drafts"
    print(f"{name:<24} StepStats {each[0]:5.2f} us   step() {each[1]:5.2f} us")


def measure_readers(rounds: int) -> None:
    """Print milliseconds of a scrape, and microseconds a record of a trace."""
    observer = observer_of(4)
    for number in range(NUM_STEPS):
        observer.step(step_of(number, 4, 0))
    locked_s = least_s(observer.families, rounds)
    families = observer.families()
    text_s = least_s(lambda: render(families), rounds)
    trace_s = least_s(lambda: trace_of([observer], 60.0), min(rounds, 2))
    print(f"scrape: {locked_s * 1e3:.2f} ms under the lock, {text_s * 1e3:.2f} ms of text")
    print(f"trace: {trace_s / NUM_STEPS * 1e6:.1f} us a step of 4 sequences")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for num_sequences, num_drafts in ((1, 0), (1, 3), (4, 0), (16, 0)):
        measure_steps(num_sequences, num_drafts, rounds)
    measure_readers(rounds)


if __name__ == "__main__":
    main()
