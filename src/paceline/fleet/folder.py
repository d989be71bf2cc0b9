"""Opens a model folder: weights, tokenizer and lineage, checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paceline.artifacts.manifest import MANIFEST_NAME, Manifest, read_manifest, verify_files
from paceline.core.errors import CheckpointError
from paceline.model.checkpoint import load_model
from paceline.model.config_json import end_token_ids
from paceline.model.decoder import CausalLm
from paceline.tokenizer.bpe import FILE_NAME, Tokenizer

MAX_PADDING_SHARE = 0.02
"""Embeddings are often padded to a round number; a larger share of surplus rows is a wrong pair."""


@dataclass(frozen=True)
class OpenedModel:
    """All that a generator needs of one folder; `prompt.fim.template_for(tokenizer)` gives its prompts."""

    folder: Path
    model: CausalLm
    tokenizer: Tokenizer
    manifest: Manifest | None
    """None for a folder that another tool wrote."""
    end_token_ids: frozenset[int] = frozenset()
    """Ids that end a text, as `config.json` and `generation_config.json` have them."""


def open_model(folder: Path) -> OpenedModel:
    """Load a model folder.

    Raises:
        CheckpointError: a file is missing, truncated or damaged, or tokenizer and weights differ.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder; give the folder of a model, with config.json and weights."
        )
    manifest = None
    if (folder / MANIFEST_NAME).is_file():
        manifest = read_manifest(folder, "checkpoint", error=CheckpointError)
        verify_files(folder, manifest, is_hashed=True, error=CheckpointError)
    tokenizer = Tokenizer.load(folder / FILE_NAME)
    model = load_model(folder)
    surplus = model.config.vocab_size - tokenizer.vocab_size
    if not 0 <= surplus <= MAX_PADDING_SHARE * model.config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids and the weights have "
            f"{model.config.vocab_size}; they are not of one model."
        )
    return OpenedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        manifest=manifest,
        end_token_ids=end_token_ids(folder),
    )
