"""Which fields of Copilot's and FauxPilot's requests do something here."""

from __future__ import annotations

from paceline.server.dialects.notes import DialectNotes, FieldNote
from paceline.server.dialects.openai_notes import COMPLETION_FIELDS

NOTES = (
    DialectNotes(
        "Copilot, FauxPilot",
        "POST /v1/engines/{model}/completions",
        "generator",
        (
            FieldNote("{model}", "honoured", "a model or a known alias of the default; else 404"),
            *COMPLETION_FIELDS,
            FieldNote("logit_bias", "ignored", "older clients send one that bars the end"),
            FieldNote("nwo", "honoured", "its second half, for models that know repository names"),
            FieldNote("code_annotations", "ignored", "raw output is not compared with known code"),
            FieldNote("extra.language", "honoured", "which words go on with a block, for trimming"),
            FieldNote("extra.trim_by_indentation", "honoured"),
            FieldNote("extra.next_indent", "honoured", "with trim_by_indentation"),
            FieldNote("extra.force_indent", "honoured", "with trim_by_indentation"),
            FieldNote("extra.context", "honoured", "snippets; not with token ids"),
            FieldNote("extra.prompt_tokens", "ignored", "counted here, in this model's tokens"),
            FieldNote("extra.suffix_tokens", "ignored", "counted here, in this model's tokens"),
            FieldNote("extra.test_completions", "ignored", "nothing is answered but by the model"),
        ),
    ),
    DialectNotes("Copilot, FauxPilot", "GET /copilot_internal/v2/token", "server", ()),
)
