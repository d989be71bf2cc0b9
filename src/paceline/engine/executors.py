"""Chooses what computes the steps: the one place that knows all executors."""

from __future__ import annotations

import logging

import torch

from paceline.core.errors import ConfigError
from paceline.engine.config import EngineConfig
from paceline.engine.step import BLOCK_TOKENS, Executor
from paceline.engine.threads import free_threads, most_threads
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

_LOG = logging.getLogger("paceline.engine")

LEAST_TOKENS = 256
"""A KV cache that holds less is refused."""
SEVERAL_THREADS_PARAMETERS = 300_000_000
"""From here on the native executor takes all free cores by itself. With 62 M, two threads made a decode
step 1.9x slower (1.87 -> 3.59 ms) and prefill 1.2x faster (benchmarks/native_steps.py --threads 1 2, a
virtual machine, where waking a thread takes long); 300 M is where a step is five times as long."""


def open_executor(model: CausalLm, config: EngineConfig) -> Executor:
    """Prepare the weights of `model` for the device and executor that `config` asks for.

    `auto` on a CPU is the native executor where it can be built, and says in the log why not elsewhere.

    Raises:
        ConfigError: there is no such device, or no memory for the KV cache.
        NativeUnavailableError: native was asked for by name and cannot be had.
    """
    is_cuda = config.executor == "cuda" or (
        config.executor == "auto"
        and (config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available()))
    )
    if is_cuda:
        return _open_cuda(model, config)
    num_threads = _count_threads(config)
    if config.executor == "native" or (config.executor == "auto" and config.dtype == "auto"):
        from paceline.engine.native.errors import NativeUnavailableError
        from paceline.engine.native.runner import NativeRunner

        num_blocks = count_blocks(config, model.config, half_block_bytes(model.config))
        try:
            return NativeRunner(
                model,
                num_blocks=num_blocks,
                num_threads=_native_threads(model, config, num_threads),
            )
        except MemoryError as error:
            raise ConfigError(
                f"There is no memory for the weights and a KV cache of {config.kv_cache_bytes:,} bytes; "
                "lower engine.kv_cache_bytes (--kv-cache-mb)."
            ) from error
        except NativeUnavailableError as error:
            if config.executor == "native":
                raise
            _LOG.warning("Decoding is several times slower than it could be: %s", error)
    from paceline.engine.eager.runner import TorchRunner
    from paceline.engine.eager.weights import block_bytes

    torch.set_num_threads(num_threads)
    return TorchRunner(
        model,
        num_blocks=count_blocks(
            config, model.config, block_bytes(model.config, config.dtype, config.device)
        ),
        device=config.device,
        dtype=config.dtype,
        num_threads=num_threads,
    )


def _count_threads(config: EngineConfig) -> int:
    if config.num_threads is None:
        return free_threads()
    most = most_threads()
    if config.num_threads > most:
        _LOG.warning(
            "%d threads were asked for (--threads, engine.num_threads) but this process may use %d core%s, "
            "and more threads than cores make every step slower: using %d.",
            config.num_threads,
            most,
            "s" * (most > 1),
            most,
        )
    return min(config.num_threads, most)


def _native_threads(model: CausalLm, config: EngineConfig, num_threads: int) -> int:
    """One thread for a small model, unless more were asked for: waking the others costs more than they do."""
    is_small = model.config.num_parameters < SEVERAL_THREADS_PARAMETERS
    return 1 if config.num_threads is None and is_small else num_threads


def _open_cuda(model: CausalLm, config: EngineConfig) -> Executor:
    if not torch.cuda.is_available():
        fix = (
            "use --executor auto (engine.executor = auto)"
            if config.executor == "cuda"
            else "set engine.device to auto"
        )
        raise ConfigError(f"There is no CUDA device here; {fix}.")
    from paceline.engine.cuda.runner import CudaRunner

    num_blocks = count_blocks(config, model.config, half_block_bytes(model.config))
    return CudaRunner(model, num_blocks=num_blocks, dtype=config.dtype)


def half_block_bytes(model: ModelConfig) -> int:
    """Memory of a block in 16-bit numbers."""
    return 2 * 2 * model.num_layers * model.num_kv_heads * model.head_dim * BLOCK_TOKENS


def count_blocks(config: EngineConfig, model: ModelConfig, block_bytes: int) -> int:
    """Blocks that the byte budget pays for. If they hold less than the model's window, the log says so.

    Raises:
        ConfigError: they hold less than LEAST_TOKENS.
    """
    num_blocks = config.kv_cache_bytes // block_bytes
    num_tokens = num_blocks * BLOCK_TOKENS
    if num_tokens < min(LEAST_TOKENS, model.context_tokens):
        least_mb = -(-LEAST_TOKENS // BLOCK_TOKENS * block_bytes // 2**20)
        raise ConfigError(
            f"A KV cache of {config.kv_cache_bytes:,} bytes holds {num_tokens} tokens of this model, "
            f"which is too little to complete anything; give it at least {least_mb} MB (--kv-cache-mb)."
        )
    if num_tokens < model.context_tokens:
        _LOG.warning(
            "The KV cache holds %d tokens, fewer than the model's window of %d: longer prompts are cut "
            "or refused. A larger cache (--kv-cache-mb) uses the whole window.",
            num_tokens,
            model.context_tokens,
        )
    return num_blocks
