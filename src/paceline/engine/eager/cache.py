"""Keys and values of all positions computed so far: per layer one tensor, cut into blocks.

    block table [7, 2, 9]  ->  positions 0-15 lie in block 7, 16-31 in block 2, 32-47 in block 9

A head's keys in a block are contiguous, so gathering a sequence copies 2 KiB pieces: about a tenth
of what attention over them costs. A block that is given to another sequence is not cleared:
positions that nobody has written are never read.

Legend: T packed rows of the step, L physical positions (num_blocks * 16), J = 2K heads of keys and
values (the K keys first), D head width, N gathered positions.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
from torch import Tensor

from paceline.engine.step import BLOCK_TOKENS
from paceline.model.config import ModelConfig


class KvCache:
    """Blocks of keys (after RoPE) and values."""

    def __init__(
        self, config: ModelConfig, num_blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (2 * config.num_kv_heads, num_blocks * BLOCK_TOKENS, config.head_dim)
        self.num_blocks, self.dtype, self._device = num_blocks, dtype, device
        self._layers_JLD = [
            torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers)
        ]
        self._by_block = [
            layer.view(shape[0], num_blocks, BLOCK_TOKENS * config.head_dim)
            for layer in self._layers_JLD
        ]

    def write(self, layer: int, position_T: Tensor, kv_TJD: Tensor) -> None:
        """Store rows at physical positions."""
        self._layers_JLD[layer].index_copy_(1, position_T, kv_TJD.to(self.dtype).transpose(0, 1))

    def locate(self, block_ids: Items[int]) -> Tensor | slice:
        """What `read` needs to find blocks in any layer.

        Neighbours in memory are a slice, so that reading them is a view.
        """
        first, num_blocks = block_ids[0], len(block_ids)
        is_run = all(block_ids[i] == first + i for i in range(1, num_blocks))
        if is_run:
            return slice(first * BLOCK_TOKENS, (first + num_blocks) * BLOCK_TOKENS)
        return torch.tensor(block_ids, dtype=torch.long).to(self._device)

    def read(self, layer: int, located: Tensor | slice) -> Tensor:
        """Return kv_JND of the located blocks; not to be written to."""
        if isinstance(located, slice):
            return self._layers_JLD[layer][:, located]
        gathered = self._by_block[layer].index_select(1, located)
        return gathered.view(gathered.shape[0], -1, self._layers_JLD[layer].shape[2])

    def copy_blocks(self, pairs: Items[tuple[int, int]]) -> None:
        """Copy blocks (source, destination). All sources are read before a destination is written."""
        sources, destinations = torch.tensor(pairs, dtype=torch.long).to(self._device).unbind(1)
        for layer in self._by_block:
            layer.index_copy_(1, destinations, layer.index_select(1, sources))
