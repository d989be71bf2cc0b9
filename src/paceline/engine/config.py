"""Limits and numeric choices of one engine. Free of torch, so that any room may read or print it."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.errors import ConfigError
from paceline.engine.speculation import SpeculationConfig

Dtype = Literal["auto", "float64", "float32", "bfloat16", "fp8"]
Device = Literal["auto", "cpu", "cuda"]
ExecutorName = Literal["auto", "native", "torch", "cuda"]


class SchedulerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is computed at once, and who waits."""

    max_sequences: int = 32
    """Sequences that run, that is: hold KV and may share a step."""
    max_queued: int = 256
    """Sequences that may wait; one more is refused as overload, or takes the place of one of a user
    who has more than a fair share of the queue."""
    max_step_tokens: int = 256
    """Rows of one step, prompts, decodes and drafts together."""
    prefill_chunk_tokens: int = 128
    """Longest piece of one prompt in a step: bounds how long a new keystroke waits for the step."""
    batch_lane_tokens: int = 0
    """Rows that the batch lane may have in a step with interactive work; 0: it yields wholly."""
    fair_quantum_tokens: int = 512
    """A user this far ahead of another in computed rows goes after it, whatever the deadlines."""
    retry_after_ms: int = 250
    """What a refused client is told to wait."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            least = 0 if name == "batch_lane_tokens" else 1
            if getattr(self, name) < least:
                raise ConfigError(f"engine.scheduler.{name} must be at least {least}.")
        if self.max_sequences > self.max_step_tokens:
            raise ConfigError(
                "engine.scheduler.max_sequences must not exceed max_step_tokens: every running "
                "sequence needs a row."
            )


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine on one device."""

    scheduler: SchedulerConfig = SchedulerConfig()
    speculation: SpeculationConfig = SpeculationConfig()
    kv_cache_bytes: int = 512 * 2**20
    """Memory for keys and values, of running sequences and of the prefix cache together."""
    stream_interval_ms: float = 8.0
    """A reader is woken for its first token, for the end, and in between at most this often: waking
    it costs more than a token of a small model. 0 wakes it in every step."""
    num_threads: int | None = None
    """CPU threads of a forward pass; None: one for small models, else the cores that are free."""
    executor: ExecutorName = "auto"
    """auto: cuda on a GPU; on a CPU native (C++) where it can be built and `dtype` is auto, else torch."""
    device: Device = "auto"
    """auto is CUDA where there is a GPU."""
    dtype: Dtype = "auto"
    """auto: bfloat16 on CUDA, int8 weights in the native executor, and what is fastest in torch.
    float64 and float32 are exact and slow; fp8 is for CUDA devices that have it."""

    def __post_init__(self) -> None:
        if self.kv_cache_bytes < 1:
            raise ConfigError("engine.kv_cache_bytes must be at least 1.")
        if not self.stream_interval_ms >= 0:
            raise ConfigError("engine.stream_interval_ms must be 0 or more.")
        if self.num_threads is not None and self.num_threads < 1:
            raise ConfigError(
                "engine.num_threads must be at least 1, or null for a choice by load."
            )
        if (self.executor, self.device) in (("native", "cuda"), ("cuda", "cpu")):
            raise ConfigError(
                f"engine.device must not be {self.device} with the {self.executor} executor; set it to auto."
            )
        if self.executor == "native" and self.dtype != "auto":
            raise ConfigError("engine.dtype must be auto with the native executor (int8 weights).")
