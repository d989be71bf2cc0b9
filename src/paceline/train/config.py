"""What a training run needs to know. Free of torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.errors import ConfigError
from paceline.model.config import ModelConfig


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows are cut from the corpus."""

    row_tokens: int = 1024
    """Tokens of one training row."""
    min_sample_tokens: int = 256
    """A row holds one or more samples; budgets are drawn between this and what is left of the row."""
    fim_share: float = 0.8
    """Samples that are fill-in-the-middle; the rest is plain left-to-right."""
    spm_share: float = 0.75
    """Fill-in-the-middle samples in suffix-first order; the rest is prefix-first."""
    rest_of_line_share: float = 0.5
    """Middles that run from a cursor to the end of its line: what ghost text is."""
    lines_share: float = 0.3
    """Middles of one to five whole lines; what remains are random spans of characters."""
    max_middle_chars: int = 400
    max_suffix_share: float = 0.5
    """The suffix's share of a prompt is drawn between 0 and this."""

    def __post_init__(self) -> None:
        if self.rest_of_line_share + self.lines_share > 1.0:
            raise ConfigError("rest_of_line_share + lines_share must not exceed 1.")
        if not 64 <= self.min_sample_tokens <= self.row_tokens:
            raise ConfigError("min_sample_tokens must lie between 64 and row_tokens.")


class OptimiserConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Muon for the matrices of the blocks (or AdamW for all), AdamW for embeddings and norms."""

    kind: Literal["muon", "adamw"] = "muon"
    muon_lr: float = 6e-3
    adamw_lr: float = 3e-3
    weight_decay: float = 0.1
    adamw_betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Warm-up, stable, decay (WSD): linear up, flat, linear down to `final_share` of the peak."""

    warmup_steps: int = 40
    total_steps: int = 2500
    decay_steps: int = 1000
    final_share: float = 0.03

    def __post_init__(self) -> None:
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise ConfigError(
                f"warmup_steps ({self.warmup_steps}) and decay_steps ({self.decay_steps}) must fit into "
                f"total_steps ({self.total_steps}); lower --decay-steps or raise --steps."
            )

    def share_at(self, step: int) -> float:
        """Learning rate of the zero-based `step`, as a share of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = self.total_steps - step
        if left >= self.decay_steps:
            return 1.0
        return self.final_share + (1.0 - self.final_share) * max(left, 0) / self.decay_steps


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole run."""

    name: str
    model: ModelConfig
    data: DataConfig = DataConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    rows_per_step: int = 16
    rows_per_pass: int = 4
    """Rows of one forward and backward pass; a step accumulates as many passes as it needs."""
    seed: int = 20231
    compute_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_threads: int | None = None
    """CPU threads of one worker; None leaves PyTorch's choice."""
    num_workers: int = 1
    """Passes of one step that run side by side, each on a replica that shares the weights. On CPU two
    workers of one thread beat one worker of two threads: they meet once a step, not at every operation."""
    checkpoint_every_steps: int = 100
    eval_every_steps: int = 250
    eval_rows: int = 64
    """Rows from the held-out packages on which the validation loss is taken."""

    def __post_init__(self) -> None:
        if self.rows_per_step % self.rows_per_pass:
            raise ConfigError("rows_per_step must be a multiple of rows_per_pass.")
        if not 1 <= self.num_workers <= self.rows_per_step // self.rows_per_pass:
            raise ConfigError("num_workers must lie between 1 and the passes of a step.")
        if self.data.row_tokens > self.model.context_tokens:
            raise ConfigError("data.row_tokens must not exceed model.context_tokens.")

    @property
    def tokens_per_step(self) -> int:
        """Positions in one optimiser step."""
        return self.rows_per_step * self.data.row_tokens
