"""The table of loaded adapters, and their share of a step: y[rows] += B (A x[rows]).

Rows come sorted by adapter (engine/eager/packing.py), so that each adapter is one slice and two products.

Legend: T packed rows, R rank, I input width, O output width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter, LoraPair
from paceline.model.config import ModelConfig

Place = Literal["qkv", "out", "ffn_in", "ffn_out"]
PLACES: tuple[Place, ...] = ("qkv", "out", "ffn_in", "ffn_out")


def matrix_shapes(config: ModelConfig) -> dict[Place, tuple[int, int]]:
    """(outputs, inputs) of the fused matrices of a layer."""
    M, F, D = config.hidden_size, config.ffn_size, config.head_dim
    A, E = config.num_heads * D, (config.num_heads + 2 * config.num_kv_heads) * D
    is_gated = config.ffn == "gated_silu"
    return {
        "qkv": (E, M),
        "out": (M, A),
        "ffn_in": (2 * F if is_gated else F, M),
        "ffn_out": (M, F),
    }


def check_adapter(lora: LoraAdapter, config: ModelConfig) -> None:
    """Compare every factor with the matrix that it adds to.

    Raises:
        AdapterError: the adapter was made for a model of another shape.
    """
    if len(lora.layers) != config.num_layers:
        raise AdapterError(
            f"Adapter {lora.name!r} has {len(lora.layers)} layers and the model {config.num_layers}; "
            "load one that was trained on this model."
        )
    for index, layer in enumerate(lora.layers):
        for place, (num_out, num_in) in matrix_shapes(config).items():
            pair: LoraPair | None = getattr(layer, place)
            if pair is None:
                continue
            rank = pair.a_RI.shape[0]
            if pair.a_RI.shape != (rank, num_in) or pair.b_OR.shape != (num_out, rank):
                raise AdapterError(
                    f"Adapter {lora.name!r}, layer {index}, {place}: A {list(pair.a_RI.shape)} and "
                    f"B {list(pair.b_OR.shape)} do not fit a matrix of {[num_out, num_in]}; load an "
                    "adapter that was trained on this model."
                )


class AdapterTable:
    """Adapters by row; row 0 is the base and has none."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        self._config, self._dtype, self._device = config, dtype, device
        self._rows: dict[int, tuple[dict[Place, tuple[Tensor, Tensor]], ...]] = {}

    def set(self, adapter: int, lora: LoraAdapter | None) -> None:
        """Fill or empty a row.

        Raises:
            AdapterError: it does not fit the model, or the row is the base's.
        """
        if adapter < 1:
            raise AdapterError(f"Adapter row {adapter} is the base model's; use 1 or more.")
        if lora is None:
            self._rows.pop(adapter, None)
            return
        check_adapter(lora, self._config)
        self._rows[adapter] = tuple(
            {
                place: (self._transposed(pair.a_RI), self._transposed(pair.b_OR))
                for place in PLACES
                if (pair := getattr(layer, place)) is not None
            }
            for layer in lora.layers
        )

    def _transposed(self, factor: Tensor) -> Tensor:
        return factor.to(self._device, self._dtype).t().contiguous()

    def check(self, adapters: tuple[tuple[int, slice], ...]) -> None:
        """Refuse a step that names an empty row.

        Raises:
            AdapterError: a row of `adapters` is empty.
        """
        for adapter, _ in adapters:
            if adapter not in self._rows:
                raise AdapterError(
                    f"Adapter row {adapter} is empty; load the adapter before its requests."
                )

    def add(
        self,
        layer: int,
        place: Place,
        adapters: tuple[tuple[int, slice], ...],
        x_TI: Tensor,
        y_TO: Tensor,
    ) -> Tensor:
        """Add each adapter's share to y_TO in place, and return it."""
        for adapter, rows in adapters:
            factors = self._rows[adapter][layer].get(place)
            if factors is not None:
                a_IR, b_RO = factors
                y_TO[rows].addmm_(x_TI[rows].to(self._dtype) @ a_IR, b_RO)
        return y_TO
