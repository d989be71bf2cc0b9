"""Limits and choices of the brain. Every part can be switched off, so that its worth can be measured."""

from __future__ import annotations

from typing import Any

import msgspec

from paceline.complete.attribution import AttributionPolicy
from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.modes import Mode
from paceline.core.errors import ConfigError
from paceline.prompt.context.config import ContextConfig


class CompleteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the service may spend on one completion, and which of its parts work."""

    single_line_max_tokens: int = 32
    """From 12 tokens on, more save no more characters (docs/completion.md, "The end"); a line of 100
    characters is about 35. What is longer is cut, not lost: it goes on when it was typed or accepted."""
    block_body_max_tokens: int = 96
    multi_line_max_tokens: int = 160
    max_prompt_tokens: int = 1024
    """Budget of the prompt. Smaller keeps prefill short; the model's window bounds it as well."""
    max_prefix_chars: int = 16_384
    """Text further before the cursor is not even looked at."""
    max_suffix_chars: int = 8_192
    max_latency_ms: float | None = 5_000.0
    """What has been written by then is the completion; None waits for as long as it takes."""
    backstop_ms: float = 50.0
    """So much later than that the service stops waiting for a generator that keeps no deadline; one
    that does ends at the step before."""

    is_mode_inferred: bool = True
    """If not, a request that names no mode gets a single line."""
    multi_line_threshold: float = 0.7
    """0 to 1: higher offers single lines more often, 1 always. A request may bring its user's own. At 0.7,
    80 % of the offers of several lines are right, and 69 % of the chances are taken (docs/completion.md)."""
    confidence: ConfidenceConfig = ConfidenceConfig()
    """Where an automatic completion ends because what follows is too unlikely (complete/confidence.py)."""
    is_skipping: bool = True
    """Are places left alone where an automatic completion is hardly ever wanted (complete/skip.py)?"""
    disabled_steps: frozenset[str] = frozenset()
    """Post-processing steps that do not run, by name."""
    is_suffix_kept: bool = True
    """Does the far end of the suffix stay in the prompt as it was while it changes little?"""
    is_cached: bool = True
    max_cache_chars: int = 4_000_000
    is_prefetching: bool = True
    """Is the request after an accept sent before the user asks?"""
    is_debounced: bool = True
    max_debounce_ms: float = 400.0
    is_gated: bool = True
    show_threshold: float | None = None
    """Probability of being kept below which nothing is shown; None is what the gate was tuned to."""
    exempt_share: float = 0.02
    """Share of completions that are shown although the gate would hide them, so that it can be judged."""
    attribution_policy: AttributionPolicy = "show"
    """What happens to completions that equal known code under a licence that asks for more than a name."""
    ignored_globs: tuple[str, ...] = ()
    """Files that are neither completed nor shown to a model, in .gitignore's notation."""
    workspace_roots: tuple[str, ...] = ()
    """Absolute folders of projects on this machine. A document in one of them is kept to its .gitignore, and
    files beside it may be read for its prompts. None: only what clients send is known."""
    context: ContextConfig = ContextConfig()
    max_documents: int = 256
    """Documents whose rhythm, history and syntax tree are remembered."""
    max_traces: int = 2_000
    is_code_in_traces: bool = False
    """May traces hold paths, the raw text and the completion? They stay in memory, on this machine."""

    def __post_init__(self) -> None:
        counts = (
            self.single_line_max_tokens,
            self.block_body_max_tokens,
            self.multi_line_max_tokens,
            self.max_prompt_tokens,
            self.max_prefix_chars,
            self.max_suffix_chars,
            self.max_cache_chars,
            self.max_documents,
            self.max_traces,
        )
        if min(counts) < 1:
            raise ConfigError("Every limit of a completion must be at least 1.")
        if self.max_latency_ms is not None and self.max_latency_ms <= 0:
            raise ConfigError("max_latency_ms must be positive.")
        if self.backstop_ms < 0 or self.max_debounce_ms < 0:
            raise ConfigError("backstop_ms and max_debounce_ms must be 0 or more.")
        shares = (self.multi_line_threshold, self.exempt_share, self.show_threshold or 0.0)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError(
                "multi_line_threshold, show_threshold and exempt_share must be between 0 and 1."
            )

    def max_tokens(self, mode: Mode) -> int:
        """Longest completion of `mode`."""
        limits = {
            "single_line": self.single_line_max_tokens,
            "block_body": self.block_body_max_tokens,
            "multi_line": self.multi_line_max_tokens,
        }
        return limits[mode]


def plain_config(**changes: Any) -> CompleteConfig:
    """The brain with everything off: ask at once, show everything, a single line. For comparisons."""
    from paceline.complete.postprocess import STEP_NAMES

    off: dict[str, Any] = {
        "is_mode_inferred": False,
        "is_skipping": False,
        "confidence": ConfidenceConfig(is_enabled=False),
        "disabled_steps": frozenset(STEP_NAMES) - {"end_by_mode", "drop_blank", "trim_end"},
        "is_cached": False,
        "is_prefetching": False,
        "is_debounced": False,
        "is_gated": False,
        "context": ContextConfig(is_enabled=False),
    }
    return CompleteConfig(**(off | changes))
