"""What each field of Codeium's calls does here."""

from __future__ import annotations

from paceline.server.dialects.notes import DialectNotes, FieldNote

_SERVICE = "POST /exa.language_server_pb.LanguageServerService"
_KEY = FieldNote("metadata.api_key", "honoured", "the access token, where one is demanded")
_UNREAD = tuple(
    FieldNote(f"metadata.{name}", "ignored", "nothing depends on it")
    for name in ("session_id", "request_id", "ide_name", "extension_name", "extension_version")
)


def _document_notes(place: str) -> tuple[FieldNote, ...]:
    """Those of every document."""
    return (
        FieldNote(f"{place}.text", "honoured", "the whole file"),
        FieldNote(f"{place}.editor_language", "honoured", "where `language` does not say"),
        FieldNote(f"{place}.language", "honoured", "by name or number"),
        FieldNote(f"{place}.absolute_uri", "honoured", "the file"),
        FieldNote(f"{place}.absolute_path_migrate_me_to_uri", "honoured", "the same, older"),
    )


_OTHER_UNREAD = tuple(
    FieldNote(f"other_documents[].{name}", "ignored", "only the cursor's document has one")
    for name in (
        "cursor_offset",
        "cursor_position.row",
        "cursor_position.col",
        "workspace_uri",
        "line_ending",
    )
)

NOTES = (
    DialectNotes(
        "Codeium",
        f"{_SERVICE}/GetCompletions",
        "completion brain",
        (
            _KEY,
            FieldNote("metadata.session_id", "honoured", "or the header X-Paceline-Session"),
            FieldNote(
                "metadata.request_id", "honoured", "for CancelRequest; late ones are canceled"
            ),
            FieldNote("metadata.ide_name", "ignored", "nothing depends on it"),
            FieldNote("metadata.extension_name", "ignored", "nothing depends on it"),
            FieldNote("metadata.extension_version", "ignored", "nothing depends on it"),
            *_document_notes("document"),
            FieldNote("document.cursor_offset", "honoured", "UTF-8 bytes"),
            FieldNote("document.cursor_position.row", "honoured", "instead of the offset"),
            FieldNote("document.cursor_position.col", "honoured", "UTF-8 bytes"),
            FieldNote("document.line_ending", "honoured", "how rows are counted"),
            FieldNote("document.workspace_uri", "honoured", "on loopback, without tokens, only"),
            FieldNote("document.visible_range", "ignored", "the whole text is there"),
            *_document_notes("other_documents[]"),
            *_OTHER_UNREAD,
            FieldNote("model_name", "honoured", "empty: the default"),
            FieldNote("multiline_config.threshold", "honoured", "higher: single lines more often"),
            FieldNote("num_alternatives", "honoured", "ours: how many to cycle through"),
            FieldNote("editor_options.tab_size", "ignored", "the text shows how it is indented"),
            FieldNote("editor_options.insert_spaces", "ignored", "the same"),
            FieldNote("experiment_config", "ignored", "there are no such experiments"),
        ),
    ),
    DialectNotes(
        "Codeium",
        f"{_SERVICE}/CancelRequest",
        "server",
        (
            _KEY,
            FieldNote("metadata.session_id", "honoured", "whose request"),
            *(note for note in _UNREAD if note.name != "metadata.session_id"),
            FieldNote("request_id", "honoured", "the request ends within one step"),
        ),
    ),
    DialectNotes(
        "Codeium",
        f"{_SERVICE}/AcceptCompletion",
        "server",
        (
            _KEY,
            FieldNote("metadata.ide_name", "honoured", "recorded, if there is no extension's"),
            FieldNote("metadata.extension_name", "honoured", "recorded"),
            FieldNote("metadata.extension_version", "honoured", "recorded"),
            FieldNote("metadata.session_id", "ignored", "the completion has its own id"),
            FieldNote("metadata.request_id", "ignored", "the completion has its own id"),
            FieldNote("completion_id", "honoured", "accepted; parts of it too"),
        ),
    ),
    DialectNotes(
        "Codeium",
        f"{_SERVICE}/RegisterUser",
        "server",
        (FieldNote("firebase_id_token", "honoured", "a token of ours; it is the key"),),
    ),
    DialectNotes("Codeium", f"{_SERVICE}/GetStatus", "server", (_KEY, *_UNREAD)),
    *(
        DialectNotes("Codeium", f"{_SERVICE}/{name}", "server", (_KEY, *_UNREAD))
        for name in (
            "Heartbeat",
            "RecordEvent",
            "RefreshContextForIdeAction",
            "AddTrackedWorkspace",
            "RemoveTrackedWorkspace",
        )
    ),
)
