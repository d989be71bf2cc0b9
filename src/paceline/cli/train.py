"""`paceline train`: corpus + tokenizer + recipe -> model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from paceline.core.errors import ConfigError
from paceline.core.progress import Progress
from paceline.recipes import TRAIN_RECIPES
from paceline.train.config import TrainConfig


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("train", rich_help_panel="Make a model")(train)


def train(
    recipe: Annotated[str, typer.Option(help="Name of a training recipe.")] = "tiny-cpu",
    corpus: Annotated[Path, typer.Option(help="Corpus folder.")] = Path("runs/corpus"),
    tokenizer: Annotated[Path, typer.Option(help="Tokenizer folder or tokenizer.json.")] = Path(
        "runs/tokenizer"
    ),
    out: Annotated[Path, typer.Option(help="Run folder; an unfinished run is resumed.")] = Path(
        "runs/train"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Total steps, instead of the recipe's.")
    ] = None,
    decay_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps of the final decay, instead of the recipe's.")
    ] = None,
    branch_from: Annotated[
        Path | None, typer.Option(help="Start from the newest checkpoint of this other run.")
    ] = None,
    export: Annotated[
        bool, typer.Option("--export", help="Only write OUT/model from the newest checkpoint.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of one worker, instead of the recipe's.")
    ] = None,
) -> None:
    """Train a fill-in-the-middle model from a recipe.

    Ctrl+C saves a checkpoint; the same command goes on from there with the same losses.
    Runs on a CUDA device if there is one.

    Example: paceline train --recipe tiny-cpu --corpus runs/corpus --tokenizer runs/tokenizer --out runs/tiny
    """
    if export:
        from paceline.cli.wiring import export_model

        typer.echo(f"Model: {export_model(out, corpus=corpus)}")
        return
    config = resolve(recipe, steps=steps, decay_steps=decay_steps, threads=threads)
    from paceline.cli.wiring import train_model

    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    model = train_model(
        config,
        corpus=corpus,
        tokenizer_path=path,
        folder=out,
        branch_from=branch_from,
        progress=Progress(),
    )
    if model is None:
        typer.echo(f"Interrupted; a checkpoint is in {out}. The same command goes on from there.")
        raise typer.Exit(130)
    typer.echo(f"Model: {model}\nMetrics: {out / 'metrics.jsonl'}\nPlot: {out / 'loss.svg'}")


def resolve(
    recipe: str, *, steps: int | None, decay_steps: int | None, threads: int | None
) -> TrainConfig:
    """The recipe's config with what the command line changes in it; None changes nothing.

    Raises:
        ConfigError: there is no such recipe, or the changed schedule makes no sense.
    """
    if recipe not in TRAIN_RECIPES:
        raise ConfigError(f"Unknown recipe {recipe!r}; known: {', '.join(TRAIN_RECIPES)}.")
    config = TRAIN_RECIPES[recipe]()
    changes = {"total_steps": steps, "decay_steps": decay_steps}
    schedule = msgspec.structs.replace(
        config.schedule, **{name: value for name, value in changes.items() if value is not None}
    )
    schedule.__post_init__()
    return msgspec.structs.replace(
        config, schedule=schedule, num_threads=threads or config.num_threads
    )
