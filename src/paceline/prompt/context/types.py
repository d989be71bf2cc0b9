"""What an editor may tell beside the document itself. All optional; plain values, no files are read here."""

from __future__ import annotations

from typing import Literal

import msgspec

from paceline.core.types import Document, Snippet

Origin = Literal[
    "client",
    "open_document",
    "recent_edit",
    "import",
    "same_directory",
    "notebook_cell",
    "clipboard",
    "diagnostic",
]
"""Where a snippet comes from; `client`: the editor chose it itself (llama.vim's ring, Tabby's snippets)."""


class RecentEdit(msgspec.Struct, frozen=True, kw_only=True):
    """One change that the user made lately, in any document."""

    path: str
    before: str
    after: str
    line: int = 0
    """Zero-based line where it begins."""
    at_ms: float = 0.0


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """What a language server says about a line of the document being edited."""

    line: int
    """Zero-based."""
    message: str
    severity: Literal["error", "warning", "information", "hint"] = "error"


class EditorContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the editor knows beside the document at the cursor."""

    open_documents: tuple[Document, ...] = ()
    """Most recently visited first; without the one at the cursor."""
    recent_edits: tuple[RecentEdit, ...] = ()
    """Newest first."""
    notebook_cells: tuple[str, ...] = ()
    """Code cells above the cursor's, in the notebook's order."""
    diagnostics: tuple[Diagnostic, ...] = ()
    clipboard: str = ""
    """Read only if the config says so."""
    workspace_root: str = ""
    """Absolute folder of the project on this machine; empty: no file beside the open ones is read."""
    client_snippets: tuple[Snippet, ...] = ()
    """Chosen by the client, best first."""


class SkippedContext(msgspec.Struct, frozen=True):
    """A piece that did not enter the prompt, and why."""

    origin: Origin
    path: str
    reason: str
    """secret_file | ignored_glob | git_ignored | outside_workspace | secret | binary | too_large | long_lines |
    waiting (not looked at yet, so that this call stays quick) | unlike (nothing in it resembles the text at the
    cursor) | duplicate (of another snippet, or of what the prompt shows of the document) | gone (the document has changed since) | budget | empty"""


class ContextPlace(msgspec.Struct, frozen=True):
    """Where a choice was made, in hashes: while they stay, so does the choice."""

    path: str = ""
    block: int = 0
    """The heading of the function or class that the cursor is in."""
    line: int = 0
    """The lines above the cursor's."""


class ChosenContext(msgspec.Struct, frozen=True):
    """What enters the prompt, in prompt order, and what did not."""

    snippets: tuple[Snippet, ...] = ()
    skipped: tuple[SkippedContext, ...] = ()
    place: ContextPlace = ContextPlace()
