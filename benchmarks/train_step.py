"""Training speed on this CPU: one worker with two threads beside two workers with one thread each.

    .venv/bin/python benchmarks/train_step.py [--steps 6]

The `tiny-cpu` recipe on made-up text, so nothing has to be downloaded. Both settings take turns in one
process; the ratio is what counts, because the machine's speed varies.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics

import msgspec
import torch

from paceline.model.decoder import CausalLm
from paceline.recipes import TRAIN_RECIPES
from paceline.tokenizer.bpe import train_tokenizer
from paceline.train.config import TrainConfig
from paceline.train.data import RowSource
from paceline.train.loop import Trainer
from paceline.train.optimiser import build_optimisers

WORDS = [
    "value",
    "total",
    "width",
    "height",
    "index",
    "name",
    "path",
    "items",
    "result",
    "count",
    "self",
    "data",
    "line",
    "node",
    "key",
]


def made_up_text(rng: random.Random, num_lines: int = 400) -> str:
    """Lines that look like code to a tokenizer."""
    return "\n".join(
        f"    {rng.choice(WORDS)}_{rng.randrange(99)} = {rng.choice(WORDS)}.{rng.choice(WORDS)}({rng.randrange(999)})"
        for _ in range(num_lines)
    )


def make_trainer(config: TrainConfig, rows: RowSource) -> Trainer:
    """A trainer with fresh weights."""
    model = CausalLm(config.model)
    model.initialise(config.seed)
    return Trainer(model, build_optimisers(model, config.optimiser), rows, config)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6, help="measured steps of each setting")
    steps = parser.parse_args().steps
    rng = random.Random(0)
    texts = [made_up_text(rng) for _ in range(64)]
    base = TRAIN_RECIPES["tiny-cpu"]()
    rows = RowSource(texts, train_tokenizer(texts, vocab_size=2048), base.data, base.seed)
    settings = {"1 worker x 2 threads": (1, 2), "2 workers x 1 thread": (2, 1)}
    speeds: dict[str, list[float]] = {name: [] for name in settings}
    trainers = {
        name: make_trainer(
            msgspec.structs.replace(base, num_workers=workers, num_threads=threads, device="cpu"),
            rows,
        )
        for name, (workers, threads) in settings.items()
    }
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {base.name}")
    for step in range(steps + 1):
        for name, trainer in trainers.items():
            torch.set_num_threads(2)
            metrics = trainer.train_step(trainer._passes(step))
            if step:
                speeds[name].append(base.tokens_per_step / metrics.elapsed_s)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, values in speeds.items():
        print(
            f"{name}: {medians[name]:,.0f} tokens/s (median of {steps}, {min(values):,.0f} to {max(values):,.0f})"
        )
    slow, fast = medians.values()
    print(f"ratio: {fast / slow:.2f}x")


if __name__ == "__main__":
    main()
