"""Speed of the native executor's steps: prefill, decode, verification of drafts. No engine, no HTTP.

    python benchmarks/native_steps.py [--threads 1 2] [--rounds 7] [--quality]

Two models: the shipped one, and 62 M random parameters in the shape that facts/serving.md measured other
engines with. Each figure is the least of several rounds, because other processes can only add time.
--quality compares bits per byte and greedy choices of the shipped model with float32 instead, on
20,000 tokens of Python's standard library. GOPS counts a multiply and an add as two; GB/s counts the matrices a decode step must read.
"""

from __future__ import annotations

import argparse
import math
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from paceline.engine.native.runner import NativeRunner
from paceline.engine.step import Rows
from paceline.model.checkpoint import load_model
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from paceline.tokenizer.bpe import Tokenizer

MID = ModelConfig(
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
)
SHIPPED = Path(__file__).parents[1] / "models" / "paceline-python-6m"
CACHED = 960
"""Tokens in the cache of every sequence that decodes; the shipped model's context is 1,024."""
SEQUENCE_BLOCKS = 64
PREFILL_TOKENS, CHUNK = 512, 128


def random_model(config: ModelConfig) -> CausalLm:
    """Weights of realistic scale; their values do not matter for speed."""
    torch.manual_seed(0)
    model = CausalLm(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.03)
    return model


def least(run: Callable[[], object], rounds: int, repeats: int) -> tuple[float, float]:
    """Least (wall_s, cpu_s) of one call over `rounds` rounds of `repeats` calls."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            run()
        walls.append((time.perf_counter() - wall) / repeats)
        cpus.append((time.process_time() - cpu) / repeats)
    return min(walls), min(cpus)


def tables(num: int) -> list[list[int]]:
    return [list(range(i * SEQUENCE_BLOCKS, (i + 1) * SEQUENCE_BLOCKS)) for i in range(num)]


def measure(name: str, model: CausalLm, num_threads: int, rounds: int) -> None:
    config = model.config
    runner = NativeRunner(model, num_blocks=16 * SEQUENCE_BLOCKS, num_threads=num_threads)
    runner.warm_up()
    head = config.vocab_size * config.hidden_size
    body = sum(p.numel() for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n)
    ids = [(i * 7919) % config.vocab_size for i in range(PREFILL_TOKENS)]
    sequences = tables(16)

    def prefill() -> None:
        for start in range(0, PREFILL_TOKENS, CHUNK):
            is_last = start + CHUNK == PREFILL_TOKENS
            runner.forward([Rows(sequences[0], start, ids[start : start + CHUNK], int(is_last))])

    for table in sequences:
        runner.forward([Rows(table, 0, (ids * 2)[:CACHED], 0)])
    print(f"{name}, {num_threads} thread(s), {body + head:,} parameters in matrices")
    wall_s, cpu_s = least(prefill, rounds, 1)
    print(
        f"  prefill {PREFILL_TOKENS} in {CHUNK}s  {PREFILL_TOKENS / wall_s:7.0f} tok/s wall  {PREFILL_TOKENS / cpu_s:7.0f} tok/s cpu"
        f"  {2e-9 * body * PREFILL_TOKENS / wall_s:6.0f} GOPS"
    )
    cases = [(f"decode B={b}", b, 1) for b in (1, 4, 8, 16)] + [
        (f"verify 1x{n}", 1, n) for n in (4, 8)
    ]
    for label, batch, rows in cases:
        step = [Rows(sequences[b], CACHED, ids[:rows], rows) for b in range(batch)]
        wall_s, cpu_s = least(lambda step=step: runner.forward(step), rounds, 10)
        print(
            f"  {label:12} {wall_s * 1e3:7.3f} ms wall {cpu_s * 1e3:7.3f} ms cpu"
            f"  {(body + head) * (1 + 4 / 64) / wall_s * 1e-9:5.1f} GB/s {2e-9 * (body + head) * batch * rows / wall_s:6.0f} GOPS"
        )
    runner.close()


@torch.inference_mode()
def measure_quality(model: CausalLm, tokenizer: Tokenizer) -> None:
    runner = NativeRunner(model, num_blocks=SEQUENCE_BLOCKS)
    float_nats = native_nats = 0.0
    num_tokens = num_bytes = num_agreeing = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[5::8][:20]:
        ids = tokenizer.encode(path.read_text(encoding="utf-8", errors="replace")[:4000])[:1000]
        targets_T = torch.tensor(ids[1:])
        float_TV = model.logits(model(torch.tensor([ids]))[0])
        native_TV = runner.forward([Rows(range(SEQUENCE_BLOCKS), 0, ids, len(ids))])
        float_nats += float(cross_entropy(float_TV[:-1], targets_T, reduction="sum"))
        native_nats += float(cross_entropy(native_TV[:-1], targets_T, reduction="sum"))
        num_agreeing += int((float_TV.argmax(-1) == native_TV.argmax(-1)).sum())
        num_tokens += len(ids)
        num_bytes += len(tokenizer.decode(ids[1:]).encode())
    bits = 1 / num_bytes / math.log(2)
    print(
        f"{num_tokens:,} tokens: {float_nats * bits:.4f} bits per byte in float32, {native_nats * bits:.4f} native"
        f" ({100 * (native_nats / float_nats - 1):+.3f} %), same greedy choice at {100 * num_agreeing / num_tokens:.2f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quality", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quality:
        measure_quality(load_model(SHIPPED), Tokenizer.load(SHIPPED / "tokenizer.json"))
        return
    for name, model in (("shipped", load_model(SHIPPED)), ("62M", random_model(MID))):
        for num_threads in arguments.threads:
            measure(name, model, num_threads, arguments.rounds)


if __name__ == "__main__":
    main()
