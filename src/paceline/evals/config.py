"""What one evaluation does. Written into its report, so that it can be repeated."""

from __future__ import annotations

import msgspec

from paceline.core.errors import ConfigError


class EvalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and seeds of an evaluation."""

    num_cases: int = 1500
    """Cursors in code. They are the headline; cursors in comments and strings come on top."""
    comment_share: float = 0.2
    """Cases in comments and strings, as a share of `num_cases`; a class of their own."""
    seed: int = 0
    max_cases_per_file: int = 4
    """Of one stratum and class, so that no file dominates."""
    min_prefix_lines: int = 10
    """A case needs this many lines before its own, or `min_prefix_chars`, so that there is context."""
    min_prefix_chars: int = 300
    min_middle_chars: int = 4
    """Characters other than white space that are left to predict; leaves out `)` and the like."""
    max_tokens: int = 48
    """Longest prediction."""
    is_through_service: bool = False
    """Score what an editor gets after post-processing instead of the raw model."""
    num_concurrent: int = 8
    """Requests in flight, so that the generator may batch."""
    files_per_package: int = 10
    """Whole files scored left to right."""
    max_file_chars: int = 8000
    num_resamples: int = 2000
    """Of the cluster bootstrap."""
    ngram_order: int = 5
    max_ngram_tokens: int = 60_000_000

    def __post_init__(self) -> None:
        if self.num_cases < 1 or self.max_cases_per_file < 1 or self.num_concurrent < 1:
            raise ConfigError("An evaluation needs at least one case, per file and in flight.")
        if self.ngram_order < 2:
            raise ConfigError("The n-gram needs an order of at least 2.")
