"""The composition root: the only module that joins rooms which do not know each other.

Torch is reached from here alone, and only inside functions, so that `paceline --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from paceline.complete.modes import Mode
    from paceline.complete.service import Completion
    from paceline.core.progress import Progress
    from paceline.core.types import Cursor
    from paceline.fleet.local import LocalGenerator
    from paceline.generate.types import ModelInfo
    from paceline.train.config import TrainConfig


def open_generator(name_or_path: str | None) -> closing[LocalGenerator]:
    """Load a model (None is the default one) as a TextGenerator; leaving the context unloads it.

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


@contextmanager
def open_app(name_or_path: str | None) -> Generator[tuple[FastAPI, ModelInfo]]:
    """Load a model and yield the HTTP app that serves it."""
    from paceline.complete.service import Service
    from paceline.server.app import create_app

    with open_generator(name_or_path) as generator:
        yield create_app(generator, Service(generator)), generator.models[0]


async def complete_once(
    cursor: Cursor, *, model: str | None, mode: Mode, max_tokens: int | None
) -> Completion:
    """Load a model, complete at `cursor` however long it takes, and unload the model."""
    from paceline.complete.config import CompleteConfig
    from paceline.complete.service import CompleteRequest, Service

    with open_generator(model) as generator:
        service = Service(generator, CompleteConfig(max_latency_ms=None))
        return await service.complete(
            CompleteRequest(cursor=cursor, mode=mode, max_tokens=max_tokens)
        )


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


def export_model(folder: Path, *, corpus: Path) -> Path:
    """Write the model of a run's newest checkpoint; return its folder."""
    from paceline.train.start import export_newest

    return export_newest(folder, corpus=corpus)
