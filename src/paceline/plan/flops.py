"""The work of one engine step: floating-point operations and bytes moved, and how near a device's peak.

    step            decode of a at position 99, prefill of b's positions 0-31
    spans           [Span(99, 1), Span(0, 32)]
    step_flops      what the mathematics asks, whatever the code does
    step_bytes      what must cross the memory bus at least once
    utilisation     both divided by what the device could have done in that time

A multiply-add is two operations. Only matrix products and attention count; norms, RoPE, activation
functions, sampling and LoRA do not. So a kernel that computes masked pairs, padding rows or drafts
that are rejected gains nothing by it here.

Legend of the formulas: L layers, M hidden size, H query heads, K key/value heads, D head width,
F feed-forward width, V vocabulary, T rows of the step, R rows with logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from paceline.core.errors import ConfigError


class DecoderNumbers(Protocol):
    """The numbers of a decoder's config that matter here; `model.config.ModelConfig` has them all."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def ffn_size(self) -> int: ...
    @property
    def ffn(self) -> str: ...
    @property
    def sliding_window_tokens(self) -> int | None: ...


class DecoderShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a decoder with grouped-query attention."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    num_ffn_matrices: int = 3
    """3 where the feed-forward is gated (gate, up, down), 2 where it is plain."""
    sliding_window_tokens: int | None = None
    """A row sees itself and the sliding_window_tokens - 1 positions before it; None sees all."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}.")

    @classmethod
    def of(cls, config: DecoderNumbers) -> DecoderShape:
        """The shape of a model's config."""
        return cls(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            ffn_size=config.ffn_size,
            num_ffn_matrices=3 if config.ffn == "gated_silu" else 2,
            sliding_window_tokens=config.sliding_window_tokens,
        )

    @property
    def layer_parameters(self) -> int:
        """Matrix weights of one layer: 2 (H + K) D M of attention, and n M F of the feed-forward."""
        attention = 2 * (self.num_heads + self.num_kv_heads) * self.head_dim * self.hidden_size
        return attention + self.num_ffn_matrices * self.hidden_size * self.ffn_size

    @property
    def head_parameters(self) -> int:
        """V M, whether tied to the embedding or not."""
        return self.vocab_size * self.hidden_size

    @property
    def kv_numbers_per_position(self) -> int:
        """Numbers that one position keeps in the cache: 2 L K D."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim


class Span(NamedTuple):
    """Rows of one sequence in a step: positions start .. start + num_rows - 1, everything before is cached."""

    start: int
    num_rows: int


def visible_pairs(span: Span, window: int | None) -> int:
    """Pairs (row, key that it sees): the sum over the rows' positions p of min(p + 1, window)."""
    first, last = span.start + 1, span.start + span.num_rows
    if window is None or last <= window:
        return (first + last) * span.num_rows // 2
    num_growing = max(window - first, 0)
    growing = (first + window - 1) * num_growing // 2
    return growing + (span.num_rows - num_growing) * window


def visible_positions(span: Span, window: int | None) -> int:
    """Distinct positions that the span's rows read: all up to its end, or window + num_rows - 1."""
    end = span.start + span.num_rows
    return end if window is None else min(end, window + span.num_rows - 1)


def step_flops(shape: DecoderShape, spans: Iterable[Span], num_logit_rows: int) -> int:
    """Operations of a step: 2 T L (layer parameters) + 4 L H D (visible pairs) + 2 R V M.

    The 4 is a multiply-add for the score and one for the value, causal and windowed: a masked pair
    is no work. (Some projects count the full square; theirs is up to twice as much.)

    Source: Kaplan et al. 2020, arXiv:2001.08361, table 1, forward pass; with causal attention.
    """
    spans = list(spans)
    total_rows = sum(span.num_rows for span in spans)
    pairs = sum(visible_pairs(span, shape.sliding_window_tokens) for span in spans)
    matrices = 2 * total_rows * shape.num_layers * shape.layer_parameters
    attention = 4 * shape.num_layers * shape.num_heads * shape.head_dim * pairs
    return matrices + attention + 2 * num_logit_rows * shape.head_parameters


def step_bytes(
    shape: DecoderShape,
    spans: Iterable[Span],
    num_logit_rows: int,
    *,
    bytes_per_weight: float,
    bytes_per_kv_number: float,
) -> float:
    """Bytes that a step must move: w (L (layer parameters) + V M) + kv 2 L K D (T + read positions).

    Weights are read once, the head only if logits are asked for. Every sequence reads its own
    visible positions, also those that it shares with another, once per step and not once per row.
    Activations, embedding rows and norms are left out: they stay in caches, or are small.
    """
    spans = list(spans)
    if not spans:
        return 0.0
    num_weights = shape.num_layers * shape.layer_parameters
    if num_logit_rows:
        num_weights += shape.head_parameters
    written = sum(span.num_rows for span in spans)
    read = sum(visible_positions(span, shape.sliding_window_tokens) for span in spans)
    kv_numbers = shape.kv_numbers_per_position * (written + read)
    return bytes_per_weight * num_weights + bytes_per_kv_number * kv_numbers


class Utilisation(NamedTuple):
    """Shares of a device's peaks, 0 to 1; more than 1 means that a peak or a time is wrong."""

    flops: float
    """Model FLOPs utilisation (MFU)."""
    bandwidth: float
    """Model bandwidth utilisation (MBU)."""


def utilisation(
    flops: float, bytes: float, seconds: float, peak_flops: float, peak_bytes_per_s: float
) -> Utilisation:
    """Return flops / (seconds peak_flops) and bytes / (seconds peak_bytes_per_s).

    For a kind of step, pass the sums over its steps: the mean of shares would give a short step
    the weight of a long one.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B, for MFU.
    """
    if min(seconds, peak_flops, peak_bytes_per_s) <= 0:
        raise ConfigError("seconds, peak_flops and peak_bytes_per_s must be positive.")
    return Utilisation(flops / (seconds * peak_flops), bytes / (seconds * peak_bytes_per_s))


def least_seconds(flops: float, bytes: float, peak_flops: float, peak_bytes_per_s: float) -> float:
    """The roofline: no step can be faster than max(flops / peak_flops, bytes / peak_bytes_per_s).

    Source: Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785.
    """
    return max(flops / peak_flops, bytes / peak_bytes_per_s)
