"""What kind of block a header opens: the text of a statement up to its `{` or `:`."""

from __future__ import annotations

import re
from typing import Literal

BlockKind = Literal[
    "module", "class", "function", "if", "else", "loop", "try", "except", "with", "switch", "case",
    "brackets", "other",
]  # fmt: skip

MAX_HEADER_CHARS = 300
"""Of a longer header its beginning and end are kept."""

_DECORATION = re.compile(
    r"^(?:\s*(?:@(?!interface\b)[\w.]+(?:\(\))?|#!?\[\]|\[\]|export|default|public|private|protected|internal"
    r"|static|final|abstract|async|pub(?:\(\))?|inline|virtual|constexpr|extern|override|open|sealed|data"
    r"|partial|readonly|declare|unsafe|template\s*<[^{;]*>|'?\w+'?:(?=\s*(?:for|while|loop)\b))(?=\W|$))+\s*"
)
_KEYWORDS: tuple[tuple[BlockKind, re.Pattern[str]], ...] = (
    ("if", re.compile(r"^[})\s]*(?:else\s*if|elif|elsif|elseif|if|unless|guard)\b")),
    ("else", re.compile(r"^[})\s]*else\b")),
    ("except", re.compile(r"^[})\s]*(?:catch|except|rescue|finally|ensure)\b")),
    ("loop", re.compile(r"^(?:async\s+)?(?:for|foreach|while|until|do|loop|repeat)\b")),
    ("try", re.compile(r"^(?:try|begin)\b")),
    ("with", re.compile(r"^(?:async\s+)?(?:with|using|synchronized|lock|defer)\b")),
    ("switch", re.compile(r"^(?:switch|match|select|when)\b")),
    ("case", re.compile(r"^(?:case|default)\b")),
    ("function", re.compile(r"^(?:async\s+)?(?:def|defp|fn|func|function|fun|sub|proc|macro_rules!)\b")),
    ("module", re.compile(r"^(?:namespace|mod|module|package|defmodule)\b|^extern\s+\"")),
    ("class", re.compile(r"^(?:class|interface|enum|struct|trait|impl|union|record|object|protocol|extension"
                         r"|@interface|type\s+[\w\[\], ]+\s(?:struct|interface))\b")),
)  # fmt: skip
_FUNCTION_END = re.compile(
    r"(?:=>|->|\bfunction\*?\s*\w*\s*\(\)|\bfunc\s*\(\)[^=]*|\|[^|=]*\|(?:\s*->[^=]*)?)$"
)
_MATCH_IN_VALUE = re.compile(
    r"(?:=|\breturn|\()\s*(?:await\s+)?(match|if|loop|unsafe|switch|try)\b[^=]*$"
)
_KIND_IN_VALUE: dict[str, BlockKind] = {
    "match": "switch",
    "switch": "switch",
    "loop": "loop",
    "if": "if",
}
_ANONYMOUS_CLASS = re.compile(r"\bnew\s+[\w.<>, ]+\(\)$")
_NAMED_WITH_PARENTHESES = re.compile(
    r"[\w$>\]~*&]\s*\(\)\s*(?:const|noexcept|override|final|mutable|throws\s+[\w.,\s]+|(?:->|:)[^=]*"
    r"|where\b.*|(?::\s*)?\w+\(\)(?:,\s*\w+\(\))*|\w+|[\w.*\[\]]+|\(\))*\s*$",
    re.DOTALL,
)
_VALUE_END = re.compile(r"(?:[=(,:\[?&|+]|\b(?:return|in|of|yield|throw|default))$")
_EXPRESSION = re.compile(r"(?<![=!<>])=(?![=>])|^\s*(?:return|throw|await|yield|const|let|var)\b")
_CONTINUED = re.compile(r"^[})\s]*(?:else|elif|elsif|elseif|catch|except|rescue|finally|ensure)\b")


def shortened(header: str) -> str:
    """`header`, or its beginning and end."""
    if len(header) <= MAX_HEADER_CHARS:
        return header
    third = MAX_HEADER_CHARS // 3
    return header[: 2 * third] + header[-third:]


def kind_of_header(header: str, parent: BlockKind = "module", language: str = "") -> BlockKind:
    """The kind of the block that opens after `header`; `brackets` if what opens is a value, not a block.

    The contents of closed parentheses may be left out of it.
    """
    header = header.strip()
    bare = header[match.end() :] if (match := _DECORATION.match(header)) else header
    if not header:
        return "brackets" if parent == "brackets" else "other"
    if parent == "switch" and header.endswith(("=>", "->", ":")):
        return "case"
    if parent != "brackets":
        for kind, pattern in _KEYWORDS:
            if pattern.search(bare):
                return _unless_value(kind, bare, language)
    return _kind_of_value(header, parent, language)


def _kind_of_value(header: str, parent: BlockKind, language: str) -> BlockKind:
    """The kind of a block whose header begins with no keyword: a function, a class, a literal."""
    if _FUNCTION_END.search(header):
        return "function"
    if _VALUE_END.search(header):
        return "brackets"
    if found := _MATCH_IN_VALUE.search(header):
        return _KIND_IN_VALUE.get(found[1], "other")
    if _ANONYMOUS_CLASS.search(header):
        return "class"
    if _EXPRESSION.search(header) or header.endswith("]"):
        return (
            "class" if re.search(r"\b(?:class|object|struct|interface)\b", header) else "brackets"
        )
    if _NAMED_WITH_PARENTHESES.search(header):
        return "function"
    if re.search(r"\b(?:class|interface|enum|struct|union)\s+[\w:<>]", header):
        return "class"
    if parent == "brackets" or (language == "rust" and _RUST_LITERAL.match(header)):
        return "brackets"
    return "other"


_RUST_LITERAL = re.compile(r"[A-Z]\w*(?:::\w+)*$")


def _unless_value(kind: BlockKind, bare: str, language: str) -> BlockKind:
    """C's `struct point origin() {` is a function; `struct point p = {` a value; Go's `func() T {` a function."""
    if kind == "class" and language in ("c", "cpp") and "()" in bare and ":" not in bare:
        return "brackets" if "=" in bare else "function"
    if kind == "class" and language in ("c", "cpp") and bare.endswith("="):
        return "brackets"
    return kind


def continues_statement(header: str) -> bool:
    """Whether `header` goes on with the statement before it: else, catch, finally."""
    return _CONTINUED.match(header) is not None


def is_expression(header: str) -> bool:
    """Whether the block that opened after `header` is part of a value, so that its end does not end the statement."""
    return _EXPRESSION.search(header) is not None
