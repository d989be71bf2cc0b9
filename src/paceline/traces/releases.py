"""Changes between two consecutive releases of one package, from pinned wheels.

Files are matched by their path; new, removed and unchanged ones are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from paceline.artifacts.download import fetch_wheel
from paceline.artifacts.wheels import decode_source, read_members
from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.traces.changes import Change

Half = Literal["tune", "report"]
"""Settings are tuned on one half of the packages and reported on the other."""


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned wheel."""

    name: str
    version: str
    artifact: str
    """File name of the wheel."""
    sha256: str


class ReleasePair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release and the one after it."""

    before: Release
    after: Release
    license: str
    """As the package states it."""
    half: Half

    def __post_init__(self) -> None:
        if self.before.name != self.after.name or self.before.version == self.after.version:
            raise ConfigError(
                f"{self.before.name} {self.before.version} and {self.after.name} {self.after.version} "
                "are not two releases of one package."
            )

    @property
    def name(self) -> str:
        """Of the package."""
        return self.before.name


class ReplayRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Real edits to replay, by package."""

    name: str
    pairs: tuple[ReleasePair, ...]
    file_suffix: str = ".py"

    def __post_init__(self) -> None:
        halves = {
            half: {pair.name.lower() for pair in self.pairs if pair.half == half}
            for half in ("tune", "report")
        }
        both = halves["tune"] & halves["report"]
        if both:
            raise ConfigError(f"Recipe {self.name} has {sorted(both)} in both halves.")

    def half(self, half: Half) -> tuple[ReleasePair, ...]:
        """The pairs of one half."""
        return tuple(pair for pair in self.pairs if pair.half == half)


def release_changes(
    pair: ReleasePair, downloads: Path, *, file_suffix: str = ".py"
) -> Iterator[Change]:
    """Yield what changed from one release to the next, in order of path; fetches missing wheels.

    Raises:
        DownloadError: a wheel cannot be had; finished downloads stay in `downloads`.
        ArtifactError: a wheel is damaged.
    """
    wheels = [fetch_wheel(release, downloads) for release in (pair.before, pair.after)]
    origin = f"release:{pair.name} {pair.before.version}..{pair.after.version}"
    yield from changes_between(*wheels, origin=origin, file_suffix=file_suffix)


def changes_between(
    before: Path, after: Path, *, origin: str, file_suffix: str = ".py"
) -> Iterator[Change]:
    """Yield the files that both wheels have, in different versions."""
    old_files = dict(read_members(before, file_suffix))
    for path, new in read_members(after, file_suffix):
        old = old_files.get(path, new)
        old_text, new_text = decode_source(old), decode_source(new)
        if old_text is None or new_text is None or old_text == new_text:
            continue
        yield Change(document=Document(path=path, text=old_text), after=new_text, origin=origin)
