"""Steps on one NVIDIA GPU: each fused kernel, and whole steps by kind, against eager and torch.compile.

    python benchmarks/cuda_steps.py [MODEL_FOLDER] [--context 2048] [--rounds 30] [--json FILE]

Without a folder a random model of the shape of Qwen2.5-Coder-1.5B is measured. Every side computes the
same steps on the same weights, one after the other in one process:

    eager      PyTorch's fused functions, launched one by one
    compiled   the same step through torch.compile
    triton     our kernels, launched one by one
    graphs     our kernels, replayed from CUDA graphs where the step fits into one
    fp8        as graphs, with fp8 weights, where the GPU has them

Kernels: median device time with a cold second-level cache (triton.testing.do_bench). Steps: median wall
time of `forward` until the logits are there, packing on the host included. MFU and bandwidth are shares
of the data sheet's peaks (plan/devices.py), of the work that plan/flops.py counts; `floor` is the
roofline's time for it. Without a CUDA device nothing is measured; `--rehearse` runs all of it on a tiny
model on the CPU, to see that the script works, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from paceline.engine.cuda.choose import load_operators
from paceline.engine.cuda.operators import LayerCache, Norm, Operators, Rotation, Tiles
from paceline.engine.cuda.packing import choose_splits
from paceline.engine.cuda.runner import CudaRunner
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.model.checkpoint import load_model
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm
from paceline.plan.devices import DevicePeaks, device_peaks
from paceline.plan.flops import (
    DecoderShape,
    Span,
    least_seconds,
    step_bytes,
    step_flops,
    utilisation,
)

QWEN_1_5B = ModelConfig(
    vocab_size=151_936,
    hidden_size=1536,
    num_layers=28,
    num_heads=12,
    num_kv_heads=2,
    head_dim=128,
    ffn_size=8960,
    context_tokens=4096,
    rope_theta=1e6,
    family="qwen2",
    has_qk_norm=False,
    has_qkv_bias=True,
)
TINY = ModelConfig(
    vocab_size=300,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    ffn_size=96,
    context_tokens=256,
)
UNKNOWN = DevicePeaks(
    name="unknown", bf16_flops=1e15, fp8_flops=2e15, memory_bytes_per_s=1e12, memory_bytes=1e9
)
SEQUENCES = 64
"""Most sequences of a step."""


class Setting(NamedTuple):
    """What all measurements share."""

    model: CausalLm
    device: torch.device
    peaks: DevicePeaks
    context: int
    rounds: int


class Kernel(NamedTuple):
    """One operator on one size."""

    name: str
    operator: str
    args: tuple[Any, ...]
    bytes: float
    flops: float = 0

    def call(self, operators: Operators) -> Any:
        """Run it."""
        options = {"is_gated": True} if self.operator == "activate" else {}
        return getattr(operators, self.operator)(*self.args, **options)


def kernels(setting: Setting) -> Iterator[Kernel]:
    """The operators at decoding's and prefill's sizes, on random numbers."""
    config, device, L = setting.model.config, setting.device, setting.context
    M, F, V = config.hidden_size, config.ffn_size, config.vocab_size
    H, K, D = config.num_heads, config.num_kv_heads, config.head_dim

    def normal(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    def integers(values: torch.Tensor) -> torch.Tensor:
        return values.to(device, torch.int32).contiguous()

    blocks = -(-L // BLOCK_TOKENS)
    cache = LayerCache(*(normal(SEQUENCES * blocks, K, BLOCK_TOKENS, D) for _ in range(2)))
    norm = Norm(torch.ones(M, device=device), None, 1e-6, False)
    table = torch.ones(L, D, device=device)
    rotation = Rotation(
        table, table, torch.ones(D, device=device), torch.ones(D, device=device), 1e-6
    )
    for T in (8, 64, L):
        x, residual, slots = normal(T, M), normal(T, M), integers(torch.arange(T))
        yield Kernel(f"add_norm T={T}", "add_norm", (x, residual, norm), 8 * T * M)
        yield Kernel(f"activate T={T}", "activate", (normal(T, 2 * F),), 6 * T * F)
        qkv = normal(T, (H + 2 * K) * D)
        rows = (qkv, rotation, slots, slots, cache)
        traffic = 4 * T * (H + 2 * K) * D + 8 * T * D
        yield Kernel(f"rotate_and_store T={T}", "rotate_and_store", rows, traffic)
    for B in (1, 8, SEQUENCES):
        index, ones = torch.arange(B), torch.ones(B)
        tables = integers(torch.randperm(B * blocks).view(B, blocks))
        columns = integers(torch.stack((index, ones, ones * (L - 1), index)))
        tiles = Tiles(columns, tables, 1, choose_splits(B * K, L, 132))
        rows = (normal(B, H, D), cache, tiles, None, normal(B, H * D))
        work = 4 * B * L * H * D
        yield Kernel(f"attention decode B={B} L={L}", "attend", rows, 4 * B * L * K * D, work)
    size = max(1, 64 // (H // K))
    first = torch.arange(0, L, size)
    columns = torch.stack((first, (L - first).clamp(max=size), first, torch.zeros_like(first)))
    tiles = Tiles(integers(columns), integers(torch.arange(blocks)[None]), size, 1)
    rows = (normal(L, H, D), cache, tiles, None, normal(L, H * D))
    work = 2 * H * D * L * (L + 1)
    yield Kernel(f"attention prefill T={L}", "attend", rows, 4 * L * (H + K) * D, work)
    for R in (1, 64):
        yield Kernel(f"pick R={R}", "pick", (normal(R, V, dtype=torch.float32),), 4 * R * V)


def time_call(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call on the device."""
    if device.type == "cuda":
        from triton.testing import do_bench

        median_ms: Any = do_bench(call, return_mode="median")
        return median_ms / 1e3
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_kernels(setting: Setting) -> list[dict[str, Any]]:
    """Time every operator by every side, and print a line for each."""
    eager = load_operators("eager", setting.device)
    sides = {"eager": eager}
    if setting.device.type == "cuda":
        compiled: list[Any] = [torch.compile(part, dynamic=False) for part in eager]
        sides["compiled"] = Operators(*compiled)
        sides["triton"] = load_operators("triton", setting.device)
    results: list[dict[str, Any]] = []
    for kernel in kernels(setting):
        row: dict[str, Any] = {"kernel": kernel.name}
        for side, operators in sides.items():
            seconds = time_call(lambda ops=operators, k=kernel: k.call(ops), setting.device)
            shares = utilisation(
                kernel.flops,
                kernel.bytes,
                seconds,
                setting.peaks.bf16_flops,
                setting.peaks.memory_bytes_per_s,
            )
            row[side] = {"us": seconds * 1e6, "mfu": shares.flops, "bandwidth": shares.bandwidth}
        results.append(row)
        cells = (
            f"{side} {cell['us']:9.1f} us {cell['bandwidth']:6.1%} bw {cell['mfu']:6.1%} mfu"
            for side, cell in row.items()
            if side != "kernel"
        )
        print(f"{kernel.name:<30} {'   '.join(cells)}", flush=True)
    return results


