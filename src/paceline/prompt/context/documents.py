"""Snippets from whole documents, open ones and those of the same folder: their windows most like the cursor's text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePath

import msgspec

from paceline.core.types import Document, Snippet
from paceline.prompt.context.admission import Admission
from paceline.prompt.context.files import FileStore
from paceline.prompt.context.index import DocumentIndex, IndexStore, Query
from paceline.prompt.context.scope import Scope
from paceline.prompt.context.sources import Found, Piece
from paceline.prompt.context.types import Origin, SkippedContext

MAX_OPEN_DOCUMENTS = 20
"""Copilot looks at as many (facts/clients.md §2.5)."""
RECENT_SCORE = 0.02
"""The document visited last is worth so much more than the one visited first."""
MAX_MEAN_LINE_CHARS = 300
"""Text of longer lines was written by a machine."""
MAX_SNIPPET_CHARS = 1_200


class Indexed(msgspec.Struct, frozen=True):
    """A document that may be used."""

    origin: Origin
    path: str
    index: DocumentIndex
    bonus: float = 0.0


def open_documents(
    scope: Scope, admission: Admission, indexes: IndexStore
) -> Iterator[Indexed | SkippedContext]:
    """The open documents, most recently visited first, but the one at the cursor."""
    own = scope.absolute_path(scope.path)
    others = scope.context.open_documents
    for age, document in enumerate(others):
        reason = "budget" if age >= MAX_OPEN_DOCUMENTS else ""
        if own and scope.absolute_path(document.path) == own:
            reason = "duplicate"
        reason = reason or admission.reason_against(document.path, is_sent=True)
        reason = reason or reason_against_text(document.text, scope.config.max_document_chars)
        bonus = RECENT_SCORE * (1 - age / MAX_OPEN_DOCUMENTS)
        yield _indexed("open_document", document, reason, bonus, indexes)


def same_directory(
    scope: Scope, admission: Admission, files: FileStore, indexes: IndexStore
) -> Iterator[Indexed | SkippedContext]:
    """Files of the same kind beside the document, where the workspace is on this machine."""
    own = scope.absolute_path(scope.path)
    if not (scope.context.workspace_root and own):
        return
    folder, name = os.path.split(own)
    if admission.reason_against(own, is_sent=False) == "outside_workspace":
        return
    ending = PurePath(name).suffix
    known = {scope.absolute_path(document.path) for document in scope.context.open_documents}
    names = [
        other
        for other in files.list_folder(folder)
        if other != name and PurePath(other).suffix == ending and f"{folder}/{other}" not in known
    ]
    for other in _nearest(names, name, scope.config.max_directory_files):
        path = f"{folder}/{other}"
        reason = admission.reason_against(path, is_sent=False)
        text = ""
        if not reason:
            result = files.read(path)
            text = result.text
            reason = result.reason or reason_against_text(text, scope.config.max_document_chars)
        yield _indexed("same_directory", Document(path=path, text=text), reason, 0.0, indexes)


def _nearest(names: list[str], name: str, count: int) -> list[str]:
    """Those whose names begin most like `name`, then by the alphabet."""
    return sorted(names, key=lambda other: (-_num_common(name, other), other))[:count]


def _num_common(a: str, b: str) -> int:
    """How many characters two names begin alike with."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))


def _indexed(
    origin: Origin, document: Document, reason: str, bonus: float, indexes: IndexStore
) -> Indexed | SkippedContext:
    if reason:
        return SkippedContext(origin, document.path, reason)
    index = indexes.index(document.text)
    if index is None:
        return SkippedContext(origin, document.path, "waiting")
    return Indexed(origin, document.path, index, bonus)


def from_documents(scope: Scope, query: Query, documents: list[Indexed]) -> Iterator[Found]:
    """The best windows of each document."""
    config = scope.config
    for document in documents:
        is_found = False
        for first in document.index.best_windows(
            query.weights, config.max_windows, config.window_lines
        ):
            text = document.index.text_from(first, config.window_lines, MAX_SNIPPET_CHARS)
            similarity = query.similarity(text)
            if not text or similarity < config.min_similarity:
                break
            is_found = True
            snippet = Snippet(
                path=scope.shown_path(document.path), text=text, origin=document.origin
            )
            yield Piece(snippet=snippet, origin=document.origin, score=similarity + document.bonus)
        if not is_found:
            yield SkippedContext(document.origin, document.path, "unlike")


def reason_against_text(text: str, max_chars: int) -> str:
    """Why a document's text is no code that a person reads; empty if it may be."""
    if len(text) > max_chars:
        return "too_large"
    if "\0" in text:
        return "binary"
    if len(text) > MAX_MEAN_LINE_CHARS * (text.count("\n") + 1):
        return "long_lines"
    return "" if text.strip() else "empty"
