"""Names, help and bounds of the engine's figures, as Prometheus sees them. Tables only.

Names that begin with `vllm:` mean what they mean in vLLM, so that its dashboards work: the same words,
units and bucket bounds (and finer ones below 100 ms, where a keystroke lives). What vLLM lacks
begins with `paceline_`. Never a label that a user, a document or a prompt could be told by.

Where we differ: histograms of requests have a label `lane` besides `model_name`, so that jobs which may
wait minutes do not blur the answers that somebody waits for; there is no label `engine`.

Source: vLLM, vllm/v1/metrics/loggers.py and vllm/v1/spec_decode/metrics.py (version 0.11).
"""

from __future__ import annotations

from typing import NamedTuple

FINE_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1)
VLLM_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
VLLM_TOKEN_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)
VLLM_REQUEST_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0),
    *(240.0, 480.0, 960.0, 1920.0, 7680.0),
)
VLLM_STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FIRST_TOKEN_S = tuple(sorted({*FINE_S, 0.15, 0.2, 0.3, *VLLM_FIRST_TOKEN_S}))
TOKEN_S = tuple(sorted({0.0002, 0.0005, *FINE_S, *VLLM_TOKEN_S}))
REQUEST_S = tuple(sorted({*FINE_S, 0.15, 0.2, *VLLM_REQUEST_S}))
STEP_S = (
    *(0.0001, 0.0002, 0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01),
    *(0.02, 0.05, 0.1, 0.25, 0.5, 1.0),
)
STEP_TOKENS = tuple(sorted({2, 4, *VLLM_STEP_TOKENS}))
REQUEST_TOKENS = tuple(mantissa * 10**exponent for exponent in range(5) for mantissa in (1, 2, 5))
"""vLLM's 1-2-5 series, which it ends at the context window."""

FINISH_REASONS: tuple[str, ...] = ("stop", "length", "cancelled", "superseded", "deadline", "error")
VLLM_REASONS = {"stop": "stop", "length": "length", "error": "error"}
"""vLLM's words; every other reason is its `abort`."""
PHASES: tuple[str, ...] = ("plan", "forward", "pick", "commit")


class HistogramName(NamedTuple):
    """A histogram of requests; `attribute` is LaneFigures'."""

    attribute: str
    name: str
    bounds: tuple[float, ...]
    help: str


class CounterName(NamedTuple):
    """A counter without labels of its own; `attribute` is Figures'."""

    attribute: str
    name: str
    help: str


LANE_HISTOGRAMS = tuple(
    HistogramName(attribute, f"vllm:{name}", bounds, text)
    for attribute, name, bounds, text in (
        ("first_token", "time_to_first_token_seconds", FIRST_TOKEN_S, "Queued to first token."),
        (
            "token",
            "inter_token_latency_seconds",
            TOKEN_S,
            "From a step with new tokens to the next.",
        ),
        ("mean_token", "request_time_per_output_token_seconds", TOKEN_S, "Mean after the first."),
        ("latency", "e2e_request_latency_seconds", REQUEST_S, "Queued to stop or length."),
        ("queue", "request_queue_time_seconds", REQUEST_S, "Queued to first admitted."),
        ("prefill", "request_prefill_time_seconds", REQUEST_S, "First admitted to first token."),
        ("decode", "request_decode_time_seconds", REQUEST_S, "First token to last token."),
        ("inference", "request_inference_time_seconds", REQUEST_S, "First admitted to last token."),
        ("prompt_tokens", "request_prompt_tokens", REQUEST_TOKENS, "Tokens of the prompt."),
        ("output_tokens", "request_generation_tokens", REQUEST_TOKENS, "Tokens produced."),
    )
)
"""All but the first two are of requests that ended by stop or length, as in vLLM."""

COUNTERS = tuple(
    CounterName(*row)
    for row in (
        ("prompt_tokens", "vllm:prompt_tokens_total", "Prompt tokens prefilled, cached or not."),
        ("generation_tokens", "vllm:generation_tokens_total", "Tokens produced."),
        ("preemptions", "vllm:num_preemptions_total", "Times that blocks were taken back."),
        ("cache_queries", "vllm:prefix_cache_queries_total", "Prompt tokens looked up."),
        ("cache_hits", "vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache."),
        ("drafts", "vllm:spec_decode_num_drafts_total", "Drafts verified."),
        ("draft_tokens", "vllm:spec_decode_num_draft_tokens_total", "Tokens of those drafts."),
        ("accepted_tokens", "vllm:spec_decode_num_accepted_tokens_total", "Tokens of them kept."),
        ("batch_lane_rows", "paceline_batch_lane_rows_total", "Rows computed for the batch lane."),
    )
)
