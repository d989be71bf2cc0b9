"""The corpus folder: what `corpus` writes and `train` and `evals` read.

DIR/manifest.json                 kind "corpus": recipe, funnel, hashes
DIR/train-00000.jsonl.zst ...     one CorpusDocument a line
DIR/heldout-00000.jsonl.zst ...   whole packages, never trained on
DIR/packages.json                 bill of materials: package, version, licence, split, sizes
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from paceline.artifacts.manifest import Manifest, read_manifest, verify_files
from paceline.core.errors import CorpusError

PACKAGES_NAME = "packages.json"
Split = Literal["train", "heldout"]


class CorpusDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One source file with its origin."""

    package: str
    version: str
    path: str
    """Path inside the package archive."""
    language: str
    license: str
    """As the package's metadata states it."""
    sha256: str
    """Of the UTF-8 text with LF line ends."""
    text: str


class PackageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the bill of materials."""

    package: str
    version: str
    license: str
    split: Split
    artifact: str
    artifact_sha256: str
    num_files: int = 0
    num_bytes: int = 0


def write_shards(
    folder: Path, split: Split, documents: Iterable[CorpusDocument], *, max_shard_bytes: int
) -> int:
    """Write `documents` into numbered shards of about `max_shard_bytes` of text; return their number."""
    import zstandard  # only the corpus and train extras have it; the types above need none

    compressor = zstandard.ZstdCompressor(level=6)
    encoder = msgspec.json.Encoder()
    num_shards = 0
    pending = iter(documents)
    document = next(pending, None)
    while document is not None:
        num_bytes = 0
        path = folder / f"{split}-{num_shards:05d}.jsonl.zst"
        with path.open("wb") as raw, compressor.stream_writer(raw) as file:
            while document is not None and num_bytes < max_shard_bytes:
                num_bytes += file.write(encoder.encode(document) + b"\n")
                document = next(pending, None)
        num_shards += 1
    return num_shards


def open_corpus(folder: Path) -> Manifest:
    """Check that `folder` is a whole corpus and return its manifest.

    Raises:
        CorpusError: it is not, and the message says what is missing.
    """
    manifest = read_manifest(folder, "corpus", error=CorpusError)
    verify_files(folder, manifest, error=CorpusError)
    return manifest


def read_packages(folder: Path, split: Split) -> tuple[str, ...]:
    """Names of a split's packages, from the bill of materials; empty if the corpus has none."""
    path = folder / PACKAGES_NAME
    if not path.is_file():
        return ()
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[PackageEntry])
    except (OSError, msgspec.MsgspecError) as cause:
        raise CorpusError(f"{path} cannot be read ({cause}); build the corpus again.") from cause
    return tuple(entry.package for entry in entries if entry.split == split)


def read_documents(folder: Path, split: Split) -> Iterator[CorpusDocument]:
    """Yield the documents of a split, in the order in which they were written.

    Raises:
        CorpusError: the corpus is incomplete or a shard cannot be decoded.
    """
    import zstandard

    manifest = open_corpus(folder)
    decoder = msgspec.json.Decoder(CorpusDocument)
    decompressor = zstandard.ZstdDecompressor()
    for entry in manifest.files:
        if not entry.name.startswith(f"{split}-"):
            continue
        try:
            with (folder / entry.name).open("rb") as raw:
                for line in io.BufferedReader(decompressor.stream_reader(raw)):
                    yield decoder.decode(line)
        except (zstandard.ZstdError, msgspec.MsgspecError) as cause:
            raise CorpusError(
                f"{folder / entry.name} is damaged ({cause}); build the corpus again."
            ) from cause
