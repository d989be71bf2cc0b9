"""Was the model trained on what it is about to be asked? Refuse, or warn in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from paceline.artifacts.corpus import open_corpus, read_packages
from paceline.artifacts.manifest import MANIFEST_NAME, Manifest, read_manifest, sha256_of
from paceline.core.errors import CorpusError, InputError


class ModelLineage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model's making, and what that means for the figures."""

    facts: dict[str, Any] = {}
    parents: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


def check_lineage(
    model_folder: Path, corpus: Path, *, is_overlap_allowed: bool = False
) -> ModelLineage:
    """Check that a model was not trained on what it is about to be asked.

    Raises:
        CorpusError: `corpus` is incomplete, or holds a package in both splits.
        InputError: the model was trained on a held-out package and `is_overlap_allowed` is False.
    """
    heldout = check_heldout(corpus)
    path = model_folder / MANIFEST_NAME
    facts: dict[str, Any] = {"path": model_folder.name}
    if not path.is_file():
        warning = f"{model_folder.name} has no manifest: what it was trained on is not known."
        return ModelLineage(facts=facts, warnings=(warning,))
    manifest = read_manifest(model_folder, "checkpoint")
    corpus_sha256 = sha256_of(corpus / MANIFEST_NAME)
    facts |= {"manifest_sha256": sha256_of(path), "git_sha": manifest.git_sha}
    facts |= {"stats": manifest.stats, "parents": manifest.parents}
    overlap = sorted(heldout & _trained_packages(manifest))
    if overlap and not is_overlap_allowed:
        raise InputError(
            f"{model_folder.name} was trained on {', '.join(overlap)}, which this corpus holds out; its "
            "figures would mean nothing. Evaluate on another corpus, or pass --allow-overlap."
        )
    warnings: list[str] = []
    if overlap:
        warnings.append(f"The model was trained on held-out packages: {', '.join(overlap)}.")
    if manifest.parents.get("corpus") != corpus_sha256:
        warnings.append(
            "The model was trained on another corpus than this one; "
            "whether it has seen these files was checked by package name only, where names are known."
        )
    parents = {"checkpoint": sha256_of(path)}
    return ModelLineage(facts=facts, parents=parents, warnings=tuple(warnings))


def _trained_packages(manifest: Manifest) -> set[str]:
    """Lower-case package names from the checkpoint's `stats["train_packages"]`, if it has them."""
    names: Any = manifest.stats.get("train_packages", ())
    return {str(name).lower() for name in names}


def check_heldout(corpus: Path) -> set[str]:
    """Check the split of a corpus and return the lower-case names of its held-out packages.

    Raises:
        CorpusError: the corpus is incomplete, holds nothing out, or has a package in both splits.
    """
    open_corpus(corpus)
    names = {
        split: {name.lower() for name in read_packages(corpus, split)}
        for split in ("train", "heldout")
    }
    if both := sorted(names["train"] & names["heldout"]):
        raise CorpusError(f"{corpus} has {', '.join(both)} in both splits; build it again.")
    if not names["heldout"]:
        raise CorpusError(f"{corpus} holds no package out, so there is nothing to evaluate on.")
    return names["heldout"]
