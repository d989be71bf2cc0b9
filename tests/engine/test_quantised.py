"""Kernels agree with the definition, and one that does not is not used."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from paceline.engine.eager import quantised
from paceline.engine.eager.quantised import FEW_ROWS, MixedMatrix, PlainMatrix


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_in", [20, 33, 64, 96])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("has_int8", [False, True])
def test_mixed_stays_close_for_any_shape(num_in: int, has_bias: bool, has_int8: bool) -> None:
    weight_OI, bias_O = random(101, num_in), random(101, seed=1) if has_bias else None
    weight_OI[3] = 0.0
    matrix = MixedMatrix(weight_OI, bias_O, has_int8=has_int8)
    for num_rows in (1, FEW_ROWS, FEW_ROWS + 1, 40):
        x_TI = random(num_rows, num_in, seed=num_rows)
        expected = F.linear(x_TI, weight_OI, bias_O)
        out = matrix(x_TI)
        assert out.dtype == torch.bfloat16
        assert (out.float() - expected).abs().max() <= 0.03 * expected.abs().max()
    assert num_in % 32 == 0 or "_Int8" not in matrix.kernels


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_plain(dtype: torch.dtype) -> None:
    weight_OI, bias_O, x_TI = random(7, 20), random(7, seed=1), random(3, 20, seed=2)
    matrix = PlainMatrix(weight_OI, bias_O, dtype)
    expected = F.linear(x_TI.to(dtype), weight_OI.to(dtype), bias_O.to(dtype))
    torch.testing.assert_close(matrix(x_TI), expected)
    assert matrix.num_bytes == (7 * 20 + 7) * dtype.itemsize


@pytest.mark.parametrize("failure", ["absent", "wrong", "nan"])
@pytest.mark.parametrize("kernel", ["_Int8", "_Packed"])
def test_a_kernel_that_fails_its_test_is_not_used(
    kernel: str, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: object, x_TI: torch.Tensor) -> torch.Tensor:
        if failure == "absent":
            raise AttributeError("no such operation")
        return torch.full((len(x_TI), 64), 9.0 if failure == "wrong" else float("nan"))

    monkeypatch.setattr(getattr(quantised, kernel), "__call__", call)
    weight_OI, x_TI = random(64, 64), random(1, 64, seed=3)
    matrix = MixedMatrix(weight_OI, None)
    assert kernel not in matrix.kernels
    expected = x_TI @ weight_OI.T
    assert (matrix(x_TI).float() - expected).abs().max() <= 0.03 * expected.abs().max()
