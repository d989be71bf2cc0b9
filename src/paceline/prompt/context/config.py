"""Which sources a prompt may draw on, and how much of it each may fill."""

from __future__ import annotations

import msgspec

from paceline.core.errors import ConfigError
from paceline.prompt.context.types import Origin

CHARS_PER_TOKEN = 4
"""No tokenizer is known here, so tokens are counted in characters; code has 3 to 4 a token."""


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of snippets."""

    is_enabled: bool = True
    share: float = 1.0
    """Of `ContextConfig.max_tokens`, at most."""
    weight: float = 1.0
    """Its snippets' scores are multiplied by this where sources compete."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.weight < 0:
            raise ConfigError("A source's share must be between 0 and 1, its weight 0 or more.")


class ContextConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sources, budgets and limits of prompt/context/choose.py."""

    is_enabled: bool = True
    """If not, no snippet enters a prompt, the client's own ones neither."""
    max_tokens: int = 448
    """Of all snippets; less than half of the default prompt of 1024, which is what they may fill."""
    client: SourceConfig = SourceConfig()
    open_document: SourceConfig = SourceConfig(share=0.7)
    recent_edit: SourceConfig = SourceConfig(share=0.3)
    imports: SourceConfig = SourceConfig(share=0.5)
    same_directory: SourceConfig = SourceConfig(share=0.5, weight=0.9)
    """Read only below a workspace root. Files that are open count more."""
    notebook_cell: SourceConfig = SourceConfig(share=0.8)
    clipboard: SourceConfig = SourceConfig(is_enabled=False, share=0.3)
    """Off unless the user wants it: what was copied may be anything."""
    diagnostic: SourceConfig = SourceConfig(share=0.15)

    window_lines: int = 24
    """Of one document's snippet: ten lines that look like those at the cursor, and what follows them.
    Source: facts/retrieval.md §5, where 10 + 10 lines without their continuation found a third as much."""
    max_windows: int = 2
    """Snippets of one document."""
    min_similarity: float = 0.18
    """Share of the weight of the cursor's words that a window must have. The median of the best windows at 325
    random places in nine packages of the standard library; whatever resembled the lines to come was above it."""
    max_document_chars: int = 200_000
    """Longer documents are data more often than code, and cost more to look at than they give."""
    max_new_chars: int = 48_000
    """Documents never seen before are indexed up to this in one call, and one at least; others wait."""
    max_directory_files: int = 8
    max_file_bytes: int = 64_000
    """Largest file that is read from the disk."""
    max_file_reads: int = 4
    """In one call; others wait."""

    def __post_init__(self) -> None:
        counts = (
            self.max_tokens,
            self.window_lines,
            self.max_windows,
            self.max_document_chars,
            self.max_new_chars,
        )
        if min(counts) < 1 or min(self.max_directory_files, self.max_file_bytes) < 0:
            raise ConfigError("Every limit of the context must be positive.")
        if not 0 <= self.min_similarity <= 1:
            raise ConfigError("min_similarity must be between 0 and 1.")

    @property
    def max_chars(self) -> int:
        """Characters of all snippets."""
        return self.max_tokens * CHARS_PER_TOKEN

    def source(self, origin: Origin) -> SourceConfig:
        """The settings of one source."""
        return self.imports if origin == "import" else getattr(self, origin)

    def source_chars(self, origin: Origin) -> int:
        """Characters that one source's snippets may have together."""
        return int(self.max_chars * self.source(origin).share)
