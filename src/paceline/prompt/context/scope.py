"""One cursor and what the editor knows, as the sources of snippets see them. Computed on first use."""

from __future__ import annotations

import os
import re
import zlib
from functools import cached_property, lru_cache
from pathlib import PurePath

from paceline.core.types import Cursor, Document
from paceline.hygiene.paths import plain_path
from paceline.prompt.context.config import ContextConfig
from paceline.prompt.context.types import ContextPlace, EditorContext

NUM_QUERY_LINES = 10
"""Before the cursor, and after it: more hurts. Source: facts/retrieval.md §5."""
SEEN_PREFIX_CHARS = 6_000
SEEN_SUFFIX_CHARS = 2_000
"""About what a prompt shows of the document itself."""
MAX_HEADING_LINES = 300
"""The heading of a longer function is not found; then the cursor counts as outside of any."""
MAX_SCANNED_CHARS = 16_000
MAX_SEARCHED_CHARS = 1_000_000
MIN_SEEN_LINE_CHARS = 4
"""Shorter lines (`}`, `pass`) are alike everywhere."""

_IMPORT = re.compile(r"\s*(?:import|from|use|using|#\s*include|extern crate)\b")
_HEADING = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|static|async|abstract|final|pub(?:\([\w:]+\))?|unsafe|inline"
    r"|virtual|override|const)\s+)*(?:def|class|func|fn|function|interface|struct|impl|trait|enum|module|namespace"
    r"|object)\b"
)
_CONTROL = re.compile(r"\s*(?:if|for|while|switch|else|catch|do|try|return|with)\b")


class Scope:
    """Facts about one call of the chooser."""

    def __init__(self, cursor: Cursor, context: EditorContext, config: ContextConfig) -> None:
        self.cursor, self.context, self.config = cursor, context, config
        self.document: Document = cursor.document

    @property
    def path(self) -> str:
        """Of the document at the cursor."""
        return self.document.path

    def absolute_path(self, path: str) -> str:
        """`path` as the workspace's other paths are written; empty if it has none."""
        return _absolute(path, self.context.workspace_root)

    @cached_property
    def _open_texts(self) -> dict[str, str]:
        documents = (*reversed(self.context.open_documents), self.document)
        return {self.shown_path(document.path): document.text for document in documents}

    def open_text(self, shown_path: str) -> str | None:
        """The text of the document that is shown so, if it is open."""
        return self._open_texts.get(shown_path)

    def has_text(self, shown_path: str, text: str) -> bool | None:
        """Are the lines of `text` in the document that is shown so? None if no such one is open, or if it is
        too long to be searched with each keystroke."""
        whole = self.open_text(shown_path)
        if whole is None or len(whole) > MAX_SEARCHED_CHARS:
            return None
        return text in whole or all(line.strip() in whole for line in text.split("\n"))

    def shown_path(self, path: str) -> str:
        """`path` as a prompt shows it."""
        return shown_path(path, self.context.workspace_root)

    @cached_property
    def before(self) -> str:
        """Text before the cursor, no further than is ever looked at."""
        return self.document.text[
            max(self.cursor.offset - MAX_SCANNED_CHARS, 0) : self.cursor.offset
        ]

    @cached_property
    def after(self) -> str:
        """What a prompt shows of the text after the cursor."""
        offset = self.cursor.offset
        return self.document.text[offset : offset + SEEN_SUFFIX_CHARS]

    @cached_property
    def num_lines_before(self) -> int:
        """Zero-based number of the cursor's line."""
        return self.document.text.count("\n", 0, self.cursor.offset)

    @cached_property
    def lines_above(self) -> list[str]:
        """Of the text before the cursor, all lines but the cursor's own."""
        return self.before.split("\n")[:-1]

    @cached_property
    def heading(self) -> str:
        """The line that opens the innermost function or class around the cursor; empty outside of any."""
        limit = self._indentation_at_cursor()
        for line in reversed(self.lines_above[-MAX_HEADING_LINES:]):
            if not limit:
                break
            indentation = _indentation(line)
            if indentation < limit and line.strip():
                if _is_heading(line[:400]):
                    return line.strip()
                limit = indentation
        return ""

    def _indentation_at_cursor(self) -> int:
        """Of the cursor's line; where nothing at all stands before it, what the text above asks for."""
        line = self.before[self.before.rfind("\n") + 1 :]
        indentation = _indentation(line)
        if line:
            return indentation
        above = next((line for line in reversed(self.lines_above[-20:]) if line.strip()), "")
        opens = above.rstrip().endswith((":", "{", "(", "["))
        return _indentation(above) + opens

    @cached_property
    def query_text(self) -> str:
        """What windows are compared with: the lines around the cursor and the heading, without imports,
        which name too much that is used elsewhere. Source: facts/retrieval.md §5."""
        above = self.before.split("\n")[-NUM_QUERY_LINES - 1 :]
        below = self.after.split("\n", NUM_QUERY_LINES)[:NUM_QUERY_LINES]
        lines = [self.heading, *above, *below]
        return "\n".join(line[:400] for line in lines if not _IMPORT.match(line))

    @cached_property
    def seen_lines(self) -> frozenset[str]:
        """Lines of the document that the prompt shows anyway, without white space at their ends."""
        text = self.before[-SEEN_PREFIX_CHARS:] + self.after
        return distinct_lines(text)

    @cached_property
    def place(self) -> ContextPlace:
        """Where this is, for the next call to compare."""
        above = "\n".join(self.lines_above[-2:])
        return ContextPlace(self.path, _hash(self.heading), _hash(above))


def _is_heading(line: str) -> bool:
    """Does the line open a function, class or the like, in any language?"""
    if _HEADING.match(line):
        return True
    before, bracket, _ = line.partition("(")
    is_call = bracket and before.strip() and "=" not in before and ";" not in line
    return bool(is_call) and line.rstrip().endswith("{") and not _CONTROL.match(line)


@lru_cache(maxsize=4_096)
def shown_path(path: str, root: str = "") -> str:
    """`path` below the folder `root` where it is there, else the file's name alone if it is absolute: the
    machine's other folders are no model's business."""
    whole = _absolute(path, root)
    if root and whole.startswith(os.path.normpath(root) + os.sep):
        return os.path.relpath(whole, root)
    given = PurePath(plain_path(path))
    return given.name if given.is_absolute() else path


@lru_cache(maxsize=4_096)
def _absolute(path: str, root: str) -> str:
    path = plain_path(path)
    return os.path.normpath(PurePath(root, path)) if path and "\0" not in path else ""


def distinct_lines(text: str) -> frozenset[str]:
    """The lines of `text` that say something, without white space at their ends."""
    lines = (line.strip() for line in text.split("\n"))
    return frozenset(line for line in lines if len(line) >= MIN_SEEN_LINE_CHARS)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace"))
