"""`paceline corpus build`: pinned packages -> corpus folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from paceline.core.errors import ConfigError
from paceline.core.progress import Progress
from paceline.recipes import CORPUS_RECIPES

app = typer.Typer(help="Build corpora from permissively licensed packages.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the group to the CLI."""
    root.add_typer(app, name="corpus", rich_help_panel="Make a model")


@app.callback()
def corpus() -> None:
    """Build corpora from permissively licensed packages."""


@app.command()
def build(
    recipe: Annotated[str, typer.Option(help="Name of a corpus recipe.")] = "python-small",
    out: Annotated[Path, typer.Option(help="Corpus folder to write.")] = Path("runs/corpus"),
    downloads: Annotated[
        Path | None, typer.Option(help="Where wheels are kept; default: beside the corpus.")
    ] = None,
) -> None:
    """Download the recipe's packages, clean them, and write shards with a manifest.

    Finished downloads are kept, so an interrupted build goes on where it was.

    Example: paceline corpus build --recipe python-small --out runs/corpus
    """
    from paceline.corpus.build import build_corpus

    if recipe not in CORPUS_RECIPES:
        raise ConfigError(f"Unknown recipe {recipe!r}; known: {', '.join(CORPUS_RECIPES)}.")
    manifest = build_corpus(
        CORPUS_RECIPES[recipe](),
        out,
        downloads=downloads or out.with_name("downloads"),
        progress=Progress(),
    )
    Console().print(funnel_table(manifest.stats))
    typer.echo(f"Corpus: {out} ({len(manifest.files)} files, see {out / 'manifest.json'})")


def funnel_table(stats: dict[str, Any]) -> Table:
    """The funnel: what was read, why files were dropped, what is left."""
    table = Table("stage", "files", "MB", title="corpus funnel")
    for column in table.columns[1:]:
        column.justify = "right"

    def row(name: str, files: int, num_bytes: int) -> None:
        table.add_row(name, f"{files:,}", f"{num_bytes / 1e6:,.1f}")

    row("read", stats["read_files"], stats["read_bytes"])
    for reason, counts in stats["dropped"].items():
        row(f"  - {reason}", counts["files"], counts["bytes"])
    for split in ("train", "heldout"):
        row(f"= {split}", stats.get(f"{split}_files", 0), stats.get(f"{split}_bytes", 0))
    return table
