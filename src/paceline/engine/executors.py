"""Chooses what computes the steps: the one place that knows all executors."""

from __future__ import annotations

import logging

import torch

from paceline.core.errors import ConfigError
from paceline.engine.config import EngineConfig
from paceline.engine.step import BLOCK_TOKENS, Executor
from paceline.engine.threads import free_threads
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm

_LOG = logging.getLogger("paceline.engine")

LEAST_TOKENS = 256
"""A KV cache that holds less is refused."""


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
    num_threads = config.num_threads or free_threads()
    if config.executor == "native" or (config.executor == "auto" and config.dtype == "auto"):
        from paceline.engine.native.errors import NativeUnavailableError
        from paceline.engine.native.runner import NativeRunner

        num_blocks = count_blocks(config, model.config, half_block_bytes(model.config))
        try:
            return NativeRunner(model, num_blocks=num_blocks, num_threads=num_threads)
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


def _open_cuda(model: CausalLm, config: EngineConfig) -> Executor:
    if not torch.cuda.is_available():
        raise ConfigError("There is no CUDA device here; set engine.device to cpu or auto.")
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
