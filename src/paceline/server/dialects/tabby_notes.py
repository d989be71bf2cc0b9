"""What each field of Tabby's requests does here."""

from __future__ import annotations

from paceline.server.dialects.notes import DialectNotes, FieldNote

_SEGMENT_NOTES = (
    FieldNote("segments.prefix", "honoured", "text before the cursor"),
    FieldNote("segments.suffix", "honoured", "text after the cursor"),
    FieldNote("segments.filepath", "honoured", "the document, its language by the ending"),
    FieldNote("segments.git_url", "ignored", "no repository is fetched"),
    FieldNote("segments.declarations[].filepath", "honoured", "shown with the snippet"),
    FieldNote("segments.declarations[].body", "honoured", "a snippet, before the others"),
    *(
        FieldNote(f"segments.{kind}[].{name}", "honoured", note)
        for kind in (
            "relevant_snippets_from_changed_files",
            "relevant_snippets_from_recently_opened_files",
        )
        for name, note in (
            ("filepath", "shown with the snippet"),
            ("body", "a snippet"),
            ("score", "returned with `return_snippets`; the order is the list's"),
        )
    ),
    FieldNote("segments.clipboard", "honoured", "only where the server is told to use it"),
    FieldNote("segments.edit_history.original_code", "ignored", "only for next edits"),
    FieldNote("segments.edit_history.edits_diff", "ignored", "only for next edits"),
    FieldNote("segments.edit_history.current_version", "ignored", "only for next edits"),
)

NOTES = (
    DialectNotes(
        "Tabby",
        "POST /v1/completions with segments",
        "completion brain",
        (
            FieldNote("language", "honoured", "as VS Code names it"),
            *_SEGMENT_NOTES,
            FieldNote("user", "honoured", "whose documents these are"),
            FieldNote("temperature", "honoured", "absent: 0"),
            FieldNote("seed", "honoured", "of the sampling; absent: fresh"),
            FieldNote("mode", "refused", "anything but `standard`"),
            FieldNote("debug_options.raw_prompt", "honoured", "raw model output, 64 tokens"),
            FieldNote("debug_options.return_snippets", "honoured", "the plugin's own"),
            FieldNote("debug_options.return_prompt", "honoured", "up to the cursor"),
            FieldNote(
                "debug_options.disable_retrieval_augmented_code_completion",
                "honoured",
                "no snippets, the plugin's own neither",
            ),
        ),
    ),
    DialectNotes(
        "Tabby",
        "POST /v1/events of Tabby",
        "server",
        (
            FieldNote("type", "honoured", "view: shown; select: accepted; dismiss: rejected"),
            FieldNote("completion_id", "honoured", "which completion"),
            FieldNote("choice_index", "honoured", "which of its texts"),
            FieldNote("view_id", "honoured", "with `type`, what is counted once"),
            FieldNote("elapsed", "ignored", "how long it was on screen"),
            FieldNote("select_kind", "honoured", "line: its first line was accepted"),
            FieldNote("?select_kind", "honoured", "the same in the query, which comes first"),
        ),
    ),
    DialectNotes("Tabby", "GET /v1/health", "server", ()),
    DialectNotes("Tabby", "POST /v1/health", "server", ()),
    DialectNotes("Tabby", "GET /v1beta/models", "server", ()),
    DialectNotes("Tabby", "GET /v1beta/server_setting", "server", ()),
)