def step_kinds(context: int) -> dict[str, list[Rows]]:
    """Steps of each kind; sequence s has the s-th run of blocks."""
    blocks = -(-context // BLOCK_TOKENS)

    def rows(sequence: int, start: int, count: int, num_logit_rows: int = 1) -> Rows:
        first = sequence * blocks
        return Rows(range(first, first + blocks), start, [1] * count, num_logit_rows)

    last = context - 8
    kinds = {f"decode B={B}": [rows(s, last, 1) for s in range(B)] for B in (1, 4, 8, 16, 32, 64)}
    kinds["keystroke 3 rows"] = [rows(0, last, 3)]
    kinds["verify 8 x 4 rows"] = [rows(s, last, 4, 4) for s in range(8)]
    for count in (context // 8, context // 2):
        kinds[f"prefill {count}"] = [rows(0, 0, count)]
    mixed = [rows(s, last, 1) for s in range(1, 9)]
    kinds[f"mixed 8 + {context // 8}"] = [*mixed, rows(0, context // 2, context // 8)]
    return kinds


def time_step(runner: CudaRunner, step: list[Rows], rounds: int) -> float:
    """Median seconds of a step, after three that do not count."""
    seconds: list[float] = []
    for round_ in range(rounds + 3):
        start = time.perf_counter()
        runner.forward(step)
        if round_ >= 3:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def make_runner(setting: Setting, side: str) -> CudaRunner:
    """A runner of one side, with its cache filled."""
    is_cuda = setting.device.type == "cuda"
    options: dict[str, Any] = {"operators": "eager", "dtype": "bfloat16"}
    if side in ("triton", "graphs", "fp8"):
        options["operators"] = "triton" if is_cuda else "eager"
    if side not in ("graphs", "fp8"):
        options["buckets"] = ()
    if side == "fp8":
        options["dtype"] = "fp8"
    blocks = SEQUENCES * -(-setting.context // BLOCK_TOKENS)
    runner = CudaRunner(setting.model, num_blocks=blocks, device=setting.device.type, **options)
    ids = torch.randint(runner.vocab_size, (setting.context,)).tolist()
    for sequence in range(SEQUENCES):
        first = sequence * (blocks // SEQUENCES)
        table = range(first, first + blocks // SEQUENCES)
        runner.forward([Rows(table, 0, ids, 0)])
    if side == "compiled":
        torch._dynamo.config.cache_size_limit = 64  # pyright: ignore
        runner.compute = torch.compile(runner.compute, dynamic=False)
    runner.warm_up()
    return runner


def measure_steps(setting: Setting) -> list[dict[str, Any]]:
    """Time every kind of step by every side, and print a line for each."""
    sides = ["eager", "triton", "graphs"]
    if setting.device.type == "cuda":
        sides = ["eager", "compiled", "triton", "graphs"]
        if torch.cuda.get_device_capability() >= (9, 0):
            sides.append("fp8")
    results: list[dict[str, Any]] = []
    for side in sides:
        runner = make_runner(setting, side)
        for kind, step in step_kinds(setting.context).items():
            seconds = time_step(runner, step, setting.rounds)
            results.append(account(setting, runner, side, kind, step, seconds))
        del runner
        gc.collect()
        torch.cuda.empty_cache()
    return results


def account(
    setting: Setting, runner: CudaRunner, side: str, kind: str, step: list[Rows], seconds: float
) -> dict[str, Any]:
    """Print and return one line."""
    shape = DecoderShape.of(setting.model.config)
    spans = [Span(rows.start, len(rows.token_ids)) for rows in step]
    num_logit_rows = sum(rows.num_logit_rows for rows in step)
    num_weights = shape.num_layers * shape.layer_parameters + shape.head_parameters
    flops = step_flops(shape, spans, num_logit_rows)
    traffic = step_bytes(
        shape,
        spans,
        num_logit_rows,
        bytes_per_weight=runner.weights.num_bytes / num_weights,
        bytes_per_kv_number=2,
    )
    peak = setting.peaks.peak_flops(is_fp8=side == "fp8")
    shares = utilisation(flops, traffic, seconds, peak, setting.peaks.memory_bytes_per_s)
    floor = least_seconds(flops, traffic, peak, setting.peaks.memory_bytes_per_s)
    num_rows = sum(span.num_rows for span in spans)
    print(
        f"{side:<9} {kind:<20} {seconds * 1e3:8.3f} ms  floor {floor * 1e3:7.3f} ms  "
        f"{num_rows / seconds:9.0f} rows/s  MFU {shares.flops:6.1%}  bandwidth {shares.bandwidth:6.1%}"
        f"{'  (graph)' if runner.replays(step) else ''}",
        flush=True,
    )
    return {
        "side": side,
        "kind": kind,
        "ms": seconds * 1e3,
        "floor_ms": floor * 1e3,
        "mfu": shares.flops,
        "bandwidth": shares.bandwidth,
    }


def prepare(args: argparse.Namespace) -> Setting:
    """The model and the device."""
    if args.folder is not None:
        model = load_model(args.folder)
    else:
        model = CausalLm(TINY if args.rehearse else QWEN_1_5B)
        model.initialise(0)
    context = min(args.context, model.config.context_tokens)
    if args.rehearse:
        return Setting(model, torch.device("cpu"), UNKNOWN, min(context, 64), 1)
    peaks = device_peaks(torch.cuda.get_device_name()) or UNKNOWN
    return Setting(model, torch.device("cuda"), peaks, context, args.rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--rehearse", action="store_true", help="tiny model on the CPU")
    args = parser.parse_args()
    if not torch.cuda.is_available() and not args.rehearse:
        print("cuda_steps: there is no CUDA device here, so nothing was measured.")
        return
    if args.rehearse:
        torch.set_num_threads(1)
        print("Rehearsal on the CPU: no figure below means anything.")
        name = "cpu"
    else:
        name = torch.cuda.get_device_name()
    setting = prepare(args)
    print(
        f"{name} ({setting.peaks.name}), torch {torch.__version__}; "
        f"{setting.model.config.num_parameters / 1e6:.0f} M parameters, context {setting.context}"
    )
    figures = {
        "device": name,
        "torch": torch.__version__,
        "steps": measure_steps(setting),
        "kernels": measure_kernels(setting),
    }
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
