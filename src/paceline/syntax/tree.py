"""Concrete syntax trees of documents, from tree-sitter: whole or a window, from nothing or incrementally."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from functools import cached_property
from threading import Lock

import tree_sitter

from paceline.syntax.grammars import grammar
from paceline.syntax.languages import Language
from paceline.syntax.offsets import OffsetMap
from paceline.syntax.window import NARROW_CHARS, Window, choose_window, narrow_window

MAX_ERRORS = 200
"""Errors are counted up to here: beyond it a file is broken, whatever is inserted."""
MAX_VISITED_NODES = 20_000
"""Nodes that are looked at to count errors."""
MAX_LOST_SHARE = 0.5
"""Of a text in one error: with more, its tree says nothing of the rest either, and each keystroke costs what parsing from
nothing does, or several times that."""
MAX_CACHED_TREES = 64
MAX_PARSE_S = 0.2
"""Processor time of one parse. A window of 200,000 characters takes 0.03 s on a server's core."""
NUM_RESTS = 32
"""So many keystrokes a document that took too long goes without a tree before it is tried again."""
READ_BYTES = 65_536
_SPACE_AND_ONE = re.compile(rb"\s*.?", re.DOTALL)


class SyntaxTree:
    """The tree of a document, or of the lines of it around a cursor. Immutable, so it may be shared by threads."""

    language: Language
    text: str
    """What was parsed."""
    first_offset: int
    """Where `text` begins in the document, in code points."""

    def __init__(
        self, language: Language, window: Window, offsets: OffsetMap, tree: tree_sitter.Tree
    ) -> None:
        self.language, self.window, self.offsets, self.tree = language, window, offsets, tree
        self.text, self.first_offset = offsets.text, window.begin

    @property
    def root(self) -> tree_sitter.Node:
        """Its root; byte offsets of nodes count from `first_offset` (see `offset_of` and `byte_offset_of`)."""
        return self.tree.root_node

    @cached_property
    def num_errors(self) -> int:
        """ERROR and MISSING nodes, at most MAX_ERRORS."""
        return _num_errors(self.root)

    @cached_property
    def is_lost(self) -> bool:
        """Is most of it one error?"""
        root = self.root
        if not root.has_error:
            return False
        most = MAX_LOST_SHARE * len(self.offsets.data)
        return root.is_error or any(
            child.is_error and child.end_byte - child.start_byte > most for child in root.children
        )

    def byte_offset_of(self, offset: int) -> int:
        """The byte offset in the tree of an offset in the document."""
        return self.offsets.byte_offset(offset - self.first_offset)

    def offset_of(self, byte_offset: int) -> int:
        """The offset in the document of a byte offset in the tree."""
        return self.offsets.offset(byte_offset) + self.first_offset

    def text_of(self, node: tree_sitter.Node) -> str:
        """The text that `node` spans."""
        return self.offsets.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def covers(self, offset: int) -> bool:
        """Whether an offset in the document lies in what was parsed."""
        return self.first_offset <= offset <= self.first_offset + len(self.text)

    def replaced(self, start: int, end: int, text: str) -> SyntaxTree:
        """The tree of the document with `text` in the place of `[start, end)`, parsed incrementally.

        Offsets are in the document; what lies outside of the parsed window is left alone.
        """
        first = min(max(start - self.first_offset, 0), len(self.text))
        last = min(max(end - self.first_offset, first), len(self.text))
        new = self.text[:first] + text + self.text[last:]
        tree = _reparsed(self, self.window.resized(len(new) - len(self.text)), new)
        assert tree is not None, "it has all the time"
        return tree


def parse(
    text: str, language: Language, *, around: int, old: SyntaxTree | None = None
) -> SyntaxTree | None:
    """Parse `text`, or if it is long, or broken as a whole, the lines around the offset `around`; None without a grammar.

    None too where a line is so long that it is data or minified (window.py), and where tree-sitter takes
    more than MAX_PARSE_S: its recovery from errors is sometimes quadratic (text of another language, say).

    Args:
        old: a tree of an earlier state of the same document; unchanged parts are reused.
    """
    if grammar(language) is None:
        return None
    if old is not None and old.language.name != language.name:
        old = None
    window = choose_window(text, around, old.window if old else None, old.text if old else "")
    if window is None:
        return None
    tree = _parse_part(text, window, language, old)
    if (tree is None or tree.is_lost) and window.end - window.begin > 3 * NARROW_CHARS:
        narrow = narrow_window(text, around)
        return None if narrow is None else _parse_part(text, narrow, language, None)
    return tree


def _parse_part(
    text: str, window: Window, language: Language, old: SyntaxTree | None
) -> SyntaxTree | None:
    """Parse the window of `text`, incrementally if `old` begins where it does; None if it takes too long."""
    part = text[window.begin : window.end]
    if old is not None and old.first_offset == window.begin:
        if part == old.text:
            return SyntaxTree(language, window, old.offsets, old.tree)
        return _reparsed(old, window, part, max_s=MAX_PARSE_S)
    rules = grammar(language)
    assert rules is not None, "parse has asked"
    offsets = OffsetMap(part)
    tree = _run(rules, offsets.data, None, MAX_PARSE_S)
    return None if tree is None else SyntaxTree(language, window, offsets, tree)


