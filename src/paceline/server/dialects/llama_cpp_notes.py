"""Which fields of llama.cpp's requests do something here."""

from __future__ import annotations

from paceline.server.dialects.llama_cpp_params import RAW_MAX_TOKENS
from paceline.server.dialects.notes import DialectNotes, FieldNote

SAMPLING_ONLY = "where temperature is above 0"
SHARED = (
    FieldNote("n_indent", "honoured", "blank lines do not count"),
    FieldNote("seed", "honoured", "negative: fresh"),
    FieldNote("stop", "honoured"),
    FieldNote("stream", "honoured"),
    FieldNote("id_slot", "honoured", "said again in the reply; there are no slots"),
    FieldNote("session_id", "honoured", "ours"),
    FieldNote("document_id", "honoured", "ours"),
    FieldNote("response_fields", "honoured", "`a/b` is one name in the reply"),
    FieldNote("lora[].id", "honoured", "number of an adapter; ignored if none is served"),
    FieldNote("lora[].scale", "honoured", "above 0: that adapter, whole; the greatest of several"),
    FieldNote("model", "honoured", "404 if it is not served"),
    FieldNote("temperature", "honoured"),
    FieldNote("top_k", "honoured", SAMPLING_ONLY),
    FieldNote("top_p", "honoured", SAMPLING_ONLY),
    FieldNote("min_p", "honoured", SAMPLING_ONLY),
    FieldNote("samplers", "honoured", "which of top_k, top_p, min_p are read; their order is fixed"),
    FieldNote("cache_prompt", "ignored", "what is computed is always kept"),
    *(
        FieldNote(name, "ignored")
        for name in (
            "typical_p", "xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent",
            "repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty", "dry_multiplier",
            "mirostat", "mirostat_tau", "mirostat_eta", "logit_bias", "n_probs", "n_keep", "grammar",
        )
    ),
)  # fmt: skip

NOTES = (
    DialectNotes(
        "llama.cpp",
        "POST /infill",
        "completion brain",
        (
            FieldNote("input_prefix", "honoured"),
            FieldNote("input_suffix", "honoured"),
            FieldNote("prompt", "honoured", "stands between input_prefix and the cursor"),
            FieldNote("input_extra[].text", "honoured"),
            FieldNote("input_extra[].filename", "honoured"),
            FieldNote("input_extra[].time", "honoured", "if every piece has one: newest first"),
            FieldNote("n_predict", "honoured", "0 only warms the cache"),
            FieldNote("n_cmpl", "honoured", "1 to 3; more than one only if invoked"),
            FieldNote("t_max_prompt_ms", "honoured", "added to t_max_predict_ms; alone it does nothing"),
            FieldNote("t_max_predict_ms", "honoured", "with t_max_prompt_ms the limit of the request"),
            *SHARED,
            FieldNote("mode", "honoured", "ours"),
            FieldNote("trigger", "honoured", "ours"),
            FieldNote("multi_line_threshold", "honoured", "ours"),
            FieldNote("show_threshold", "honoured", "ours"),
            FieldNote("filename", "honoured", "ours"),
            FieldNote("language", "honoured", "ours"),
        ),
    ),
    DialectNotes(
        "llama.cpp",
        "POST /completion",
        "generator",
        (
            FieldNote("prompt", "honoured", "a text or token ids"),
            FieldNote("n_predict", "honoured", f"0 only warms; negative or absent is {RAW_MAX_TOKENS}"),
            FieldNote("ignore_eos", "honoured"),
            FieldNote("t_max_predict_ms", "honoured", "from when the request came"),
            *SHARED,
        ),
    ),
    DialectNotes("llama.cpp", "GET /props", "server", ()),
    DialectNotes(
        "llama.cpp",
        "GET /slots",
        "server",
        (FieldNote("?fail_on_no_slot", "ignored", "requests queue; there is always a slot"),),
    ),
)  # fmt: skip
