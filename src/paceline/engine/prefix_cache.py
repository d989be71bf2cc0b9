"""Which computed prefixes are in the KV cache: one radix tree of blocks, shared by all requests.

    root ─ [16 ids | block 7] ─┬─ [16 ids | block 2] ── [5 ids | block 9]
                               └─ [16 ids | block 4]

A node is a block and the ids whose keys and values it holds, given all ids above it. Whole nodes are
shared without copying. Of the node where a prompt departs, the agreeing beginning is used as well:
its block is copied and the copy overwritten from the first id that differs, so a hit is exact to one
token. Nodes of fewer than BLOCK_TOKENS ids are ends of sequences and have no children.

Every adapter has a tree of its own, since its keys and values differ.

Eviction is GreedyDual: a leaf's priority is a clock plus what its tokens cost to compute again (deep
ones cost more: they attend to more), the lowest goes, and the clock rises to it. With equal costs that is
LRU. Source: Cao & Irani 1997, "Cost-aware WWW proxy caching algorithms", section 4, with size 1.

Invariant: whoever holds a node's block holds those of all its ancestors, so no inner node is idle
below a busy one; `insert` keeps it by handing out the tree's block instead of a duplicate.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from collections.abc import Sequence as Ids
from typing import NamedTuple

from paceline.engine.block_pool import BlockPool
from paceline.engine.step import BLOCK_TOKENS

ATTENTION_TOKENS = 1024
"""Depth at which a token costs twice what it costs at position 0."""
MAX_SIBLINGS = 64
"""How many of the newest children are searched for the longest agreeing beginning."""


class Node:
    """A block in the tree."""

    __slots__ = ("block_id", "children", "depth", "parent", "priority", "token_ids")

    def __init__(self, token_ids: tuple[int, ...], block_id: int, parent: Node | None) -> None:
        self.token_ids = token_ids
        self.block_id = block_id
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[tuple[int, ...], Node] = {}
        self.priority = 0.0


class Match(NamedTuple):
    """What of a prompt is in the cache. Nothing is held for the caller yet."""

    block_ids: list[int]
    """Blocks to be shared whole."""
    partial_block_id: int | None
    """Block whose first `num_partial_tokens` positions agree too; to be copied."""
    num_partial_tokens: int

    @property
    def num_tokens(self) -> int:
        return len(self.block_ids) * BLOCK_TOKENS + self.num_partial_tokens


class PrefixCache:
    """The trees of all adapters over one pool. Only the engine's thread calls it, between steps."""

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._roots: dict[int, Node] = {}
        self._clock = 0.0
        self._serial = itertools.count()
        self._leaves: list[tuple[float, int, Node]] = []
        """Heap with one entry for each leaf; its priority may be out of date (then too low)."""
        self.num_nodes = 0

    def match(self, adapter: int, token_ids: Ids[int], max_tokens: int) -> Match:
        """The longest cached prefix of `token_ids`, of at most `max_tokens`; refreshes what it uses."""
        node = self._roots.get(adapter)
        block_ids: list[int] = []
        start = 0
        while node is not None and start + BLOCK_TOKENS <= max_tokens:
            child = node.children.get(tuple(token_ids[start : start + BLOCK_TOKENS]))
            if child is None:
                break
            self._touch(child)
            block_ids.append(child.block_id)
            node, start = child, start + BLOCK_TOKENS
        rest = token_ids[start : min(start + BLOCK_TOKENS, max_tokens)]
        best, count = _most_agreeing(node, rest) if node is not None and rest else (None, 0)
        if best is None:
            return Match(block_ids, None, 0)
        self._touch(best)
        return Match(block_ids, best.block_id, count)

    def insert(self, adapter: int, token_ids: Ids[int], block_ids: list[int]) -> None:
        """Remember that `block_ids` hold the keys and values of `token_ids`, which the caller holds.

        Where the tree has a block of the same ids already, `block_ids` is changed to name that one,
        and the caller holds it instead of its own.
        """
        node = self._roots.get(adapter)
        if node is None:
            node = self._roots[adapter] = Node((), -1, None)
        for index in range(-(-len(token_ids) // BLOCK_TOKENS)):
            ids = tuple(token_ids[index * BLOCK_TOKENS : (index + 1) * BLOCK_TOKENS])
            if len(ids) < BLOCK_TOKENS and _is_covered(node, ids):
                return
            child = node.children.get(ids)
            if child is None:
                child = self._add(node, ids, block_ids[index])
            elif child.block_id != block_ids[index]:
                self._pool.retain(child.block_id)
                self._pool.release(block_ids[index])
                block_ids[index] = child.block_id
            self._touch(child)
            node = child

    def evict(self, num_blocks: int) -> int:
        """Free up to `num_blocks` idle blocks, the cheapest to compute again first; return how many."""
        num_freed = 0
        busy: list[tuple[float, int, Node]] = []
        while self._leaves and num_freed < num_blocks:
            entry = heapq.heappop(self._leaves)
            priority, _, node = entry
            if node.parent is None or node.children:
                continue  # gone, or a leaf no longer
            if node.priority > priority:
                self._push(node)
            elif not self._pool.is_idle(node.block_id):
                busy.append(entry)
            else:
                self._clock = priority
                self._remove(node)
                num_freed += 1
        for entry in busy:
            heapq.heappush(self._leaves, entry)
        return num_freed

    def forget(self, adapter: int) -> None:
        """Drop the tree of an adapter that is no longer loaded; no sequence may use it."""
        root = self._roots.pop(adapter, None)
        for node in list(_walk(root)) if root else ():
            self._pool.uncache(node.block_id)
            node.parent = None
            self.num_nodes -= 1

    def _add(self, parent: Node, ids: tuple[int, ...], block_id: int) -> Node:
        """Add a child; shorter children that it contains are dropped."""
        for other in [c for k, c in parent.children.items() if len(k) < len(ids)]:
            if ids[: len(other.token_ids)] == other.token_ids:
                self._remove(other)
        node = parent.children[ids] = Node(ids, block_id, parent)
        self._pool.cache(block_id)
        self.num_nodes += 1
        self._touch(node)
        self._push(node)
        return node

    def _remove(self, node: Node) -> None:
        """Take a leaf out of the tree."""
        parent = node.parent
        assert parent is not None
        assert not node.children, "an inner node cannot go"
        del parent.children[node.token_ids]
        node.parent = None
        self.num_nodes -= 1
        self._pool.uncache(node.block_id)
        if parent.parent is not None and not parent.children:
            self._push(parent)

    def _touch(self, node: Node) -> None:
        position = (node.depth - 1) * BLOCK_TOKENS
        cost = len(node.token_ids) * (1 + position / ATTENTION_TOKENS)
        node.priority = self._clock + cost

    def _push(self, node: Node) -> None:
        heapq.heappush(self._leaves, (node.priority, next(self._serial), node))
        if len(self._leaves) > 2 * self.num_nodes + MAX_SIBLINGS:  # mostly nodes that are gone
            leaves = {id(leaf): leaf for _, _, leaf in self._leaves if leaf.parent is not None}
            self._leaves = [
                (leaf.priority, next(self._serial), leaf)
                for leaf in leaves.values()
                if not leaf.children
            ]
            heapq.heapify(self._leaves)

    def nodes(self) -> Iterator[Node]:
        """All nodes, in no particular order."""
        for root in self._roots.values():
            yield from _walk(root)

    def check(self) -> None:
        """Assert the tree's own invariants; `BlockPool.check` compares its blocks with the counts."""
        nodes = list(self.nodes())
        assert len(nodes) == self.num_nodes == len({node.block_id for node in nodes})
        listed = {id(node) for _, _, node in self._leaves}
        for node in nodes:
            assert node.parent is not None
            assert node.parent.children[node.token_ids] is node
            assert 0 < len(node.token_ids) <= BLOCK_TOKENS
            assert not node.children or len(node.token_ids) == BLOCK_TOKENS
            assert node.children or id(node) in listed, "a leaf that can never be evicted"
            is_inner = node.parent.parent is not None
            if is_inner and not self._pool.is_idle(node.block_id):
                assert not self._pool.is_idle(node.parent.block_id), (
                    "a held block below an idle one"
                )


def _walk(root: Node) -> Iterator[Node]:
    stack = list(root.children.values())
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children.values())


def common_tokens(a: Ids[int], b: Ids[int]) -> int:
    """How many ids at the start of both are the same."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _most_agreeing(node: Node, ids: Ids[int]) -> tuple[Node | None, int]:
    """The child that agrees longest with the beginning of `ids`, among the newest."""
    best, most = None, 0
    for child in itertools.islice(reversed(node.children.values()), MAX_SIBLINGS):
        count = common_tokens(child.token_ids, ids)
        if count > most:
            best, most = child, count
    return best, most


def _is_covered(node: Node, ids: tuple[int, ...]) -> bool:
    """Does a child begin with these ids, so that a shorter node would add nothing?"""
    newest = itertools.islice(reversed(node.children.values()), MAX_SIBLINGS)
    return any(child.token_ids[: len(ids)] == ids for child in newest)
