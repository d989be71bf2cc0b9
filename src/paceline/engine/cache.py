"""Keys and values of all positions computed so far: per layer one tensor, per sequence one slot.

A slot is a contiguous stretch for the whole context, so reading is a view and never a copy. A slot
that is given to another sequence is not cleared: rows at or beyond `num_computed` are never read.

Legend: T packed rows of the step, S slots, K key/value heads, C context, D head width, N visible keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paceline.model.config import ModelConfig


class KvCache:
    """Slots of keys (after RoPE) and values."""

    def __init__(
        self, config: ModelConfig, num_slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (num_slots, config.num_kv_heads, config.context_tokens, config.head_dim)
        self.num_slots = num_slots
        self._keys_SKCD, self._values_SKCD = (
            [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
            for _ in range(2)
        )

    def write(
        self, layer: int, slot_T: Tensor, position_T: Tensor, k_TKD: Tensor, v_TKD: Tensor
    ) -> None:
        """Store the keys and values of the step's rows."""
        keys_SKCD, values_SKCD = self._keys_SKCD[layer], self._values_SKCD[layer]
        keys_SKCD[slot_T, :, position_T] = k_TKD.to(keys_SKCD.dtype)
        values_SKCD[slot_T, :, position_T] = v_TKD.to(values_SKCD.dtype)

    def read(self, layer: int, slot: int, num_keys: int) -> tuple[Tensor, Tensor]:
        """Views (keys_KND, values_KND) of the first `num_keys` positions of a slot."""
        return (
            self._keys_SKCD[layer][slot, :, :num_keys],
            self._values_SKCD[layer][slot, :, :num_keys],
        )
