"""Limits of one completion: how much is read, how much is written, how long it may take."""

from __future__ import annotations

import msgspec

from paceline.complete.modes import Mode
from paceline.core.errors import ConfigError


class CompleteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the service may spend on one completion."""

    single_line_max_tokens: int = 64
    """A line of 100 characters is about 35 tokens; what is longer is cut, not lost."""
    block_body_max_tokens: int = 160
    multi_line_max_tokens: int = 256
    max_prompt_tokens: int = 1024
    """Budget of the prompt. Smaller keeps prefill short; the model's window bounds it as well."""
    max_prefix_chars: int = 16_384
    """Text further before the cursor is not even looked at."""
    max_suffix_chars: int = 8_192
    max_latency_ms: float | None = 5_000.0
    """What has been written by then is the completion; None waits for as long as it takes."""
    backstop_ms: float = 50.0
    """So much later than that the service stops waiting for a generator that keeps no deadline; one
    that does ends at the step before."""

    def __post_init__(self) -> None:
        counts = (
            self.single_line_max_tokens,
            self.block_body_max_tokens,
            self.multi_line_max_tokens,
            self.max_prompt_tokens,
            self.max_prefix_chars,
            self.max_suffix_chars,
        )
        if min(counts) < 1:
            raise ConfigError("Every limit of a completion must be at least 1.")
        if self.max_latency_ms is not None and self.max_latency_ms <= 0:
            raise ConfigError("max_latency_ms must be positive.")
        if self.backstop_ms < 0:
            raise ConfigError("backstop_ms must be 0 or more.")

    def max_tokens(self, mode: Mode) -> int:
        """Longest completion of `mode`."""
        limits = {
            "single_line": self.single_line_max_tokens,
            "block_body": self.block_body_max_tokens,
            "multi_line": self.multi_line_max_tokens,
        }
        return limits[mode]
