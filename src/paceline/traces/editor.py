"""What an editor types by itself: indentation after Enter, closers of brackets and quotes.

Rules are those that VS Code has by default (`editor.autoIndent`, `editor.autoClosingBrackets:
languageDefined`): a closer is added where white space, the end or another closer follows; a quote only
where no word ends; Enter between brackets puts the closer on a line of its own; Enter on a blank line
takes that line's own indentation away.
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec

CLOSERS = {"(": ")", "[": "]", "{": "}"}
QUOTES = "\"'"
MAY_FOLLOW_OPENER = frozenset(";:.,=}])> \n\t")
"""An opener right before anything else is not closed. The end of the text counts as a newline."""
STRING_PREFIXES = frozenset("fFrRbBuU")
OUTDENTERS = re.compile(r"\s*(?:return|raise|pass|break|continue)\b(?!.*[\[({,\\]\s*$)")
"""Python statements that end their block; the next line is one level out."""
PYTHON_ENDINGS = (".py", ".pyi")
DEFAULT_INDENT = "    "
NUM_SAMPLED_CHARS = 20_000
"""The start of a file that shows how it is indented."""


class Editor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one user's editor is set for one file."""

    indent: str = DEFAULT_INDENT
    """One level."""
    is_python: bool = True
    has_auto_close: bool = True

    def indent_after(self, line: str) -> str:
        """Indentation of a new line after `line`, the text before the cursor."""
        own = leading_space(line)
        code = line.strip()
        if not code:
            return own
        if code[-1] in "([{:":
            return own + self.indent
        if self.is_python and OUTDENTERS.match(line):
            return own.removesuffix(self.indent)
        return own

    def closes(self, opener: str, before: str, after: str) -> bool:
        """Is a closer added when `opener` is typed between these characters (empty: none)?"""
        if not self.has_auto_close or (after or "\n") not in MAY_FOLLOW_OPENER:
            return False
        if opener in CLOSERS:
            return True
        ends_word = before.isalnum() and before not in STRING_PREFIXES
        return opener in QUOTES and not ends_word and before != opener


def editor_of(path: str, text: str, *, has_auto_close: bool) -> Editor:
    """An editor that has looked at a file."""
    return Editor(
        indent=indent_of(text),
        is_python=path.endswith(PYTHON_ENDINGS),
        has_auto_close=has_auto_close,
    )


def indent_of(text: str) -> str:
    """One level of a file's indentation: the commonest step to a deeper line."""
    steps: Counter[str] = Counter()
    last = ""
    for line in text[:NUM_SAMPLED_CHARS].split("\n"):
        if line.strip():
            own = leading_space(line)
            if own.startswith(last) and own != last:
                steps[own[len(last) :]] += 1
            last = own
    return steps.most_common(1)[0][0] if steps else DEFAULT_INDENT


def leading_space(line: str) -> str:
    """Its spaces and tabs before anything else."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def pairs_of(text: str) -> dict[int, int]:
    """Offsets of openers to those of their closers, where `text` has both; they nest.

    Quotes pair within a line; what is between them, and triple quotes, pairs with nothing.
    """
    pairs: dict[int, int] = {}
    stack: list[int] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character in QUOTES:
            at = _pass_string(text, at, pairs)
        elif character in CLOSERS:
            stack.append(at)
        elif character in ")]}":
            if stack and CLOSERS[text[stack[-1]]] == character:
                pairs[stack.pop()] = at
            else:
                stack.clear()
        at += 1
    return pairs


def _pass_string(text: str, start: int, pairs: dict[int, int]) -> int:
    """The offset of the string's last character; of `start` if it does not end on its line."""
    quote = text[start]
    if text.startswith(quote * 3, start):
        end = text.find(quote * 3, start + 3)
        return end + 2 if end >= 0 else start + 2
    at = start + 1
    while at < len(text) and text[at] != "\n":
        if text[at] == quote:
            pairs[start] = at
            return at
        at += 2 if text[at] == "\\" else 1
    return start
