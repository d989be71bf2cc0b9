"""The composition root: the only module that joins rooms which do not know each other.

Torch is reached from here alone, and only inside functions, so that `paceline --help` stays quick.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.core.progress import Progress

if TYPE_CHECKING:
    from paceline.fleet.local import LocalGenerator
    from paceline.train.config import TrainConfig


def open_generator(name_or_path: str | None) -> AbstractContextManager[LocalGenerator]:
    """Load a model (None is the default one) and yield a TextGenerator; leaving unloads it.

    Raises:
        UnknownModelError, CheckpointError: there is no such model, or it is damaged.
    """
    from paceline.artifacts.registry import resolve_model

    folder = resolve_model(name_or_path)
    from paceline.engine.config import EngineConfig
    from paceline.fleet.local import LocalGenerator

    generator = LocalGenerator.load(
        folder.path, model_id=folder.model_id, engine_config=EngineConfig()
    )
    return closing(generator)


def train_model(
    config: TrainConfig,
    *,
    corpus: Path,
    tokenizer_path: Path,
    folder: Path,
    branch_from: Path | None,
    progress: Progress,
) -> Path | None:
    """Run the trainer; return the model folder, or None if it was interrupted."""
    from paceline.train.start import train

    return train(
        config,
        corpus=corpus,
        tokenizer_path=tokenizer_path,
        folder=folder,
        branch_from=branch_from,
        progress=progress,
    )
