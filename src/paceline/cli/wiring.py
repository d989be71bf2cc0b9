"""The composition root: the only module that joins rooms which do not know each other.

Torch is reached from here alone, and only inside functions, so that `paceline --help` stays quick.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
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
    from paceline.generate.remote.generator import RemoteGenerator
    from paceline.generate.remote.setup import UpstreamConfig
    from paceline.train.config import TrainConfig

__all__ = [
    "ExecutorName",
    "Served",
    "complete_once",
    "engine_config",
    "export_model",
    "open_app",
    "open_generator",
    "open_upstream_app",
    "open_upstream_generator",
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


@contextmanager
def open_upstream_generator(config: UpstreamConfig) -> Generator[RemoteGenerator]:
    """Ask a server elsewhere what it is, and yield it as a TextGenerator, free of torch.

    The token for it comes from the environment alone. Whoever runs the asyncio loop in which it is asked
    closes its connections there (`aclose`).

    Raises:
        ConfigError: a setting does not fit what the server is.
        UpstreamError, UpstreamBusyError: it cannot be asked now.
    """
    from paceline.generate.remote.errors import TOKEN_VARIABLE
    from paceline.generate.remote.setup import open_remote
    from paceline.generate.remote.types import PromptForm, PromptRenderer
    from paceline.prompt.as_text import TextRenderer, find_template

    def renderer(model_name: str, form: PromptForm, *, is_begin_written: bool) -> PromptRenderer:
        family = None if form == "plain" else config.template
        template = find_template(family, model_name, is_needed=form == "template")
        return TextRenderer(template, form=form, is_begin_written=is_begin_written)

    yield open_remote(config, renderer, token=os.environ.get(TOKEN_VARIABLE, "").strip())


@contextmanager
def open_upstream_app(
    config: UpstreamConfig, doors: Doors, *, brain: CompleteConfig | None = None
) -> Generator[tuple[FastAPI, Served]]:
    """Yield the HTTP app in front of a server elsewhere, which has completed one line for it.

    Raises: as `open_upstream_generator`; also what that line brings, as a model that cannot fill in the middle.
    """
    from paceline.complete.service import Service
    from paceline.generate.remote.generator import try_out
    from paceline.server.app import create_app

    with open_upstream_generator(config) as generator:
        asyncio.run(try_out(generator))
        service = Service(generator, brain)
        service.warm_up()
        app = create_app(
            generator, service, config=doors.config, store=doors.store, authority=doors.authority
        )
        lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def closing_upstream(of: FastAPI) -> AsyncGenerator[None]:
            async with lifespan(of):
                yield
            await generator.aclose()

        app.router.lifespan_context = closing_upstream
        model_ids = tuple(info.model_id for info in generator.models)
        yield app, Served(model_ids, generator.device_line)


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
