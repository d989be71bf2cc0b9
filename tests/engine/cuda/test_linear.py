"""fp8 weights: the error that e4m3 must have, and who may ask for it."""

from __future__ import annotations

import pytest
import torch

from paceline.core.errors import ConfigError
from paceline.engine.cuda.linear import FP8_MAX, Linear, check_fp8, quantise_rows

HAS_SCALED_MM = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (9, 0)


def test_quantised_rows_are_within_half_a_unit():
    """e4m3 has three bits after the point: a relative error of 1/16, or half a subnormal step."""
    x = (
        torch.randn(5, 70, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-6, 3, 5)[:, None]
    )
    quantised, scale = quantise_rows(x)
    assert quantised.float().abs().amax(dim=1).eq(FP8_MAX).all()
    error = (quantised.float() * scale - x).abs()
    assert (error <= torch.maximum(x.abs() / 16, scale * 2**-10) * 1.001).all()


def test_a_row_of_zeros_stays_zero():
    quantised, scale = quantise_rows(torch.zeros(2, 16))
    assert not quantised.float().any()
    assert scale.isfinite().all()


def test_an_fp8_matrix_is_half_as_large():
    weight = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    fp8, dense = (Linear(weight, None, torch.bfloat16, is_fp8=is_fp8) for is_fp8 in (True, False))
    assert fp8.num_bytes * 2 == dense.num_bytes
    assert fp8.scale_1O is not None
    restored = fp8.weight_OI.float() * fp8.scale_1O.T
    torch.testing.assert_close(restored, weight, rtol=1 / 16, atol=1e-2)


@pytest.mark.skipif(not HAS_SCALED_MM, reason="needs a GPU of compute capability 9.0 or more")
def test_an_fp8_product_is_near_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(64, 128, generator=generator), torch.randn(64, generator=generator)
    for num_rows in (1, 3, 16, 65):
        x = torch.randn(num_rows, 128, generator=generator).to("cuda", torch.bfloat16)
        fp8, dense = (
            Linear(weight.cuda(), bias.cuda(), torch.bfloat16, is_fp8=is_fp8)(x).float()
            for is_fp8 in (True, False)
        )
        assert (fp8 - dense).norm() < 0.05 * dense.norm()


def test_fp8_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
        check_fp8(torch.device("cpu"), [16])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    check_fp8(torch.device("cuda"), [16, 48])
    with pytest.raises(ConfigError, match="one of 70"):
        check_fp8(torch.device("cuda"), [16, 70])
