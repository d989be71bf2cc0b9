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
    r"|static|final|abstract|async|pub(?:\(\))?|inline|virtual|constexpr|extern(?!\s*\")|override|open|sealed|data"
    r"|partial|readonly|local|declare|unsafe|template\s*<[^{;]*>|'?\w+'?:(?=\s*(?:for|while|loop)\b))(?=\W|$))+\s*"
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
    ("function", re.compile(r"^(?:async\s+)?(?:def|defp|fn|func|function|fun|sub|proc|macro_rules!)(?![\w:?(=]|\s+=)")),
    ("module", re.compile(r"^(?:namespace|mod|module|package|defmodule)\b|^extern\s+\"")),
    ("class", re.compile(r"^(?:typedef\s+)?(?:class|interface|enum|struct|trait|impl|union|record|object|protocol|extension"
                         r"|@interface|type\s+[\w\[\], ]+\s(?:struct|interface))\b")),
)  # fmt: skip
_FUNCTION_END = re.compile(r"(?:=>|->|\bfunction\s*\*?\s*\w*\s*\(\)|\bfunc\s*\(\)[^=]*)$")
_MATCH_IN_VALUE = re.compile(
    r"(?:^|[=(|,]|\breturn)\s*(?:await\s+)?(match|if|loop|unsafe|switch|try)\b[^=]*$"
)
_CLOSURE_ENDS = {
    "rust": re.compile(r"\|[^|=]*\|(?:\s*->[^=]*)?$"),
    "cpp": re.compile(r"\[\]\s*(?:\(\)[^=;]*)?$"),
}
_TYPE_ALIAS = re.compile(r"type\s+\w[^=]*=$")
_NAMES_LIST = re.compile(
    r"(?:import|export)\b(?:\s+type)?(?:\s+\w+\s*,)?$|^(?:export\s+)?(?:const|let|var)$|<$"
)
_CLOSED_LINE = re.compile(r"\b(?:end|fi|done|esac)\s*;?$")
_CLASS_WORD = re.compile(r"\b(?:class|object|struct|interface)\b")
_OPEN_END = re.compile(r"(?:[=(,\[?|+<]|\)\s*:)$")
"""Whatever begins a header: what opens after this is part of a value or a type."""
_KIND_IN_VALUE: dict[str, BlockKind] = {
    "match": "switch",
    "switch": "switch",
    "loop": "loop",
    "if": "if",
}
_ANONYMOUS_CLASS = re.compile(r"\bnew\s+[\w.<>, ]+\(\)$")
_NAMED_WITH_PARENTHESES = re.compile(r"[\w$>\]~*&)]\s*\(\)[^=;\"'`+/%!]*$")
"""A name, its parameters, then what may stand before a body: `const`, `throws E`, `-> T`, `: T`, `where ...`."""
_VALUE_END = re.compile(r"(?:[=(,:\[?&|+]|\b(?:return|in|of|yield|throw|default))$")
_EXPRESSION = re.compile(r"(?<![=!<>])=(?![=>])|^\s*(?:return|throw|await|yield)\b")
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
    if parent != "brackets" and not _OPEN_END.search(header):
        for kind, pattern in _KEYWORDS:
            if pattern.search(bare):
                return _unless_value(kind, bare, parent, language)
    return _kind_of_value(header, parent, language)


def opens_by_words(header: str) -> bool:
    """Whether a line opens a block by its first words or as a function without a name: for `end` languages."""
    header = header.strip()
    if _CLOSED_LINE.search(header):
        return False
    bare = header[match.end() :] if (match := _DECORATION.match(header)) else header
    return any(pattern.search(bare) for _, pattern in _KEYWORDS) or bool(
        _FUNCTION_END.search(header)
    )


def _kind_of_value(header: str, parent: BlockKind, language: str) -> BlockKind:
    """The kind of a block whose header begins with no keyword: a function, a class, a literal."""
    closure = _CLOSURE_ENDS.get(language)
    if _FUNCTION_END.search(header) or (closure and closure.search(header)):
        return "function"
    if _NAMES_LIST.search(header):
        return "brackets"
    if _TYPE_ALIAS.search(header):
        return "class"
    if _VALUE_END.search(header):
        return "brackets"
    if found := _MATCH_IN_VALUE.search(header):
        return _KIND_IN_VALUE.get(found[1], "other")
    if _ANONYMOUS_CLASS.search(header):
        return "class"
    if _EXPRESSION.search(header):
        return "class" if _CLASS_WORD.search(header) else "brackets"
    if _NAMED_WITH_PARENTHESES.search(header):
        return "function"
    if header.endswith("]"):
        return "brackets"
    if re.search(r"\b(?:class|interface|enum|struct|union)\s+[\w:<>]", header):
        return "class"
    literal = _LITERALS.get(language)
    if parent == "brackets" or (parent != "class" and literal and literal.match(header)):
        return "brackets"
    return "other"


_LITERALS = {
    "rust": re.compile(r"[A-Z]\w*(?:::\w+)*$"),
    "cpp": re.compile(r"(?:const\s+|static\s+)*[\w:]+(?:<[^(){}]*>)?[\s*&]+\w+$"),
}
"""A value that begins with its type alone: Rust's `Point {`, C++'s `Point origin {`."""


def _unless_value(kind: BlockKind, bare: str, parent: BlockKind, language: str) -> BlockKind:
    """C's `struct point origin() {` is a function, `struct point p = {` a value; a method may be called `match`."""
    if parent == "class" and kind not in ("class", "function", "module") and ":" not in bare[-1:]:
        return "function"
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
