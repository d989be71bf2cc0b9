"""Sums of the work of one kind of step: rows, seconds, operations, bytes; and the share of the peaks.

`plan.flops` says what a step costs, in some microseconds of Python a step. Its formulas are linear in a
few counts, so a step adds those to running sums here (some hundred nanoseconds), and a reader pays for
the multiplication. tests/engine/test_observer.py compares with `plan.flops`, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paceline.core.errors import ConfigError
from paceline.engine.observe.stats import StepStats
from paceline.plan.flops import (
    DecoderShape,
    Span,
    Utilisation,
    utilisation,
    visible_pairs,
    visible_positions,
)


class Peaks(NamedTuple):
    """What the device can do at best, for the weights' type: from a data sheet or measured."""

    flops_per_s: float
    bytes_per_s: float


class Precision(NamedTuple):
    """How many bytes a number takes."""

    bytes_per_weight: float | Callable[[int], float] = 4.0
    """A function where it depends on the rows of the step (int8 for few, bfloat16 for many)."""
    bytes_per_kv_number: float = 4.0


class WorkTotals:
    """Running sums over the steps of one kind."""

    def __init__(self, shape: DecoderShape | None, precision: Precision) -> None:
        self._shape, self._kv_bytes = shape, precision.bytes_per_kv_number
        self._window = shape.sliding_window_tokens if shape else None
        width = precision.bytes_per_weight
        self._bytes_per_weight = width if callable(width) else lambda num_rows: width
        self.seconds = 0.0
        self.num_rows = 0
        self._num_pairs = 0
        self._num_positions = 0
        self._num_logit_rows = 0
        self._layer_bytes_per_weight = 0.0
        self._head_bytes_per_weight = 0.0

    def add(self, stats: StepStats) -> int:
        """Add one step and return its rows.

        Rows with logits are not reported: taken are the guesses and the row before them, unless a
        chunk of a prompt gave no token.
        """
        num_rows = num_logit_rows = 0
        for _, start, rows, drafts, num_new in stats.entries:
            num_rows += rows
            if num_new or rows == drafts + 1:
                num_logit_rows += drafts + 1
            if self._window is None:
                self._num_pairs += (2 * start + rows + 1) * rows // 2
                self._num_positions += start + rows
            else:
                span = Span(start, rows)
                self._num_pairs += visible_pairs(span, self._window)
                self._num_positions += visible_positions(span, self._window)
        width = self._bytes_per_weight(num_rows)
        self.seconds += stats.seconds
        self.num_rows += num_rows
        self._num_logit_rows += num_logit_rows
        self._layer_bytes_per_weight += width
        self._head_bytes_per_weight += width if num_logit_rows else 0.0
        return num_rows

    @property
    def flops(self) -> float:
        """Sum of `plan.flops.step_flops`; 0 if the shape is unknown."""
        shape = self._shape
        if shape is None:
            return 0.0
        matrices = 2 * self.num_rows * shape.num_layers * shape.layer_parameters
        attention = 4 * shape.num_layers * shape.num_heads * shape.head_dim * self._num_pairs
        return float(matrices + attention + 2 * self._num_logit_rows * shape.head_parameters)

    @property
    def bytes(self) -> float:
        """Sum of `plan.flops.step_bytes`; 0 if the shape is unknown."""
        shape = self._shape
        if shape is None:
            return 0.0
        layers = self._layer_bytes_per_weight * shape.num_layers * shape.layer_parameters
        head = self._head_bytes_per_weight * shape.head_parameters
        kv_numbers = shape.kv_numbers_per_position * (self.num_rows + self._num_positions)
        return layers + head + self._kv_bytes * kv_numbers

    def utilisation(self, peaks: Peaks) -> Utilisation:
        """Shares of the peaks over all steps so far; only for a kind that has had one."""
        return utilisation(
            self.flops, self.bytes, self.seconds, peaks.flops_per_s, peaks.bytes_per_s
        )


def check_peaks(peaks: Peaks | None) -> None:
    """Raise ConfigError for peaks that are not positive."""
    if peaks is not None and not (peaks.flops_per_s > 0 and peaks.bytes_per_s > 0):
        raise ConfigError("Peaks of a device must be positive; give none if they are unknown.")
