"""No block is ever lost, shared by mistake or freed too early: a state machine over pool and cache."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from paceline.engine.block_pool import BlockPool
from paceline.engine.prefix_cache import Match, PrefixCache, common_tokens
from paceline.engine.step import BLOCK_TOKENS

NUM_BLOCKS = 12
IDS = st.lists(st.integers(0, 2), min_size=1, max_size=70)
"""Few different ids, so that prefixes are often shared and depart inside blocks."""


class Holder:
    """A sequence, as far as pool and cache know one."""

    def __init__(self, adapter: int, token_ids: list[int]) -> None:
        self.adapter, self.token_ids = adapter, token_ids
        self.block_ids: list[int] = []


class PoolAndCache(RuleBasedStateMachine):
    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS)
        self.cache = PrefixCache(self.pool)
        self.alive: list[Holder] = []
        self.contents: dict[int, tuple[int, tuple[int, ...]]] = {}
        """What was computed into each block: (adapter, all ids up to its last one)."""

    @rule(target=holders, ids=IDS, adapter=st.integers(0, 1))
    def admit(self, ids: list[int], adapter: int) -> Holder:
        """Match, hold what matched, and compute the rest into new blocks, as the scheduler does."""
        holder = Holder(adapter, ids)
        match = self.cache.match(adapter, ids, len(ids) - 1)
        self._assert_right(match, adapter, ids)
        for block_id in match.block_ids:
            self.pool.retain(block_id)
        holder.block_ids = list(match.block_ids)
        wanted = -(-len(ids) // BLOCK_TOKENS) - len(holder.block_ids)
        if wanted > self.pool.num_free:
            self.cache.evict(wanted - self.pool.num_free)
        if wanted > self.pool.num_free:
            for block_id in holder.block_ids:
                self.pool.release(block_id)
            holder.block_ids = []
            holder.token_ids = []
        for index in range(len(holder.block_ids), -(-len(holder.token_ids) // BLOCK_TOKENS)):
            block_id = self.pool.allocate()
            holder.block_ids.append(block_id)
            self.contents[block_id] = adapter, tuple(ids[: (index + 1) * BLOCK_TOKENS])
        self.alive.append(holder)
        return holder

    def _assert_right(self, match: Match, adapter: int, ids: list[int]) -> None:
        """A hit holds exactly the ids that it claims to hold."""
        assert match.num_tokens <= len(ids) - 1
        for index, block_id in enumerate(match.block_ids):
            owner, held = self.contents[block_id]
            assert (owner, held) == (adapter, tuple(ids[: (index + 1) * BLOCK_TOKENS]))
        if match.partial_block_id is not None:
            owner, held = self.contents[match.partial_block_id]
            start = len(match.block_ids) * BLOCK_TOKENS
            assert owner == adapter
            assert 0 < match.num_partial_tokens <= BLOCK_TOKENS
            assert held[:start] == tuple(ids[:start])
            assert common_tokens(held[start:], ids[start:]) >= match.num_partial_tokens

    @rule(holder=holders)
    def remember_full_blocks(self, holder: Holder) -> None:
        if holder in self.alive:
            num_full = len(holder.token_ids) // BLOCK_TOKENS
            self.cache.insert(
                holder.adapter, holder.token_ids[: num_full * BLOCK_TOKENS], holder.block_ids
            )

    @rule(holder=consumes(holders), is_kept=st.booleans())
    def leave(self, holder: Holder, is_kept: bool) -> None:
        if is_kept:
            self.cache.insert(holder.adapter, holder.token_ids, holder.block_ids)
        for block_id in holder.block_ids:
            self.pool.release(block_id)
        self.alive.remove(holder)

    @rule(count=st.integers(1, NUM_BLOCKS))
    def evict(self, count: int) -> None:
        num_idle, num_free = self.pool.num_idle, self.pool.num_free
        num_freed = self.cache.evict(count)
        assert num_freed == min(count, num_idle), "idle blocks that cannot be had"
        assert self.pool.num_free == num_free + num_freed

    @rule(adapter=st.integers(0, 1))
    def forget(self, adapter: int) -> None:
        if all(holder.adapter != adapter for holder in self.alive):
            self.cache.forget(adapter)
            assert self.cache.match(adapter, [0, 1, 2], 2).num_tokens == 0

    @invariant()
    def nothing_is_lost(self) -> None:
        self.pool.check(
            (holder.block_ids for holder in self.alive), (n.block_id for n in self.cache.nodes())
        )
        self.cache.check()
        assert self.pool.num_free + self.pool.num_idle + self.pool.num_busy == NUM_BLOCKS


TestPoolAndCache = PoolAndCache.TestCase
TestPoolAndCache.settings = settings(max_examples=60, stateful_step_count=40)


def filled(pool: BlockPool, cache: PrefixCache, ids: list[int], adapter: int = 0) -> list[int]:
    """Compute ids into new blocks, remember and release them."""
    blocks = [pool.allocate() for _ in range(-(-len(ids) // BLOCK_TOKENS))]
    cache.insert(adapter, ids, blocks)
    for block_id in blocks:
        pool.release(block_id)
    return blocks


def test_a_hit_is_exact_to_one_token() -> None:
    pool = BlockPool(8)
    cache = PrefixCache(pool)
    blocks = filled(pool, cache, list(range(40)))
    for length in range(1, 41):
        asked = [*range(length), 99, 98]
        match = cache.match(0, asked, len(asked) - 1)
        assert match.num_tokens == length
        assert match.block_ids == blocks[: length // BLOCK_TOKENS]
    assert cache.match(0, list(range(40)), 39).num_tokens == 39


def test_the_longer_of_two_ends_stays_and_takes_the_shorter_s_place() -> None:
    pool = BlockPool(8)
    cache = PrefixCache(pool)
    filled(pool, cache, list(range(5)))
    filled(pool, cache, list(range(9)))
    filled(pool, cache, list(range(3)))
    assert cache.num_nodes == pool.num_idle == 1
    assert cache.match(0, list(range(12)), 11).num_tokens == 9


def test_the_least_recently_used_goes_first_and_the_dearest_last() -> None:
    pool = BlockPool(8)
    cache = PrefixCache(pool)
    old, new = [1] * 16, [2] * 16
    filled(pool, cache, old)
    filled(pool, cache, new)
    short = [3] * 4
    filled(pool, cache, short)
    cache.match(0, [*old, 0], 16)
    assert cache.evict(1) == 1
    assert cache.match(0, [*short, 0], 4).num_tokens == 0, "4 tokens are cheaper than 16"
    filled(pool, cache, [4] * 16)
    cache.match(0, [*old, 0], 16)
    cache.evict(1)
    assert cache.match(0, [*new, 0], 16).num_tokens == 0
    assert cache.match(0, [*old, 0], 16).num_tokens == 16


def test_the_heap_does_not_grow_with_keystrokes() -> None:
    pool = BlockPool(300)
    cache = PrefixCache(pool)
    for length in range(1, 3000):
        filled(pool, cache, [length % 7] * 3 + list(range(length % 50)))
        cache.evict(max(0, 10 - pool.num_free))
    assert len(cache._leaves) <= 2 * cache.num_nodes + 65  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("wrong", ["release twice", "retain free", "cache twice"])
def test_mistakes_of_a_caller_are_noticed(wrong: str) -> None:
    pool = BlockPool(2)
    block_id = pool.allocate()
    if wrong == "cache twice":
        pool.cache(block_id)
        with pytest.raises(AssertionError):
            pool.cache(block_id)
    else:
        pool.release(block_id)
        with pytest.raises(AssertionError):
            pool.release(block_id) if wrong == "release twice" else pool.retain(block_id)
