"""Reference counts of the physical blocks of the KV cache. Knows no tokens and no tensors.

A block is *held* once by each sequence whose block table names it, and once by the prefix cache if it
lies in the tree there. What nobody holds is free. What the prefix cache alone holds is *idle*: it is
full of use, and can be had by evicting it.

    free ──allocate──> held by a sequence ──release──> free
                         │        ^     └──cache, release──> idle ──uncache──> free
                         └─retain─┘                           └──retain──> held again

Invariant (`check`): counts equal what the holders say; free, idle and busy blocks are all blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class BlockPool:
    """All blocks of one executor."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))
        self._num_holders = [0] * num_blocks
        self._is_cached = [False] * num_blocks
        self.num_idle = 0
        """Blocks that only the prefix cache holds."""

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_busy(self) -> int:
        """Blocks that some sequence holds."""
        return self.num_blocks - len(self._free) - self.num_idle

    def allocate(self) -> int:
        """Take a free block; the caller holds it. There must be one."""
        block_id = self._free.pop()
        self._num_holders[block_id] = 1
        return block_id

    def retain(self, block_id: int) -> None:
        """Hold a block that somebody else, or the cache, holds already."""
        assert self._num_holders[block_id] > 0, f"block {block_id} is free"
        if self.is_idle(block_id):
            self.num_idle -= 1
        self._num_holders[block_id] += 1

    def release(self, block_id: int) -> None:
        """Stop holding a block; it is free if nobody else holds it."""
        assert self._num_holders[block_id] > 0, f"block {block_id} is released twice"
        self._num_holders[block_id] -= 1
        if not self._num_holders[block_id]:
            self._free.append(block_id)
        elif self.is_idle(block_id):
            self.num_idle += 1

    def cache(self, block_id: int) -> None:
        """The prefix cache holds the block, which a sequence holds, from now on as well."""
        assert not self._is_cached[block_id], f"block {block_id} is cached twice"
        self.retain(block_id)
        self._is_cached[block_id] = True

    def uncache(self, block_id: int) -> None:
        """The prefix cache holds the block no longer."""
        assert self._is_cached[block_id], f"block {block_id} is not cached"
        if self.is_idle(block_id):
            self.num_idle -= 1
        self._is_cached[block_id] = False
        self.release(block_id)

    def is_idle(self, block_id: int) -> bool:
        """Does the prefix cache alone hold it?"""
        return self._is_cached[block_id] and self._num_holders[block_id] == 1

    def check(self, tables: Iterable[Iterable[int]], cached: Iterable[int]) -> None:
        """Assert the invariant, given all block tables and the blocks in the prefix cache."""
        cached = list(cached)
        holders = Counter(block_id for table in tables for block_id in table)
        holders.update(cached)
        counts = {i: count for i, count in enumerate(self._num_holders) if count}
        assert counts == dict(holders), "blocks lost, shared by mistake or held too often"
        assert sorted(self._free) == [i for i in range(self.num_blocks) if i not in holders]
        assert [i for i, is_in in enumerate(self._is_cached) if is_in] == sorted(cached)
        assert self.num_idle == sum(map(self.is_idle, cached)), "idle blocks miscounted"
