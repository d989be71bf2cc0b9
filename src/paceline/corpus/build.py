"""The first corpus pipeline: download -> extract -> rules -> exact duplicates -> cap -> shards.

Held-out packages are read first, so that a training file equal to a held-out one is dropped as its
duplicate, never the other way round. The whole folder appears at once, or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from paceline.artifacts.corpus import PACKAGES_NAME, CorpusDocument, PackageEntry, write_shards
from paceline.artifacts.download import fetch_wheel
from paceline.artifacts.manifest import Manifest, atomic_folder, seal
from paceline.artifacts.wheels import decode_source, read_license, read_members
from paceline.core.errors import CorpusError
from paceline.core.progress import Progress
from paceline.corpus.config import CorpusConfig, SourcePackage
from paceline.corpus.filters import reason_to_drop

PERMISSIVE_MARKS = ("mit", "bsd", "apache", "isc", "psf", "python software foundation", "0bsd")
COPYLEFT_MARKS = ("gpl", "mpl", "mozilla", "eupl", "cddl", "sspl", "busl")


class Funnel:
    """Counts files and bytes from stage to stage; the sums always agree."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.dropped_bytes: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()

    def drop(self, reason: str, num_bytes: int) -> None:
        """Count one file that ends here."""
        self.dropped[reason] += 1
        self.dropped_bytes[reason] += num_bytes

    def keep(self, split: str, num_bytes: int) -> None:
        """Count one file that is in the corpus."""
        self.kept[f"{split}_files"] += 1
        self.kept[f"{split}_bytes"] += num_bytes

    def as_stats(self) -> dict[str, object]:
        """For the manifest and the printed table."""
        return {
            "read_files": self.read["files"],
            "read_bytes": self.read["bytes"],
            "dropped": {
                reason: {"files": count, "bytes": self.dropped_bytes[reason]}
                for reason, count in self.dropped.most_common()
            },
            **self.kept,
        }


def build_corpus(
    config: CorpusConfig, out: Path, *, downloads: Path, progress: Progress
) -> Manifest:
    """Build the corpus folder `out` and return its manifest.

    Raises:
        DownloadError: a package cannot be had; finished downloads stay in `downloads`.
        ArtifactError: a wheel is damaged.
        CorpusError: a package is not permissively licensed.
    """
    ordered = sorted(config.packages, key=lambda p: (p.split != "heldout", p.name.lower()))
    wheels: dict[str, Path] = {}
    with progress.task("download", total=len(ordered), unit="packages") as task:
        for package in ordered:
            wheels[package.name] = fetch_wheel(package, downloads)
            task.advance(1, note=package.name)
    funnel, seen, entries = Funnel(), set[str](), list[PackageEntry]()
    with atomic_folder(out) as folder:
        kept: dict[str, list[CorpusDocument]] = {"heldout": [], "train": []}
        with progress.task("clean", total=len(ordered), unit="packages") as task:
            for package in ordered:
                documents = list(_clean(package, wheels[package.name], config, funnel, seen))
                kept[package.split] += documents
                entries.append(_entry(package, wheels[package.name], documents))
                task.advance(1, note=package.name)
        write_shards(folder, "heldout", kept["heldout"], max_shard_bytes=config.max_shard_bytes)
        write_shards(folder, "train", kept["train"], max_shard_bytes=config.max_shard_bytes)
        (folder / PACKAGES_NAME).write_bytes(
            msgspec.json.format(msgspec.json.encode(entries), indent=1)
        )
        return seal(
            folder,
            Manifest(kind="corpus", config=msgspec.to_builtins(config), stats=funnel.as_stats()),
        )


def check_license(package: SourcePackage, stated: str) -> None:
    """Refuse a package whose own metadata is not permissive, whatever the recipe says.

    Raises:
        CorpusError: it names a copyleft licence, or none that is known to be permissive.
    """
    lowered = stated.lower()
    is_permissive = any(mark in lowered for mark in PERMISSIVE_MARKS)
    if not is_permissive or any(mark in lowered for mark in COPYLEFT_MARKS):
        raise CorpusError(
            f"{package.name} {package.version} states the licence {stated or 'nothing'!r}, which is "
            "not known to be permissive; take it out of the recipe."
        )


def _clean(
    package: SourcePackage, wheel: Path, config: CorpusConfig, funnel: Funnel, seen: set[str]
) -> Iterator[CorpusDocument]:
    license_name = read_license(wheel) or package.license
    check_license(package, license_name)
    candidates: list[CorpusDocument] = []
    for path, raw in read_members(wheel, config.file_suffix):
        funnel.read["files"] += 1
        funnel.read["bytes"] += len(raw)
        text = decode_source(raw)
        reason = "not UTF-8" if text is None else reason_to_drop(text, config.filters)
        if text is None or reason:
            funnel.drop(reason or "", len(raw))
            continue
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest in seen:
            funnel.drop("exact duplicate", len(raw))
            continue
        seen.add(digest)
        candidates.append(
            CorpusDocument(
                package=package.name,
                version=package.version,
                path=path,
                language=config.language,
                license=license_name,
                sha256=digest,
                text=text,
            )
        )
    yield from _cap(package, candidates, config.max_package_bytes, funnel)


def _cap(
    package: SourcePackage, documents: list[CorpusDocument], max_bytes: int, funnel: Funnel
) -> Iterator[CorpusDocument]:
    """Keep files in the order of their hash (a fixed random order) until the cap; restore path order."""
    total, chosen = 0, list[CorpusDocument]()
    for document in sorted(documents, key=lambda d: d.sha256):
        num_bytes = len(document.text.encode())
        if package.split == "train" and total + num_bytes > max_bytes:
            funnel.drop("over the package cap", num_bytes)
            continue
        total += num_bytes
        funnel.keep(package.split, num_bytes)
        chosen.append(document)
    yield from sorted(chosen, key=lambda d: d.path)


def _entry(package: SourcePackage, wheel: Path, documents: list[CorpusDocument]) -> PackageEntry:
    return PackageEntry(
        package=package.name,
        version=package.version,
        license=documents[0].license if documents else read_license(wheel) or package.license,
        split=package.split,
        artifact=package.artifact,
        artifact_sha256=package.sha256,
        num_files=len(documents),
        num_bytes=sum(len(document.text.encode()) for document in documents),
    )
