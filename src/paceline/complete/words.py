"""The names that a document mentions, found word by word: cheap, and unchanged parts are read once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

MAX_CHARS = 1_000_000
"""Of a longer document only the beginning is read: the rest is data more often than code."""

MAX_BLOCK_CHARS = 2_000
"""Longer runs of lines without a blank one are read in pieces, each remembered by itself."""

MAX_KNOWN_BLOCKS = 16_384
"""Blocks remembered, of all documents: about 10 MB."""

MAX_PARTIAL_HITS = 200
"""Of a short word within longer ones; then a regular expression goes on, slower by the character but not by the hit."""

_NONE: frozenset[str] = frozenset()
_WORD = re.compile(r"[^\W\d]\w*")
_ATTRIBUTE = re.compile(
    r"(?:\.|->|::)\s*+([^\W\d]\w*+)|(?:\bdef|\bclass|\bfn|\bfunc|\bfunction|\bget|\bset)\s++([^\W\d]\w*+)"
    r"|\b([^\W\d]\w*+)\s*+(?::|=(?!=)|\()"
)
"""What follows a dot, and what may be meant by one elsewhere: functions, fields with their types or values, keywords.

Each character is read a bounded number of times, also in a word or a gap of a million: `\\b` and `*+` see to it."""

_MODULE = re.compile(
    r"^[ \t]*+(?:from\s++([\w.]++)\s++import\b|import\s++([\w., \t]++))"
    r"|(?:\bfrom|\brequire\(|\bimport\(|^[ \t]*+import)\s*+(['\"`])([^'\"`\n]{1,200})\3",
    re.MULTILINE,
)


class Words(msgspec.Struct, frozen=True):
    """What a text, or part of one, mentions."""

    names: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    """As they are imported: `os.path`, `./prices`, `@house/garden`; relative ones are left out."""


def words_of(text: str) -> Words:
    """All words of `text`, comments and strings included. After a keystroke one block is read anew."""
    blocks = [_known_block(block) for block in _blocks(text[:MAX_CHARS])]
    return Words(
        _NONE.union(*(block.names for block in blocks)),
        _NONE.union(*(block.attributes for block in blocks)),
        _NONE.union(*(block.modules for block in blocks)),
    )


def has_word(text: str, word: str, start: int = 0, end: int = MAX_CHARS) -> bool:
    """Does `word` stand in `text[start:end]` as a word of its own? Quicker than all words for the few of a candidate."""
    end = min(end, len(text))
    at = text.find(word, start, end)
    for _ in range(MAX_PARTIAL_HITS):
        if at < 0:
            return False
        after = at + len(word)
        is_begin = at == 0 or not _is_word_char(text[at - 1])
        if is_begin and (after >= len(text) or not _is_word_char(text[after])):
            return True
        at = text.find(word, at + 1, end)
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    return pattern.search(text, max(at, 0), end) is not None


def _is_word_char(char: str) -> bool:
    return char.isalnum() or char == "_"


def _blocks(text: str) -> Iterator[str]:
    """`text` cut at blank lines, and where these are far apart at line ends, or at spaces if lines are long.

    Each cut depends on little but the text since the one before it, so that an edit moves few of them.
    """
    for block in text.split("\n\n"):
        start, size = 0, len(block)
        while size - start > MAX_BLOCK_CHARS:
            end = start + MAX_BLOCK_CHARS
            cut = max(block.rfind("\n", start + 1, end), 0) or block.rfind(" ", start + 1, end)
            yield block[start : cut if cut > 0 else end]
            start = cut if cut > 0 else end
        yield block[start:]


def _block(text: str) -> Words:
    names = frozenset(_WORD.findall(text))
    attributes = {name for groups in _ATTRIBUTE.findall(text) for name in groups if name}
    return Words(names, frozenset(attributes), frozenset(_modules(text)))


_known_block = lru_cache(maxsize=MAX_KNOWN_BLOCKS)(_block)


def _modules(text: str) -> set[str]:
    found: set[str] = set()
    if "import" not in text and "require" not in text:
        return found
    for source, listed, _, path in _MODULE.findall(text):
        found.update(
            part.split(" as ")[0].strip() for part in (listed or source or path).split(",")
        )
    return {name for name in found if name and not name.startswith(".")}
