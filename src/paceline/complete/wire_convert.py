"""From the native protocol's types to the brain's, and back."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from paceline.complete.request import Alternative, CompleteRequest, Completion
from paceline.complete.wire import (
    Encoding,
    WireAttribution,
    WireCompletion,
    WireDocument,
    WireItem,
    WireRequest,
)
from paceline.complete.wire_positions import offset_at, range_at
from paceline.core.errors import FieldError
from paceline.core.types import Cursor, Document, Snippet
from paceline.generate.types import Session
from paceline.prompt.context.types import Diagnostic, EditorContext, RecentEdit


def to_request(wire: WireRequest, *, is_local: bool) -> CompleteRequest:
    """What the brain is asked.

    Args:
        is_local: does the client run on this machine, and may it see all that we may? Else `workspace_root`
            is not looked at.

    Raises:
        FieldError: the position is outside the document, or a path cannot be one.
    """
    document = _document(wire.document, "document.path")
    if wire.document_id and not wire.session_id:
        raise FieldError("document_id", "send session_id with it; a document alone is nobody's")
    session = None
    if wire.session_id:
        session = Session(wire.session_id, wire.document_id or document.path)
    return CompleteRequest(
        cursor=Cursor(
            document=document, offset=offset_at(document.text, wire.position, wire.encoding)
        ),
        trigger=wire.trigger,
        mode=wire.mode,
        context=_context(wire, _root(wire.workspace_root) if is_local else ""),
        model_id=wire.model or None,
        max_tokens=wire.max_tokens,
        max_latency_ms=wire.max_latency_ms,
        session=session,
        user_id=wire.session_id,
        request_id=wire.request_id,
        pressed_at_ms=wire.pressed_at_ms,
        multi_line_threshold=wire.multi_line_threshold,
        show_threshold=wire.show_threshold,
        num_alternatives=wire.num_alternatives,
        is_insisting=wire.is_insisting,
    )


def to_wire(completion: Completion, cursor: Cursor, encoding: Encoding) -> WireCompletion:
    """The reply; ranges are those of the text that was sent."""
    own = Alternative(text=completion.text, num_replaced_chars=completion.num_replaced_chars)
    shown = (completion.alternatives or (own,)) if completion.text else ()
    probability = completion.probability
    return WireCompletion(
        request_id=completion.request_id,
        items=[to_item(each, cursor, encoding) for each in shown],
        drop_reason=completion.drop.reason if completion.drop else None,
        mode=completion.mode,
        source=completion.source,
        model=completion.model_id,
        probability=None if probability is None else round(probability, 4),
        finish_reason=completion.finish_reason,
        num_tokens=completion.num_tokens,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        latency_ms=round(completion.latency_ms, 3),
        ttft_ms=round(completion.ttft_ms, 3),
        reasons=list(completion.reasons),
        flags=list(completion.flags),
        attributions=[
            WireAttribution(origin=each.origin, license=each.license, num_tokens=each.num_tokens)
            for each in completion.attributions
        ],
    )


def to_item(alternative: Alternative, cursor: Cursor, encoding: Encoding) -> WireItem:
    """One text to show at `cursor`, with what it takes the place of."""
    num_chars = alternative.num_replaced_chars
    return WireItem(
        text=alternative.text,
        range=range_at(cursor.document.text, cursor.offset, num_chars, encoding),
        num_replaced_chars=num_chars,
    )


def _context(wire: WireRequest, root: str) -> EditorContext:
    return EditorContext(
        open_documents=tuple(
            _document(each, "open_documents.path") for each in wire.open_documents
        ),
        recent_edits=tuple(
            RecentEdit(
                path=_path(each.path, "recent_edits.path"),
                before=each.before,
                after=each.after,
                line=each.line,
                at_ms=each.at_ms,
            )
            for each in wire.recent_edits
        ),
        notebook_cells=tuple(wire.notebook_cells),
        diagnostics=tuple(
            Diagnostic(line=each.line, message=each.message, severity=each.severity)
            for each in wire.diagnostics
        ),
        clipboard=wire.clipboard,
        workspace_root=root,
        client_snippets=tuple(
            Snippet(path=_path(each.path, "snippets.path"), text=each.text)
            for each in wire.snippets
        ),
    )


def _document(wire: WireDocument, field: str) -> Document:
    return Document(path=_path(wire.path, field), text=wire.text, language=wire.language)


def _path(path: str, field: str) -> str:
    """`path`, which is only a name here: nothing is opened by it outside the workspace's folder."""
    if "\0" in path:
        raise FieldError(field, "must not hold a NUL character; no path does")
    return path


def _root(path: str) -> str:
    is_absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    if path and not is_absolute:
        raise FieldError("workspace_root", "must be an absolute path")
    return _path(path, "workspace_root")
