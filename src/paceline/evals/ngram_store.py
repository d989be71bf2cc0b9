"""Baseline (a), last part: count a corpus once and keep the counts.

CACHE/ngram-<key>/manifest.json     kind "ngram"; parents: corpus and tokenizer hashes
CACHE/ngram-<key>/{starts,tokens,counts}-K.npy, weights.npy
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paceline.artifacts.corpus import CorpusDocument, read_documents
from paceline.artifacts.manifest import (
    MANIFEST_NAME,
    Manifest,
    atomic_folder,
    read_manifest,
    seal,
    sha256_of,
    verify_files,
)
from paceline.core.errors import ArtifactError, CorpusError
from paceline.core.progress import Progress
from paceline.evals.config import EvalConfig
from paceline.evals.ngram import Ints, KneserNey, Level, count_ngrams
from paceline.evals.ngram_decode import LineGuesser
from paceline.evals.ngram_file import FileMixture, fit_weights
from paceline.tokenizer.bpe import Tokenizer
from paceline.tokenizer.specials import END_OF_TEXT

FORMAT = 1
"""Part of the cache key: raise it when the files or the counting change."""
FIT_SHARE = 0.01
"""Share of the training text, in whole packages, that is not counted but used to fit the weights."""
MAX_FIT_TOKENS = 120_000
MAX_FIT_TOKENS_PER_FILE = 2_000
BATCH_DOCUMENTS = 256


class NgramBaseline(NamedTuple):
    """The baseline and what a report says of it."""

    guesser: LineGuesser
    mixture: FileMixture
    stats: dict[str, object]


def load_ngram(
    corpus: Path, tokenizer_path: Path, config: EvalConfig, *, cache: Path, progress: Progress
) -> NgramBaseline:
    """Return the baseline for a corpus and a tokenizer, from the cache or newly counted.

    Raises:
        CorpusError, CheckpointError: the corpus or the tokenizer cannot be read.
    """
    parents = {"corpus": sha256_of(corpus / MANIFEST_NAME), "tokenizer": sha256_of(tokenizer_path)}
    settings = {"order": config.ngram_order, "max_tokens": config.max_ngram_tokens}
    key = f"{FORMAT}:{parents}:{settings}"
    folder = cache / f"ngram-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    tokenizer = Tokenizer.load(tokenizer_path)
    manifest = _find(folder)
    if manifest is None:
        with atomic_folder(folder) as scratch:
            stats = _build(scratch, corpus, tokenizer, config, progress)
            manifest = seal(
                scratch, Manifest(kind="ngram", config=settings, parents=parents, stats=stats)
            )
    ngram = _load(folder, config.ngram_order, tokenizer.vocab_size)
    mixture = FileMixture(ngram, np.load(folder / "weights.npy"))
    return NgramBaseline(LineGuesser(tokenizer, mixture), mixture, manifest.stats)


def _find(folder: Path) -> Manifest | None:
    try:
        manifest = read_manifest(folder, "ngram")
        verify_files(folder, manifest)
    except ArtifactError:
        return None
    return manifest


def _load(folder: Path, order: int, vocab_size: int) -> KneserNey:
    def read(name: str) -> Ints:
        return np.load(folder / name, mmap_mode="r")

    levels = [
        Level(read(f"starts-{k}.npy"), read(f"tokens-{k}.npy"), read(f"counts-{k}.npy"))
        for k in range(1, order + 1)
    ]
    return KneserNey(levels, vocab_size)


def _build(
    folder: Path, corpus: Path, tokenizer: Tokenizer, config: EvalConfig, progress: Progress
) -> dict[str, object]:
    documents = sorted(read_documents(corpus, "train"), key=lambda d: d.sha256)
    if not documents:
        raise CorpusError(f"{corpus} has no training documents for the n-gram baseline to count.")
    fit_packages = choose_fit_packages(documents)
    counted = [d for d in documents if d.package not in fit_packages]
    fitted = [d for d in documents if d.package in fit_packages]
    end_id = tokenizer.special_id(END_OF_TEXT)
    with progress.task("n-gram tokens", total=len(counted), unit="files") as task:
        pieces: list[Ints] = []
        num_tokens = 0
        for batch in _encode(tokenizer, counted):
            for ids in batch:
                if num_tokens < config.max_ngram_tokens:
                    pieces.append(np.array([end_id, *ids], np.uint32))
                    num_tokens += len(ids) + 1
            task.advance(len(batch))
    stream = np.concatenate([*pieces, np.full(config.ngram_order, end_id, np.uint32)])
    levels = count_ngrams(
        stream[: config.max_ngram_tokens], config.ngram_order, tokenizer.vocab_size
    )
    for k, level in enumerate(levels, start=1):
        for name, array in zip(level._fields, level, strict=True):
            np.save(folder / f"{name}-{k}.npy", array)
    histories = _fit_histories(tokenizer, fitted, end_id)
    weights = fit_weights(KneserNey(levels, tokenizer.vocab_size), histories)
    np.save(folder / "weights.npy", weights)
    return {
        "num_tokens": min(num_tokens, config.max_ngram_tokens),
        "num_ngrams": [len(level.tokens) for level in levels],
        "fit_packages": sorted(fit_packages),
        "fit_tokens": sum(map(len, histories)),
    }


def choose_fit_packages(documents: list[CorpusDocument]) -> set[str]:
    """The smallest packages that make up `FIT_SHARE` of the text; none if there is only one package."""
    sizes: dict[str, int] = {}
    for document in documents:
        sizes[document.package] = sizes.get(document.package, 0) + len(document.text)
    chosen: set[str] = set()
    budget = FIT_SHARE * sum(sizes.values())
    for package in sorted(sizes, key=lambda name: (sizes[name], name))[: len(sizes) - 1]:
        if budget <= 0:
            break
        chosen.add(package)
        budget -= sizes[package]
    return chosen


def _encode(tokenizer: Tokenizer, documents: list[CorpusDocument]) -> Iterator[list[list[int]]]:
    for start in range(0, len(documents), BATCH_DOCUMENTS):
        batch = documents[start : start + BATCH_DOCUMENTS]
        yield tokenizer.encode_batch([document.text for document in batch])


def _fit_histories(
    tokenizer: Tokenizer, documents: list[CorpusDocument], end_id: int
) -> list[Ints]:
    histories: list[Ints] = []
    left = MAX_FIT_TOKENS
    for batch in _encode(tokenizer, documents):
        for ids in batch:
            if left > 0:
                ids = ids[: min(MAX_FIT_TOKENS_PER_FILE, left)]
                histories.append(np.array([end_id, *ids], np.int64))
                left -= len(ids)
    return histories
