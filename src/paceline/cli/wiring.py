"""The composition root: the only module that joins rooms which do not know each other.

Torch is reached from here alone, and only inside functions, so that `paceline --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from paceline.engine.config import EngineConfig, ExecutorName

if TYPE_CHECKING:
    from fastapi import FastAPI

    from paceline.cli.doors import Doors
    from paceline.complete.config import CompleteConfig
    from paceline.complete.modes import Mode, Trigger
    from paceline.complete.service import Completion
    from paceline.core.progress import Progress
    from paceline.core.types import Cursor
    from paceline.fleet.local import LocalGenerator
    from paceline.train.config import TrainConfig

__all__ = [
    "ExecutorName",
    "Served",
    "complete_once",
    "engine_config",
    "export_model",
    "open_app",
    "open_generator",
    "train_model",
]

NO_ADAPTERS: Mapping[str, Path] = {}


class Served(NamedTuple):
    """What the command line tells of a server that is ready."""

    model_ids: tuple[str, ...]
    device: str
    """What computes, in words; empty if the generator does not say."""


def engine_config(
    *,
    num_threads: int | None,
    kv_cache_mb: int | None,
    executor: ExecutorName,
    is_speculating: bool,
) -> EngineConfig:
    """The engine's settings from the command line's; None leaves a choice to the engine."""
    from paceline.engine.speculation import SpeculationConfig

    default = EngineConfig()
    return EngineConfig(
        num_threads=num_threads,
        kv_cache_bytes=default.kv_cache_bytes if kv_cache_mb is None else kv_cache_mb * 2**20,
        executor=executor,
        speculation=SpeculationConfig(is_enabled=is_speculating),
    )


def open_generator(
    name_or_path: str | None,
    *,
    config: EngineConfig | None = None,
    adapters: Mapping[str, Path] = NO_ADAPTERS,
) -> closing[LocalGenerator]:
    """Load a model (None is the default one) and adapters of it, by name, as a TextGenerator.

    Leaving the context unloads them.

    Raises:
        UnknownModelError, CheckpointError: there is no such model, or it is damaged.
        AdapterError: an adapter is damaged, or made for another model.
        ConfigError: this machine has no such executor.
    """
    from paceline.artifacts.registry import resolve_model

    folder = resolve_model(name_or_path)
    from paceline.fleet.local import LocalGenerator

    generator = LocalGenerator.load(
        folder.path, model_id=folder.model_id, engine_config=config or EngineConfig()
    )
    try:
        for name, adapter in adapters.items():
            generator.load_adapter(adapter, name=name)
    except BaseException:
        generator.close()
        raise
    return closing(generator)


@contextmanager
def open_app(
    name_or_path: str | None,
    doors: Doors,
    *,
    config: EngineConfig | None = None,
    brain: CompleteConfig | None = None,
    adapters: Mapping[str, Path] = NO_ADAPTERS,
) -> Generator[tuple[FastAPI, Served]]:
    """Load a model and yield the HTTP app that serves it. Raises as `open_generator`."""
    from paceline.complete.service import Service
    from paceline.server.app import create_app

    with open_generator(name_or_path, config=config, adapters=adapters) as generator:
        served = Served(
            tuple(info.model_id for info in generator.models),
            str(getattr(generator, "device_line", "")),
        )
        service = Service(generator, brain)
        service.warm_up()
        app = create_app(
            generator, service, config=doors.config, store=doors.store, authority=doors.authority
        )
        yield app, served


async def complete_once(
    cursor: Cursor,
    *,
    model: str | None,
    mode: Mode | None,
    trigger: Trigger,
    max_tokens: int | None,
) -> Completion:
    """Load a model, complete at `cursor` however long it takes, and unload the model."""
    from paceline.complete.config import CompleteConfig
    from paceline.complete.service import CompleteRequest, Service

    with open_generator(model) as generator:
        config = CompleteConfig(
            max_latency_ms=None,
            is_prefetching=False,
            workspace_roots=project_of(cursor.document.path),
        )
        service = Service(generator, config)
        cursor = _with_whole_path(cursor)
        return await service.complete(
            CompleteRequest(cursor=cursor, mode=mode, trigger=trigger, max_tokens=max_tokens)
        )


def _with_whole_path(cursor: Cursor) -> Cursor:
    from msgspec.structs import replace

    path = str(Path(cursor.document.path).resolve())
    return replace(cursor, document=replace(cursor.document, path=path))


def project_of(path: str) -> tuple[str, ...]:
    """The folder above `path` that is a git repository; none if there is none."""
    found = (folder for folder in Path(path).resolve().parents if (folder / ".git").exists())
    return tuple(str(folder) for folder in found)[:1]


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
