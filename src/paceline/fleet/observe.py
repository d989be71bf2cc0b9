"""What the observer must know of a model and its executor to say how well the device is used."""

from __future__ import annotations

from paceline.engine.observer import EngineObserver
from paceline.engine.step import BLOCK_TOKENS, Executor
from paceline.engine.work import Precision
from paceline.model.config import ModelConfig
from paceline.plan.flops import DecoderShape


def open_observer(model_id: str, config: ModelConfig, executor: Executor) -> EngineObserver:
    """An observer for one engine. Peaks are left out: a CPU's are not to be had from a data sheet."""
    numbers = 2 * config.num_layers * config.num_kv_heads * config.head_dim * BLOCK_TOKENS
    precision = Precision(
        bytes_per_weight=executor.weight_bytes / config.num_parameters,
        bytes_per_kv_number=executor.block_bytes / numbers,
    )
    return EngineObserver(
        model_id,
        DecoderShape.of(config),
        precision=precision,
        block_bytes=executor.block_bytes,
    )
