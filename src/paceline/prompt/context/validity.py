"""Does a snippet of an earlier choice still say the truth?"""

from __future__ import annotations

from paceline.core.types import Snippet
from paceline.prompt.context.admission import Admission
from paceline.prompt.context.imports import ImportSource
from paceline.prompt.context.scope import Scope
from paceline.prompt.context.sources import CLIPBOARD_NAME, diagnostic_comment
from paceline.prompt.context.types import Origin

SENT: tuple[Origin, ...] = ("open_document", "recent_edit", "notebook_cell", "diagnostic")
"""Sources whose text the client sent."""


def still_holds(
    snippet: Snippet, scope: Scope, admission: Admission, imports: ImportSource
) -> bool:
    """May `snippet` stay: is its source on, its file allowed, its text still there as far as we know?"""
    origin: Origin = snippet.origin  # type: ignore[assignment]
    context = scope.context
    if not scope.config.source(origin).is_enabled:
        return False
    if origin == "clipboard":
        return snippet.path == CLIPBOARD_NAME and snippet.text in context.clipboard
    path = snippet.path.rpartition("#")[0] if origin == "notebook_cell" else snippet.path
    if admission.reason_against(path, is_sent=origin in SENT):
        return False
    if origin == "notebook_cell":
        return any(cell.startswith(snippet.text) for cell in context.notebook_cells)
    if origin == "diagnostic":
        known = {diagnostic_comment(scope, item) for item in context.diagnostics}
        return all(line in known for line in snippet.text.split("\n"))
    if origin == "import":
        return imports.still_defines(snippet, scope)
    is_there = scope.has_text(snippet.path, snippet.text)
    return origin != "open_document" if is_there is None else is_there
