"""Is a place in a Python file code, or inside a comment or a string?

A scanner for strings and comments only: unlike `tokenize` it gives the same answer under every Python
version, and an answer for files that this Python cannot parse. f-strings count as strings as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Literal, NamedTuple

TextClass = Literal["code", "comment_or_string"]

_SPAN = re.compile(
    r"#[^\n]*"
    r"|(?:\b(?:br|rb|fr|rf|tr|rt|[rbuft]))?"
    r'(?:"""(?:\\.|[^\\])*?(?:"""|\Z)'
    r"|'''(?:\\.|[^\\])*?(?:'''|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?'
    r"|'(?:\\.|[^'\\\n])*'?)",
    re.DOTALL | re.IGNORECASE,
)
_TRIPLE = re.compile(r"\w{0,2}(?:\"\"\"|''')")


class Spans(NamedTuple):
    """Comments and strings of one text, in order: [start, end) offsets in code points."""

    text: str
    starts: list[int]
    ends: list[int]


def find_spans(text: str) -> Spans:
    """Find every comment and string of `text`."""
    matches = list(_SPAN.finditer(text))
    return Spans(text, [m.start() for m in matches], [m.end() for m in matches])


def classify(spans: Spans, offset: int) -> TextClass:
    """Class of a cursor: inside a comment or string, or right before one that fills its own line.

    A cursor before a string that is part of an expression is in code: the string is what to predict.
    """
    index = bisect_right(spans.starts, offset) - 1
    if index < 0:
        return "code"
    start, end = spans.starts[index], spans.ends[index]
    text = spans.text
    if offset == start:
        is_line_start = not text[text.rfind("\n", 0, offset) + 1 : offset].strip()
        is_own_line = text[start] == "#" or bool(is_line_start and _TRIPLE.match(text, start))
        return "comment_or_string" if is_own_line else "code"
    is_inside = offset < end or (text[start] == "#" and offset == end)
    return "comment_or_string" if is_inside else "code"