def _run(
    rules: tree_sitter.Language, data: bytes, old: tree_sitter.Tree | None, max_s: float
) -> tree_sitter.Tree | None:
    """Parse; None if it takes this thread more than `max_s` of processor time (not of the clock's)."""
    end_s = time.thread_time() + max_s

    def read(offset: int, _: tree_sitter.Point) -> bytes:
        return data[offset : offset + READ_BYTES]

    def is_over(_: int, __: bool) -> bool:
        return time.thread_time() > end_s

    parser = tree_sitter.Parser(rules)
    try:
        if old is None:
            return parser.parse(read, progress_callback=is_over)
        return parser.parse(read, old, progress_callback=is_over)
    except ValueError:  # tree-sitter's word for being stopped
        return None


def _reparsed(
    old: SyntaxTree, window: Window, text: str, *, max_s: float = math.inf
) -> SyntaxTree | None:
    """Parse `text`, reusing what it shares with `old` at both ends; None if it takes too long."""
    rules = grammar(old.language)
    assert rules is not None, "a tree exists, so its grammar does"
    offsets = OffsetMap(text)
    before, after = old.offsets.data, offsets.data
    edited = old.tree.copy()
    start = common_prefix(before, after)
    end = common_suffix(before, after, min(len(before), len(after)) - start)
    end = max(end - _num_to_next_token(before, len(before) - end), 0)
    start -= _num_to_last_token(before, start)
    row = before.count(b"\n", 0, start)
    start_point = tree_sitter.Point(row, start - (before.rfind(b"\n", 0, start) + 1))
    edited.edit(
        start_byte=start,
        old_end_byte=len(before) - end,
        new_end_byte=len(after) - end,
        start_point=start_point,
        old_end_point=_point(before, start, row, len(before) - end),
        new_end_point=_point(after, start, row, len(after) - end),
    )
    tree = _run(rules, after, edited, max_s)
    return None if tree is None else SyntaxTree(old.language, window, offsets, tree)


def _num_to_next_token(data: bytes, at: int) -> int:
    """Bytes from `at` over white space and into what follows it.

    An edit is said to reach so far, because of a weakness of tree-sitter where a scanner of its own makes tokens
    without width (python's line ends and dedents): an edit just before them makes it give up all that follows, up
    to the rest of the file, since that begins at the same byte in another scanner state. Where the edit reaches into
    what follows, and back into what stands before (`_num_to_last_token`), what follows begins behind the edit for
    tree-sitter, and is taken apart and reused piece by piece.
    """
    match = _SPACE_AND_ONE.match(data, at)
    return match.end() - at if match else 0


def _num_to_last_token(data: bytes, at: int) -> int:
    """Bytes from `at` back over white space and into what stands before it."""
    begin = at
    while begin > 0 and data[begin - 1] in b" \t\r\n\f":
        begin -= 1
    return at - max(begin - 1, 0)


def _point(data: bytes, start: int, row: int, end: int) -> tree_sitter.Point:
    """The point of byte `end`, given the row of byte `start` before it."""
    return tree_sitter.Point(
        row + data.count(b"\n", start, end), end - (data.rfind(b"\n", 0, end) + 1)
    )


def common_prefix(one: bytes, other: bytes) -> int:
    """Bytes that both begin with, found by halving: compares slices, not bytes."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(one: bytes, other: bytes, limit: int) -> int:
    """Bytes that both end with, at most `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _num_errors(root: tree_sitter.Node) -> int:
    """Walk only what has errors; stop at MAX_ERRORS or MAX_VISITED_NODES."""
    found = visited = 0
    open_nodes = [root] if root.has_error else []
    while open_nodes and found < MAX_ERRORS and visited < MAX_VISITED_NODES:
        node = open_nodes.pop()
        children = node.children
        visited += len(children) + 1
        wrong = [child for child in children if child.has_error or child.is_missing]
        # a missing token of no name (a line end) is in no list of children
        found += node.is_error or node.is_missing or not wrong
        open_nodes.extend(wrong)
    return min(found, MAX_ERRORS)


class TreeCache:
    """The newest trees of some documents, so that a keystroke reparses little. Safe for threads."""

    def __init__(self, max_trees: int = MAX_CACHED_TREES) -> None:
        self._trees: OrderedDict[str, SyntaxTree] = OrderedDict()
        self._num_rests: dict[str, int] = {}
        """Documents that took too long, and how many more times they are not tried."""
        self._max_trees, self._lock = max_trees, Lock()

    def tree(self, key: str, text: str, language: Language, *, around: int) -> SyntaxTree | None:
        """Parse as `parse` does, incrementally if a tree is known under `key`."""
        with self._lock:
            old = self._trees.get(key)
            if self._is_resting(key):
                return None
        started_s = time.thread_time()
        tree = parse(text, language, around=around, old=old)
        is_slow = time.thread_time() - started_s > MAX_PARSE_S
        with self._lock:
            if tree is None:
                self._trees.pop(key, None)
                if is_slow:
                    self._rest(key)
                return None
            self._trees[key] = tree
            self._trees.move_to_end(key)
            while len(self._trees) > self._max_trees:
                self._trees.popitem(last=False)
        return tree

    def _is_resting(self, key: str) -> bool:
        num_left = self._num_rests.get(key, 0)
        if num_left > 1:
            self._num_rests[key] = num_left - 1
        else:
            self._num_rests.pop(key, None)
        return num_left > 0

    def _rest(self, key: str) -> None:
        """What took too long will do so at the next key as well."""
        while len(self._num_rests) >= self._max_trees:
            self._num_rests.pop(next(iter(self._num_rests)))
        self._num_rests[key] = NUM_RESTS
