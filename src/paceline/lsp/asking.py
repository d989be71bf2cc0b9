"""What is sent for a completion: the document, and what else the editor has, within bounds.

Nothing of a file that may hold secrets, or that the user keeps out, leaves the editor. A server on another
machine gets paths below the workspace only.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from pygls.uris import to_fs_path

from paceline.complete.modes import Trigger
from paceline.complete.recent_edits import Edit, RecentEdits
from paceline.complete.wire import Encoding, WireDocument, WireEdit, WirePosition, WireRequest
from paceline.hygiene.paths import PathRules
from paceline.lsp.documents import Documents, OpenDocument, Place
from paceline.lsp.notebooks import Notebooks
from paceline.lsp.settings import Settings
from paceline.prompt.characters import repair

MAX_OPEN_DOCUMENTS = 16
MAX_OPEN_CHARS = 400_000
"""Of one document beside the one at the cursor; of a larger one hardly a line would be used."""
MAX_CONTEXT_CHARS = 1_500_000
"""Of all of them: it is sent with each key."""
MAX_CELLS = 100


class Scope:
    """Where files are: the workspace's folders, and which files stay out."""

    def __init__(self, folders: Sequence[str], settings: Settings) -> None:
        self._folders = sorted((folder.rstrip("/") for folder in folders), key=len, reverse=True)
        self._rules = PathRules(settings.disabled_globs)
        self._languages = frozenset(settings.disabled_languages)

    def root_of(self, path: str) -> str:
        """The innermost workspace folder that `path` is in; empty if it is in none."""
        inside = (folder for folder in self._folders if path.startswith(folder + "/"))
        return next(inside, "")

    def relative(self, path: str) -> str:
        """`path` below its workspace folder; of a file outside all of them, its name."""
        root = self.root_of(path)
        return path[len(root) + 1 :] if root else posixpath.basename(path)

    def is_out(self, document: OpenDocument, path: str) -> bool:
        """May nothing of this document be sent?"""
        if document.refusal or document.language in self._languages:
            return True
        return bool(path) and bool(
            self._rules.reason_against(path) or self._rules.reason_against(self.relative(path))
        )


class Asking:
    """Builds requests from the state of one editor."""

    def __init__(
        self,
        documents: Documents,
        notebooks: Notebooks,
        edits: RecentEdits,
        *,
        session_id: str,
        encoding: Encoding,
        is_local: bool,
    ) -> None:
        self._documents, self._notebooks, self._edits = documents, notebooks, edits
        self._session_id, self._is_local = session_id, is_local
        self._encoding: Encoding = encoding

    def request(
        self,
        document: OpenDocument,
        place: Place,
        *,
        scope: Scope,
        settings: Settings,
        trigger: Trigger,
        request_id: str,
        pressed_at_ms: float,
    ) -> WireRequest:
        """The request at `place`, which must be inside the document (OpenDocument.clamp)."""
        path = self.path_of(document.uri)
        is_invoked = trigger == "invoked"
        return WireRequest(
            document=self._wire(document, scope),
            position=WirePosition(line=place.line, character=place.column),
            encoding=self._encoding,
            trigger=trigger,
            session_id=self._session_id,
            document_id=document.document_id,
            request_id=request_id,
            open_documents=list(self._open_documents(document, scope)),
            recent_edits=list(self._recent_edits(scope)),
            notebook_cells=self._cells_above(document),
            workspace_root=scope.root_of(path) if self._is_local else "",
            model=settings.model,
            max_latency_ms=settings.max_latency_ms,
            multi_line_threshold=settings.multi_line_threshold,
            show_threshold=settings.show_threshold,
            num_alternatives=settings.invoked_alternatives if is_invoked else 1,
            is_insisting=is_invoked,
            pressed_at_ms=pressed_at_ms,
        )

    def path_of(self, uri: str) -> str:
        """The path of a document, of a cell that of its notebook; empty if it is no file."""
        return path_of(self._notebooks.notebook_of(uri) or uri)

    def _wire(self, document: OpenDocument, scope: Scope) -> WireDocument:
        return WireDocument(
            text=repair(document.text),
            path=self._shown_path(document.uri, scope),
            language=repair(document.language),
        )

    def _shown_path(self, uri: str, scope: Scope) -> str:
        path = self.path_of(uri)
        return repair(path if self._is_local or not path else scope.relative(path))

    def _open_documents(self, current: OpenDocument, scope: Scope) -> Iterator[WireDocument]:
        notebook = self._notebooks.notebook_of(current.uri)
        num_documents = num_chars = 0
        for document in self._documents.recent():
            is_sibling = notebook and self._notebooks.notebook_of(document.uri) == notebook
            if document is current or is_sibling or not document.text:
                continue
            size = len(document.text)
            is_large = size > MAX_OPEN_CHARS or num_chars + size > MAX_CONTEXT_CHARS
            if is_large or scope.is_out(document, self.path_of(document.uri)):
                continue
            yield self._wire(document, scope)
            num_documents, num_chars = num_documents + 1, num_chars + size
            if num_documents == MAX_OPEN_DOCUMENTS:
                return

    def _recent_edits(self, scope: Scope) -> Iterator[WireEdit]:
        for edit in self._edits.newest_first():
            document = self._documents.get(edit.document_id)
            if document and not scope.is_out(document, self.path_of(document.uri)):
                yield self._wire_edit(edit, scope)

    def _wire_edit(self, edit: Edit, scope: Scope) -> WireEdit:
        return WireEdit(
            path=self._shown_path(edit.document_id, scope),
            before=repair(edit.before),
            after=repair(edit.after),
            line=edit.line,
            at_ms=edit.at_ms,
        )

    def _cells_above(self, document: OpenDocument) -> list[str]:
        uris = self._notebooks.code_cells_above(document.uri)[-MAX_CELLS:]
        cells = (self._documents.get(uri) for uri in uris)
        return [repair(cell.text) for cell in cells if cell is not None and cell.text]


def path_of(uri: str) -> str:
    """The path in a `file:` address, or in that of a notebook's cell; empty for all others, and for nonsense."""
    try:
        parts = urlsplit(uri)
        path = to_fs_path(uri) or ""
        if parts.scheme == "vscode-notebook-cell":
            path = unquote(parts.path)
    except ValueError:  # a bracket in the host
        return ""
    return "" if "\0" in path else path
