"""Finds the few lines of a text that define a name, so that no whole file has to be parsed for them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import islice

MAX_OCCURRENCES = 60
MAX_BEFORE_CHARS = 200
"""A definition's name is not further from the start of its line."""
MAX_BLOCK_CHARS = 6_000
"""What is behind is not needed for a signature; parsing costs 0.13 ms for 1,000 characters."""
MAX_LEAD_LINES = 12

_KEYWORD = re.compile(
    r"(?:^|[\s(])(?:def|class|func|fn|function\*?|interface|struct|enum|union|trait|type|const|let|var|static"
    r"|record|object|impl|typedef|#define|macro_rules!)\s+(?:\([^()]{0,80}\)\s*)?$"
)
_TYPED = re.compile(r"[A-Za-z_][\w:<>,*&\[\] ]*[\s*&]$")
"""What stands before a function's name in C and its like."""
_RECEIVER = re.compile(r"func\s*\(\w*\s*\*?$")
"""Of a method in Go."""
_STATEMENT = re.compile(r"(?:return|throw|else|await|new|delete|import|from|using|goto)\b")
_CLOSING = (")", "]", "}", "{")
_LEADING = ("@", "#[", "//", "/*", "*")


def blocks_of(text: str, name: str) -> str:
    """The lines that define `name`, with what stands right above them; empty if none are found.

    More than one block where methods stand apart from their type (Go, Rust), or a function is declared for several
    types. Told by keywords, assignments and indentation, so it may be wrong; a grammar looks at it afterwards.
    """
    if not name or name not in text:
        return ""
    found: list[str] = []
    num_chars = end = 0
    for at in islice(_occurrences(text, name), MAX_OCCURRENCES):
        start, behind = text.rfind("\n", 0, at) + 1, at + len(name)
        if start < end or at - start > MAX_BEFORE_CHARS:
            continue
        if not _defines(text[start:at], text[behind : behind + 40]):
            continue
        end = _end(text, start)
        block = textwrap.dedent(text[_with_lead(text, start) : end])
        num_chars += len(block)
        if found and num_chars > MAX_BLOCK_CHARS:
            break
        found.append(block)
    return "\n".join(found)


def _occurrences(text: str, name: str) -> Iterator[int]:
    """Where `name` stands as a whole word."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        around = text[at - 1 : at] + text[end : end + 1]
        if not any(character.isalnum() or character == "_" for character in around):
            yield at
        at = text.find(name, end)


def _defines(before: str, after: str) -> bool:
    if _KEYWORD.search(before) or _RECEIVER.match(before):
        return True
    after = after.lstrip(" \t")
    if not before:
        return after[:1] in ("=", ":") and after[:2] not in ("==", "::", "=>")
    is_typed = _TYPED.match(before) is not None and _STATEMENT.match(before) is None
    return is_typed and after[:1] == "("


def _with_lead(text: str, start: int) -> int:
    """Where decorators and comments begin that stand right above the line at `start`."""
    for _ in range(MAX_LEAD_LINES):
        above = text.rfind("\n", 0, max(start - 1, 0)) + 1
        if start == 0 or not text[above:start].lstrip().startswith(_LEADING):
            break
        start = above
    return start


def _end(text: str, start: int) -> int:
    """Where a line begins that is indented no further than the one at `start` and does not close it."""
    limit = min(start + MAX_BLOCK_CHARS, len(text))
    indentation = _indentation(text[start : start + MAX_BEFORE_CHARS])
    at = text.find("\n", start, limit) + 1
    while at:
        line = text[at : at + MAX_BEFORE_CHARS].partition("\n")[0]
        is_next = line.strip() and _indentation(line) <= indentation
        if is_next and not line.lstrip().startswith(_CLOSING):
            return at
        at = text.find("\n", at, limit) + 1
    return limit


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
