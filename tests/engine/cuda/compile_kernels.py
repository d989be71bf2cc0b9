"""Compile every kernel that steps of two tiny models launch, for a GPU that need not be here.

    python tests/engine/cuda/compile_kernels.py [COMPUTE_CAPABILITY, default 90]

Nothing runs: launches are caught, and their arguments' types go through Triton's compiler and NVIDIA's
assembler, both of which come with Triton. Prints one line for each kernel: name, warps, registers, bytes
spilled, shared memory. TRITON_INTERPRET must not be set.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from paceline.engine.cuda import kernels
from paceline.engine.cuda.kernels import activation, attention, norm, rotation, sampling
from paceline.engine.cuda.runner import CudaRunner
from paceline.engine.step import Rows
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

BIG_HEADS = ModelConfig(
    vocab_size=9000,
    hidden_size=192,
    num_layers=1,
    num_heads=12,
    num_kv_heads=2,
    head_dim=128,
    ffn_size=320,
    context_tokens=1024,
)
"""The attention of Qwen2.5-Coder-1.5B, with QK-norm."""
PLAIN = msgspec.structs.replace(
    BIG_HEADS,
    num_heads=4,
    head_dim=64,
    norm="layer",
    ffn="gelu_tanh",
    has_qk_norm=False,
    sliding_window_tokens=512,
)
TYPES = {
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.int32: "*i32",
    torch.int64: "*i64",
    int: "i32",
    float: "fp32",
}
COMPILED: dict[str, str] = {}


def resources(cubin: bytes) -> str:
    """Registers, spilled bytes and static shared memory, as NVIDIA's tool reads them."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        shown = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    return " ".join(re.findall(r"(?:REG|STACK|LOCAL):\d+", shown.stdout))


def catch_launches(kernel: Any, capability: int) -> None:
    """Replace a kernel's launch by its compilation."""

    def compile_launch(*args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        names = kernel.arg_names
        given = {name: options.pop(name) for name in names if name in options}
        types = {
            name: TYPES[arg.dtype if isinstance(arg, torch.Tensor) else type(arg)]
            for name, arg in zip(names, args, strict=False)
        }
        signature = {name: types.get(name, "constexpr") for name in names}
        key = f"{kernel.__name__} {types} {given} {options}"
        if key in COMPILED:
            return
        aligned = {
            (names.index(name),): [["tt.divisibility", 16]]
            for name, type_name in types.items()
            if type_name.startswith("*")
        }
        source = ASTSource(fn=kernel, signature=signature, constexprs=given, attrs=aligned)
        target = GPUTarget("cuda", capability, 32)
        binary = triton.compile(source, target=target, options=options)
        COMPILED[key] = (
            f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__} "
            f"{ {k: v for k, v in given.items() if k in ('ROWS', 'D', 'HAS_WINDOW', 'IS_SPLIT')} } "
            f"warps:{options['num_warps']} {resources(binary.asm['cubin'])} "
            f"SHARED:{binary.metadata.shared} "
            f"tensor cores:{'mma' in binary.asm['ptx']}"
        )

    kernel.run = compile_launch


def main(capability: int = 90) -> None:
    """Catch the launches of a decode step and a prompt step."""
    if kernels.IS_INTERPRETED:
        sys.exit("Unset TRITON_INTERPRET: the interpreter does not compile.")
    for module in (activation, attention, norm, rotation, sampling):
        for name in vars(module):
            if name.endswith("_kernel"):
                catch_launches(getattr(module, name), capability)
    for config in (BIG_HEADS, PLAIN):
        model = CausalLm(config)
        model.initialise(0)
        runner = CudaRunner(
            model, num_blocks=4, dtype="bfloat16", device="cpu", operators=kernels.OPERATORS
        )
        logits = runner.forward([Rows([0], 0, [1], 1), Rows([1, 2], 0, [1] * 20, 1)])
        kernels.pick(logits, torch.ones(2), logits)
    sys.stdout.write("\n".join(COMPILED.values()) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
