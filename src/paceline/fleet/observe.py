"""What the observer must know of a model and its executor to say how well the device is used."""

from __future__ import annotations

import torch

from paceline.engine.observe.observer import EngineObserver
from paceline.engine.observe.work import Peaks, Precision
from paceline.engine.step import BLOCK_TOKENS, Executor
from paceline.model.config import ModelConfig
from paceline.plan.devices import device_peaks
from paceline.plan.flops import DecoderShape


def open_observer(model_id: str, config: ModelConfig, executor: Executor) -> EngineObserver:
    """An observer for one engine."""
    numbers = 2 * config.num_layers * config.num_kv_heads * config.head_dim * BLOCK_TOKENS
    precision = Precision(
        bytes_per_weight=executor.weight_bytes / config.num_parameters,
        bytes_per_kv_number=executor.block_bytes / numbers,
    )
    return EngineObserver(
        model_id,
        DecoderShape.of(config),
        precision=precision,
        peaks=_peaks(executor),
        num_blocks=executor.num_blocks,
        block_bytes=executor.block_bytes,
    )


def _peaks(executor: Executor) -> Peaks | None:
    """Of the GPU that `executor` runs on; None for a CPU, whose peaks are in no data sheet."""
    is_cuda = "cuda" in executor.device_line and torch.cuda.is_available()
    peaks = device_peaks(torch.cuda.get_device_name()) if is_cuda else None
    if peaks is None:
        return None
    is_fp8 = "fp8" in executor.device_line
    return Peaks(peaks.peak_flops(is_fp8=is_fp8), peaks.memory_bytes_per_s)
