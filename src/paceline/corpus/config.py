"""What a corpus build needs to know."""

from __future__ import annotations

import msgspec

from paceline.artifacts.corpus import Split
from paceline.core.errors import ConfigError


class SourcePackage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned wheel."""

    name: str
    version: str
    license: str
    artifact: str
    """File name of the wheel."""
    sha256: str
    split: Split = "train"


class FilterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of the file rules; each rule names its source."""

    min_file_chars: int = 100
    max_file_bytes: int = 1_000_000
    max_line_chars: int = 1000
    max_mean_line_chars: float = 100.0
    min_alphabetic_share: float = 0.25
    max_encoded_chars: int = 1024
    max_encoded_share: float = 0.5


class CorpusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole recipe."""

    name: str
    language: str = "python"
    file_suffix: str = ".py"
    packages: tuple[SourcePackage, ...]
    filters: FilterConfig = FilterConfig()
    max_package_bytes: int = 12_000_000
    """Cap of one package's share of the training split, so that no single style dominates."""
    max_shard_bytes: int = 32_000_000
    """Text in one shard before compression."""
    min_heldout_packages: int = 5

    def __post_init__(self) -> None:
        names = [package.name.lower() for package in self.packages]
        if len(set(names)) != len(names):
            raise ConfigError(f"Recipe {self.name} names a package twice.")
        num_heldout = sum(package.split == "heldout" for package in self.packages)
        if num_heldout < self.min_heldout_packages:
            raise ConfigError(
                f"Recipe {self.name} holds out {num_heldout} packages; at least "
                f"{self.min_heldout_packages} are needed."
            )
