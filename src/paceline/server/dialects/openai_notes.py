"""Which fields of OpenAI's requests do something here."""

from __future__ import annotations

from paceline.server.dialects.notes import DialectNotes, FieldNote
from paceline.server.dialects.openai_plan import MAX_STREAMS
from paceline.server.dialects.openai_prompts import MAX_PROMPTS

COMPLETION_FIELDS = (
    FieldNote("prompt", "honoured", f"a text, token ids, or a list of up to {MAX_PROMPTS} of them"),
    FieldNote("model", "honoured", "404 if it is not served"),
    FieldNote("suffix", "honoured", "given, even empty: the model fills the middle"),
    FieldNote("max_tokens", "honoured", "null is 16, as absent"),
    FieldNote("temperature", "honoured"),
    FieldNote("top_p", "honoured"),
    FieldNote("top_k", "honoured", "as vLLM has it"),
    FieldNote("min_p", "honoured", "as vLLM has it"),
    FieldNote("ignore_eos", "honoured", "as vLLM has it"),
    FieldNote("stop", "honoured"),
    FieldNote("seed", "honoured"),
    FieldNote("stream", "honoured"),
    FieldNote("stream_options.include_usage", "honoured"),
    FieldNote("stream_options.include_obfuscation", "ignored", "nothing is padded"),
    FieldNote("n", "honoured", f"times the prompts at most {MAX_STREAMS}"),
    FieldNote("best_of", "honoured", "by the mean log-probability of a token"),
    FieldNote("logprobs", "honoured", "of the answer's tokens"),
    FieldNote("echo", "honoured", "refused with token ids and with logprobs"),
    FieldNote("user", "honoured", "whose share of the machine is used"),
    FieldNote("session_id", "honoured", "ours"),
    FieldNote("document_id", "honoured", "ours"),
    FieldNote("lane", "honoured", "ours"),
    FieldNote("presence_penalty", "refused", "unless 0"),
    FieldNote("frequency_penalty", "refused", "unless 0"),
)

NOTES = (
    DialectNotes("OpenAI", "GET /v1/models", "server", ()),
    DialectNotes(
        "OpenAI",
        "GET /v1/models/{model_id}",
        "server",
        (FieldNote("{model_id}", "honoured", "404 if it is not served"),),
    ),
    DialectNotes(
        "OpenAI",
        "POST /v1/completions",
        "generator",
        (*COMPLETION_FIELDS, FieldNote("logit_bias", "refused", "unless empty")),
    ),
    DialectNotes(
        "OpenAI",
        "POST /v1/embeddings",
        "server",
        tuple(
            FieldNote(name, "ignored", "checked; there is no encoder, so the answer is 501")
            for name in ("input", "model", "encoding_format", "dimensions", "user")
        ),
    ),
)
