"""A text by its lines, as LSP has them."""

from __future__ import annotations

import re

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends. The last one has none, and is empty where the text ends with an end.

    A line ends with `\\n`, `\\r\\n` or `\\r`, and with nothing else: Python's splitlines knows eight more ends.
    `"".join(split_lines(text)) == text`, and there is always a last line.
    """
    if "\r" in text:
        lines: list[str] = _LINE.findall(text)
        return lines if lines[-1][-1] not in "\r\n" else [*lines, ""]
    *ended, last = text.split("\n")
    return [*(line + "\n" for line in ended), last]


def without_end(line: str) -> str:
    """`line` without its line end."""
    return line.rstrip("\r\n")
