"""How fast steps are: prefill, and decoding at batch 1, 4 and 8, against a model without a cache.

    python benchmarks/engine_steps.py [MODEL_FOLDER] [--shape llama_62m] [--threads 1] [--dtype auto] [--rounds 5]

Without a folder a random model is measured: of the tiny-cpu shape (6.5 M parameters) or, with
`--shape llama_62m`, of the one that the peers were measured with. Both sides run
in turn in one process on the same weights: `naive` is `CausalLm` computing the whole sequence anew,
in float32. Wall time is the median of the rounds. CPU time is that of all threads of the process, the
least of the rounds: on a shared machine it says more of the code, and the ratio is taken from it.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from paceline.engine.eager.runner import TorchRunner
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.engine.threads import free_threads
from paceline.model.checkpoint import load_model
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

SHAPES = {
    "tiny_cpu": ModelConfig(
        vocab_size=8192,
        hidden_size=256,
        num_layers=6,
        num_heads=2,
        num_kv_heads=1,
        head_dim=128,
        ffn_size=704,
        context_tokens=1024,
    ),
    "llama_62m": ModelConfig(
        vocab_size=16384,
        hidden_size=640,
        num_layers=12,
        num_heads=10,
        num_kv_heads=2,
        head_dim=64,
        ffn_size=1728,
        context_tokens=2048,
        family="llama",
        has_qk_norm=False,
    ),
}
BATCHES = (1, 4, 8)
DECODE_STEPS = 16


def random_ids(count: int, vocab_size: int) -> list[int]:
    """Ids that are the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocab_size, (count,), generator=generator).tolist()


class EngineSide:
    """Steps of the engine's executor in plain PyTorch; block tables are shuffled, as after much use."""

    def __init__(
        self, model: CausalLm, prompt_ids: list[int], *, dtype: str, chunk: int, num_threads: int
    ) -> None:
        per_sequence = -(-(len(prompt_ids) + DECODE_STEPS) // BLOCK_TOKENS)
        num_blocks = per_sequence * max(BATCHES)
        self._runner = TorchRunner(
            model, num_blocks=num_blocks, device="cpu", dtype=dtype, num_threads=num_threads
        )
        blocks = list(range(num_blocks))
        random.Random(0).shuffle(blocks)
        self._tables = [
            blocks[i * per_sequence : (i + 1) * per_sequence] for i in range(max(BATCHES))
        ]
        self._chunk = chunk
        self._prompt_ids = prompt_ids
        numbers = self._runner.numbers
        self.numbers = f"{'int8 + ' if numbers.has_int8 else ''}{numbers.narrow}"
        self._runner.warm_up()

    def prefill(self, slot: int = 0) -> None:
        """Compute the prompt, in chunks as the engine does."""
        for start in range(0, len(self._prompt_ids), self._chunk):
            ids = self._prompt_ids[start : start + self._chunk]
            is_last = start + len(ids) == len(self._prompt_ids)
            self._runner.forward([Rows(self._tables[slot], start, ids, int(is_last))])

    def decode(self, batch: int) -> None:
        """DECODE_STEPS greedy steps of `batch` sequences after the prompt."""
        ids = [0] * batch
        for step in range(DECODE_STEPS):
            position = len(self._prompt_ids) + step
            rows = [Rows(self._tables[i], position, [ids[i]], 1) for i in range(batch)]
            ids = self._runner.forward(rows).argmax(-1).tolist()


class NaiveSide:
    """The same work without a cache: every step computes every position."""

    def __init__(self, model: CausalLm, prompt_ids: list[int]) -> None:
        self._model = model
        self._prompt_ids = prompt_ids

    @torch.inference_mode()
    def _step(self, ids: list[list[int]]) -> list[int]:
        hidden = self._model(torch.tensor(ids))[:, -1]
        return self._model.logits(hidden).argmax(-1).tolist()

    def prefill(self) -> None:
        """One forward of the prompt."""
        self._step([self._prompt_ids])

    def decode_once(self, batch: int) -> None:
        """One greedy step of `batch` sequences."""
        self._step([[*self._prompt_ids, 0]] * batch)


class Timing(NamedTuple):
    """What one piece of work took."""

    wall_ms: float
    """Median of the rounds."""
    cpu_ms: float
    """Least of the rounds, all threads together."""

    def over(self, count: int) -> Timing:
        """The share of one of `count` equal parts."""
        return Timing(self.wall_ms / count, self.cpu_ms / count)


def measure(work: Callable[[], None], rounds: int) -> Timing:
    """Run `work` `rounds` times."""
    wall_s: list[float] = []
    cpu_s: list[float] = []
    for _ in range(rounds):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        work()
        wall_s.append(time.perf_counter() - wall_start)
        cpu_s.append(time.process_time() - cpu_start)
    return Timing(statistics.median(wall_s) * 1e3, min(cpu_s) * 1e3)


def show(name: str, engine: Timing, naive: Timing, num_tokens: int) -> None:
    """One line: rate and milliseconds a step of both sides, and the ratio."""
    cells = (
        f"{side} {num_tokens / timing.wall_ms * 1e3:6.0f} tok/s  wall {timing.wall_ms:7.2f} ms  "
        f"cpu {timing.cpu_ms:7.2f} ms"
        for side, timing in (("engine", engine), ("naive", naive))
    )
    print(f"{name:<11} {'   '.join(cells)}   {naive.cpu_ms / engine.cpu_ms:6.1f}x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny_cpu", help="without a folder")
    parser.add_argument("--threads", type=int, default=free_threads())
    parser.add_argument(
        "--dtype", choices=("auto", "float64", "float32", "bfloat16"), default="auto"
    )
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.folder is None:
        model = CausalLm(SHAPES[args.shape])
        model.initialise(0)
    else:
        model = load_model(args.folder)
    prompt_ids = random_ids(args.prompt_tokens, model.config.vocab_size)
    engine = EngineSide(
        model, prompt_ids, dtype=args.dtype, chunk=args.chunk, num_threads=args.threads
    )
    naive = NaiveSide(model, prompt_ids)
    print(
        f"{args.folder or args.shape + ', random weights'}, {model.config.num_parameters / 1e6:.1f} M parameters; "
        f"{platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()}), {args.threads} thread(s), "
        f"load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, torch {torch.__version__}\n"
        f"engine in {engine.numbers}, prompt {args.prompt_tokens} tokens in chunks of "
        f"{args.chunk}; naive in float32"
    )
    naive.prefill()
    show(
        "prefill",
        measure(engine.prefill, args.rounds),
        measure(naive.prefill, args.rounds),
        args.prompt_tokens,
    )
    for batch in BATCHES:
        ours = measure(lambda batch=batch: engine.decode(batch), args.rounds)
        theirs = measure(lambda batch=batch: naive.decode_once(batch), min(args.rounds, 3))
        show(f"decode B={batch}", ours.over(DECODE_STEPS), theirs, batch)


if __name__ == "__main__":
    main()
