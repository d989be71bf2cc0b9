"""A tiny corpus with a tokenizer of its own, made once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from paceline.artifacts.corpus import CorpusDocument, PackageEntry, Split, write_shards
from paceline.artifacts.manifest import Manifest, atomic_folder, seal
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer

NAMES = ("alpha", "beta", "gamma", "delta", "kappa", "omega")


def make_source(seed: int) -> str:
    """A Python file of about 40 lines; different seeds share phrases, not lines."""
    lines = [f'"""Module number {seed}."""', "", "import os", "import sys", ""]
    for i in range(6):
        a, b = NAMES[(seed + i) % 6], NAMES[(seed * 5 + 2 * i + 1) % 6]
        lines += [
            f"def {a}_{i}(self, {b}):",
            f'    """Return {a} of {b}, which is not None."""',
            f"    # the {b} comes first",
            f"    {a} = self.get_{b}({b}, default={seed + i})",
            f"    if {a} is None:",
            f"        raise ValueError('no {b} in {a}')",
            f"    return {a}.{b}",
            "",
        ]
    return "\n".join(lines) + "\n"


def make_document(package: str, number: int, text: str | None = None) -> CorpusDocument:
    """One file of a package."""
    text = make_source(number) if text is None else text
    return CorpusDocument(
        package=package,
        version="1",
        path=f"{package}/m{number}.py",
        language="python",
        license="MIT",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
    )


def write_corpus(folder: Path, splits: dict[Split, list[CorpusDocument]]) -> Path:
    """Write a corpus folder as `paceline corpus build` does."""
    with atomic_folder(folder) as scratch:
        entries: list[PackageEntry] = []
        for split, documents in splits.items():
            write_shards(scratch, split, documents, max_shard_bytes=1_000_000)
            entries += [
                PackageEntry(
                    package=name,
                    version="1",
                    license="MIT",
                    split=split,
                    artifact=f"{name}.whl",
                    artifact_sha256="0",
                )
                for name in sorted({document.package for document in documents})
            ]
        (scratch / "packages.json").write_bytes(msgspec.json.encode(entries))
        seal(scratch, Manifest(kind="corpus"))
    return folder


TRAIN = [make_document(f"train{p}", 10 * p + i) for p in range(3) for i in range(4)]
HELDOUT = [make_document(f"held{p}", 100 + 10 * p + i) for p in range(3) for i in range(4)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training and three held-out packages of four files each."""
    splits: dict[Split, list[CorpusDocument]] = {"heldout": HELDOUT, "train": TRAIN}
    return write_corpus(tmp_path_factory.mktemp("evals") / "corpus", splits)


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `tokenizer`."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer((document.text for document in TRAIN), vocab_size=420).save(path)
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_path: Path) -> Tokenizer:
    """A byte-level BPE with a few merges."""
    return Tokenizer.load(tokenizer_path)
