"""Limits and numeric choices of one engine. Free of torch, so that any room may read or print it."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.errors import ConfigError

Dtype = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one engine does at once, and in which numbers."""

    max_sequences: int = 8
    """Sequences that share a step; each owns one slot of the KV cache."""
    max_queued: int = 64
    """Sequences that may wait for a slot; one more is refused as overload."""
    max_prefill_tokens: int = 256
    """Prompt tokens computed in one step. Smaller keeps decoding of the others flat."""
    retry_after_ms: int = 250
    """What a refused client is told to wait."""
    num_threads: int | None = None
    """CPU threads of a forward pass, for the whole process; None takes the cores that are free."""
    device: Device = "auto"
    """auto is CUDA where there is a GPU."""
    dtype: Dtype = "auto"
    """float32 and bfloat16 compute every step so. auto is bfloat16 on CUDA; on a CPU with bfloat16
    instructions steps of many rows run in bfloat16 and steps of few rows, where it is slower, in
    float32; on other CPUs everything is float32."""

    def __post_init__(self) -> None:
        for name in ("max_sequences", "max_queued", "max_prefill_tokens", "retry_after_ms"):
            if getattr(self, name) < 1:
                raise ConfigError(f"engine.{name} must be at least 1.")
        if self.num_threads is not None and self.num_threads < 1:
            raise ConfigError(
                "engine.num_threads must be at least 1, or null for a choice by load."
            )
