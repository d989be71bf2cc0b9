"""One real change of one file, wherever it comes from, and which files are left out of replays.

Left out: what nobody typed here (vendored, generated, minified, reformatted or rewritten as a whole)
and what is no ordinary text (binary, not UTF-8, too large).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from paceline.core.types import Document
from paceline.traces.edits import Edit, edits_between

MAX_FILE_BYTES = 300_000
MAX_LINE_CHARS = 1000
"""Minified code and data (as in the corpus: StarCoder2, arXiv:2402.19173 §3)."""
MAX_INSERTED_CHARS = 20_000
"""More new text in one change of one file was written by a tool, or over weeks; ours."""
MAX_EDITS = 150
"""More places in one change of one file are a formatter's or a renaming's work; ours."""
NUM_HEAD_LINES = 8
VENDOR_FOLDERS = frozenset(
    {"vendor", "_vendor", "vendored", "_vendored", "third_party", "thirdparty", "extern", "externals",
     "node_modules", "site-packages", "bower_components"}
)  # fmt: skip
GENERATED_NAMES = re.compile(
    r"(_pb2(_grpc)?\.pyi?|\.pb\.(go|cc|h)|\.min\.(js|css)|_version\.py|\.g\.dart|\.lock)$"
)
GENERATED_MARK = re.compile(
    r"generated (by|from|automatically|using|code|file)|auto-?generated|file is generated|do not edit",
    re.IGNORECASE,
)


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file before and after. Both texts have LF line ends."""

    document: Document
    """Before."""
    after: str
    origin: str
    """`git:COMMIT`, or `release:NAME OLD..NEW`."""
    date: str = ""
    """Of the commit, ISO 8601; releases have none."""

    def edits(self) -> list[Edit]:
        """What a person would do, in order of offset."""
        return edits_between(self.document.text, self.after)


def reason_to_skip(change: Change, edits: Sequence[Edit]) -> str | None:
    """Why this change is no good replay, or None. `edits` are the change's own."""
    path, texts = change.document.path, (change.document.text, change.after)
    reasons = (
        ("unchanged", not edits),
        ("only removed", not any(edit.inserted.strip() for edit in edits)),
        ("vendored", is_vendored(path)),
        ("generated", is_generated(path, change.after)),
        ("too large", max(len(text.encode("utf-8", "replace")) for text in texts) > MAX_FILE_BYTES),
        ("long line", any(_longest_line(text) > MAX_LINE_CHARS for text in texts)),
        ("rewritten", sum(len(edit.inserted) for edit in edits) > MAX_INSERTED_CHARS),
        ("reformatted", len(edits) > MAX_EDITS or _letters(texts[0]) == _letters(texts[1])),
    )
    return next((reason for reason, holds in reasons if holds), None)


def typed_changes(changes: Iterable[Change]) -> Iterator[tuple[Change, list[Edit]]]:
    """The changes that are worth a replay, each with its edits."""
    for change in changes:
        edits = change.edits()
        if reason_to_skip(change, edits) is None:
            yield change, edits


def is_vendored(path: str) -> bool:
    """Is the file a copy of somebody else's?"""
    return not VENDOR_FOLDERS.isdisjoint(PurePosixPath(path).parts[:-1])


def is_generated(path: str, text: str) -> bool:
    """Does its name, or a comment near its top, say that a tool wrote it?"""
    head = "\n".join(text.split("\n", NUM_HEAD_LINES)[:NUM_HEAD_LINES])
    return bool(GENERATED_NAMES.search(path) or GENERATED_MARK.search(head))


def _longest_line(text: str) -> int:
    return max(map(len, text.split("\n")))


def _letters(text: str) -> str:
    """What no formatter changes: quotes, commas, brackets and white space are left out."""
    return "".join(re.findall(r"\w+", text))
