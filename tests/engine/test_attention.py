"""Folded, blocked, cached attention against the definition."""

from __future__ import annotations

import math

import pytest
import torch

from paceline.engine.eager.attention import BLOCK_ROWS, cached_attention


@pytest.mark.parametrize("num_rows", [1, 2, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
@pytest.mark.parametrize("num_cached", [0, 1, 200])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(4, 2), (3, 3)])
@pytest.mark.parametrize("window", [None, 1, 150])
def test_equals_the_definition(
    num_rows: int, num_cached: int, num_heads: int, num_kv_heads: int, window: int | None
) -> None:
    generator = torch.Generator().manual_seed(num_rows)
    num_keys, width = num_cached + num_rows, 16
    q_THD = torch.randn(num_rows, num_heads, width, generator=generator) / math.sqrt(width)
    cache_KCD = torch.randn(2, num_kv_heads, num_keys + 50, width, generator=generator)
    keys_KND, values_KND = cache_KCD[0, :, :num_keys], cache_KCD[1, :, :num_keys]
    group = num_heads // num_kv_heads
    scores_HTN = torch.einsum("thd,hnd->htn", q_THD, keys_KND.repeat_interleave(group, 0))
    hidden_TN = torch.ones(num_rows, num_keys, dtype=torch.bool).triu(num_cached + 1)
    if window is not None:
        hidden_TN |= torch.ones_like(hidden_TN).tril(num_cached - window)
    weights_HTN = scores_HTN.masked_fill(hidden_TN, float("-inf")).softmax(-1)
    expected = torch.einsum("htn,hnd->thd", weights_HTN, values_KND.repeat_interleave(group, 0))
    out = cached_attention(q_THD, keys_KND, values_KND, window=window)
    torch.testing.assert_close(out, expected.reshape(num_rows, -1), atol=1e-5, rtol=0)
