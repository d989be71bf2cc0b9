"""Open documents and notebooks, as the client tells of them.

They take the place of pygls' own handlers: its lines also end where Python's do, and an edit of a document
that it does not know raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lsprotocol import types

from paceline.lsp.editor import Editor


def sync_handlers(editor: Callable[[], Editor]) -> dict[str, Callable[[Any], None]]:
    """The handler of each notification, by its method. `editor` is asked when one comes."""
    return {
        types.TEXT_DOCUMENT_DID_OPEN: lambda params: editor().open(params.text_document),
        types.TEXT_DOCUMENT_DID_CHANGE: lambda params: _change(editor(), params),
        types.TEXT_DOCUMENT_DID_CLOSE: lambda params: editor().close(params.text_document.uri),
        types.NOTEBOOK_DOCUMENT_DID_OPEN: lambda params: _open_notebook(editor(), params),
        types.NOTEBOOK_DOCUMENT_DID_CHANGE: lambda params: _change_notebook(editor(), params),
        types.NOTEBOOK_DOCUMENT_DID_CLOSE: lambda params: _close_notebook(editor(), params),
    }


def _change(editor: Editor, params: types.DidChangeTextDocumentParams) -> None:
    document = params.text_document
    editor.change(document.uri, document.version, params.content_changes)


def _open_notebook(editor: Editor, params: types.DidOpenNotebookDocumentParams) -> None:
    editor.notebooks.open(params.notebook_document.uri, params.notebook_document.cells)
    for item in params.cell_text_documents:
        editor.open(item)


def _change_notebook(editor: Editor, params: types.DidChangeNotebookDocumentParams) -> None:
    """Cells came, went, moved or were edited."""
    cells = params.change.cells
    if cells is None:
        return
    structure = cells.structure
    array = structure.array if structure else None
    editor.notebooks.change(params.notebook_document.uri, array, cells.data or ())
    for item in (structure.did_open if structure else None) or ():
        editor.open(item)
    for closed in (structure.did_close if structure else None) or ():
        editor.close(closed.uri)
    for edited in cells.text_content or ():
        editor.change(edited.document.uri, edited.document.version, edited.changes)


def _close_notebook(editor: Editor, params: types.DidCloseNotebookDocumentParams) -> None:
    editor.notebooks.close(params.notebook_document.uri)
    for closed in params.cell_text_documents:
        editor.close(closed.uri)
