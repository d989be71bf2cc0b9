"""Snippets from what the editor itself tells: recent edits, notebook cells, the clipboard, diagnostics.

Each source yields pieces with scores that compare, or says what it left out and why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from paceline.core.types import Snippet
from paceline.prompt.context.admission import Admission
from paceline.prompt.context.config import CHARS_PER_TOKEN
from paceline.prompt.context.index import Query
from paceline.prompt.context.scope import Scope
from paceline.prompt.context.types import Diagnostic, Origin, SkippedContext
from paceline.syntax.languages import language_of

MAX_EDITS = 8
"""Older ones say little of what comes next."""
MAX_EDIT_LINES = 8
EDIT_SCORE = 0.25
"""Of the newest edit, beside its similarity; the oldest has none. What was just changed tends to be changed
again elsewhere (Zed and Copilot send recent edits whatever they look like: facts/clients.md §2.5)."""
CELL_SCORE = 0.6
"""Of the cell right above; cells are the file's own earlier text."""
MAX_CELLS = 40
DIAGNOSTIC_SCORE = 0.3
MAX_DIAGNOSTIC_LINES = 10
"""Further from the cursor they belong to something else."""
MAX_DIAGNOSTICS = 3
MAX_MESSAGE_CHARS = 160
MAX_CLIPBOARD_CHARS = 4_000
"""A longer text was not copied to be seen by a model."""
CLIPBOARD_NAME = "clipboard"
CODE_LINE = re.compile(
    r"[;{}()\[\]=:,]\s*$|^\s*(?:[#@}]|//|import\b|return\b)|\w\(|\w\.\w+|\s(?:=|==|->|=>)\s"
)
MIN_CODE_SHARE = 0.5
"""Of the lines, to be code and not prose."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A snippet that may be chosen."""

    snippet: Snippet
    origin: Origin
    score: float
    """About 0 to 1: the share of the words at the cursor that it has, and what its source adds."""
    order: int = 0
    """Place among the pieces of its source, where that matters."""


Found = Piece | SkippedContext


def from_edits(scope: Scope, query: Query, admission: Admission) -> Iterator[Found]:
    """What lines look like after they were edited, newest first."""
    for age, edit in enumerate(scope.context.recent_edits[:MAX_EDITS]):
        reason = admission.reason_against(edit.path, is_sent=True)
        text = _short(edit.after)
        if not reason and not any(character.isalnum() for character in text):
            reason = "empty"
        path = scope.shown_path(edit.path)
        if not reason and scope.has_text(path, text) is False:
            reason = "gone"
        if reason:
            yield SkippedContext("recent_edit", edit.path, reason)
            continue
        score = EDIT_SCORE * (1 - age / MAX_EDITS) + query.similarity(text)
        yield _piece("recent_edit", path, text, score, order=age)


def _short(text: str) -> str:
    lines = text[: MAX_EDIT_LINES * 200].strip("\r\n").split("\n")
    return "\n".join(line.rstrip() for line in lines[:MAX_EDIT_LINES]).rstrip()


def from_cells(scope: Scope, admission: Admission) -> Iterator[Found]:
    """The cells right above, whole: the nearest ones first, until one does not fit."""
    cells = scope.context.notebook_cells
    reason = admission.reason_against(scope.path, is_sent=True) if cells else ""
    room = scope.config.source_chars("notebook_cell")
    for distance, (number, cell) in enumerate(reversed(list(enumerate(cells))[-MAX_CELLS:])):
        path = f"{scope.shown_path(scope.path)}#{number + 1}"
        room -= len(cell)
        if reason or room < 0:
            yield SkippedContext("notebook_cell", path, reason or "budget")
            return
        if cell.strip():
            score = CELL_SCORE / (1 + distance / MAX_CELLS)
            yield _piece("notebook_cell", path, cell.rstrip(), score, order=number)


def from_clipboard(scope: Scope, query: Query) -> Iterator[Found]:
    """What was copied, if it is code and about the same things as the text at the cursor."""
    if len(scope.context.clipboard) > MAX_CLIPBOARD_CHARS:
        yield SkippedContext("clipboard", CLIPBOARD_NAME, "too_large")
        return
    text = scope.context.clipboard.strip("\r\n").rstrip()
    if not text:
        return
    if not is_code_like(text) or query.similarity(text) < scope.config.min_similarity:
        yield SkippedContext("clipboard", CLIPBOARD_NAME, "unlike")
    else:
        yield _piece("clipboard", CLIPBOARD_NAME, text, query.similarity(text))


def is_code_like(text: str) -> bool:
    """Do most lines of `text` look like code?"""
    lines = [line for line in text.split("\n") if line.strip()]
    num_code = sum(CODE_LINE.search(line[:400]) is not None for line in lines)
    return bool(lines) and num_code >= MIN_CODE_SHARE * len(lines)


def from_diagnostics(scope: Scope) -> Iterator[Found]:
    """Errors and warnings near the cursor, as comments. Those of its own line are about half-typed code."""
    if not scope.context.diagnostics:
        return
    line = scope.num_lines_before
    near = [
        item
        for item in scope.context.diagnostics
        if item.severity in ("error", "warning")
        and 0 < abs(item.line - line) <= MAX_DIAGNOSTIC_LINES
    ]
    near.sort(key=lambda item: (item.severity != "error", abs(item.line - line)))
    if near:
        comments = [diagnostic_comment(scope, item) for item in near[:MAX_DIAGNOSTICS]]
        yield _piece(
            "diagnostic", scope.shown_path(scope.path), "\n".join(comments), DIAGNOSTIC_SCORE
        )


def diagnostic_comment(scope: Scope, diagnostic: Diagnostic) -> str:
    """One line, without the line's number: that changes with every line typed above."""
    marks = language_of(scope.document).line_comments
    message = " ".join(diagnostic.message[: 4 * MAX_MESSAGE_CHARS].split())[:MAX_MESSAGE_CHARS]
    return f"{marks[0] if marks else '#'} {diagnostic.severity}: {message}"


def cost_chars(snippet: Snippet) -> int:
    """What a snippet takes of a budget, with its frame."""
    return len(snippet.text) + len(snippet.path) + CHARS_PER_TOKEN


def _piece(origin: Origin, path: str, text: str, score: float, *, order: int = 0) -> Piece:
    snippet = Snippet(path=path, text=text, origin=origin)
    return Piece(snippet=snippet, origin=origin, score=score, order=order)
