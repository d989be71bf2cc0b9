"""The formulas against slow twins that count one pair, one position, one weight at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.core.errors import ConfigError
from paceline.model.config import ModelConfig
from paceline.plan.devices import DEVICES, device_peaks
from paceline.plan.flops import (
    DecoderShape,
    Span,
    least_seconds,
    step_bytes,
    step_flops,
    utilisation,
    visible_pairs,
    visible_positions,
)

SHAPE = DecoderShape(
    vocab_size=100,
    hidden_size=8,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    ffn_size=20,
)
spans = st.builds(Span, st.integers(0, 60), st.integers(1, 40))
windows = st.none() | st.integers(1, 70)


def seen(position: int, window: int | None) -> set[int]:
    """Positions that a row sees, by the definition in ModelConfig."""
    first = 0 if window is None else max(0, position - window + 1)
    return set(range(first, position + 1))


@given(spans, windows)
def test_visible_pairs_and_positions_are_what_counting_gives(span: Span, window: int | None):
    rows = [seen(span.start + i, window) for i in range(span.num_rows)]
    assert visible_pairs(span, window) == sum(map(len, rows))
    assert visible_positions(span, window) == len(set().union(*rows))


@given(st.integers(0, 60), st.integers(2, 30), windows)
def test_chunks_do_the_work_of_the_whole_prompt(start: int, count: int, window: int | None):
    shape = DecoderShape(
        vocab_size=9,
        hidden_size=4,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=2,
        ffn_size=5,
        sliding_window_tokens=window,
    )
    cut = count // 2
    whole = step_flops(shape, [Span(start, count)], 1)
    parts = step_flops(shape, [Span(start, cut)], 0) + step_flops(
        shape, [Span(start + cut, count - cut)], 1
    )
    assert parts == whole


def test_one_row_without_context_costs_two_operations_a_weight():
    weights = 3 * (8 * 24 + 2 * 8 * 12 + 24 * 8 + 3 * 8 * 20)
    assert SHAPE.num_layers * SHAPE.layer_parameters == weights
    attention = 3 * 4 * (2 * 6 + 2 * 6)
    assert step_flops(SHAPE, [Span(0, 1)], 1) == 2 * weights + attention + 2 * 100 * 8
    assert step_flops(SHAPE, [Span(0, 1)], 0) == 2 * weights + attention


def test_bytes_are_weights_once_and_keys_and_values_per_sequence():
    weights = SHAPE.num_layers * SHAPE.layer_parameters
    both = step_bytes(SHAPE, [Span(9, 1), Span(0, 4)], 2, bytes_per_weight=2, bytes_per_kv_number=4)
    assert both == 2 * (weights + 800) + 4 * (2 * 3 * 2 * 6) * (1 + 4 + 10 + 4)
    no_head = step_bytes(SHAPE, [Span(0, 4)], 0, bytes_per_weight=1, bytes_per_kv_number=0)
    assert no_head == weights
    assert step_bytes(SHAPE, [], 0, bytes_per_weight=2, bytes_per_kv_number=2) == 0


def test_a_plain_feed_forward_has_two_matrices():
    config = ModelConfig(
        vocab_size=100,
        hidden_size=8,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        head_dim=6,
        ffn_size=20,
        context_tokens=64,
    )
    assert DecoderShape.of(config) == SHAPE
    assert SHAPE.layer_parameters * 3 == config.num_matmul_parameters


def test_utilisation_is_a_share_of_each_peak():
    shares = utilisation(flops=50, bytes=30, seconds=2, peak_flops=100, peak_bytes_per_s=30)
    assert shares == (0.25, 0.5)
    assert least_seconds(50, 30, 100, 30) == 1.0
    with pytest.raises(ConfigError, match="must be positive"):
        utilisation(1, 1, 0, 1, 1)


def test_a_zero_size_is_refused_by_name():
    with pytest.raises(ConfigError, match="head_dim must be at least 1"):
        DecoderShape(
            vocab_size=1,
            hidden_size=1,
            num_layers=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=0,
            ffn_size=1,
        )


@pytest.mark.parametrize(
    ("cuda_name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_devices_are_known_by_the_name_that_cuda_gives(cuda_name: str, expected: str | None):
    found = device_peaks(cuda_name)
    assert (found and found.name) == expected


def test_fp8_peaks_are_twice_those_of_bf16():
    for device in DEVICES:
        assert device.peak_flops(is_fp8=True) == pytest.approx(2 * device.peak_flops(), rel=0.01)
