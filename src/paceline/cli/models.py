"""`paceline models`: which model folders are here, and whether they are whole."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Look at the models that are here.", no_args_is_help=True)


@app.command("list")
def list_models(
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show every model that --model may name; the first is the default.

    Looks in the folders of PACELINE_MODELS, in your data folder, and at the models that came with
    Paceline.

    Example: [cyan]paceline models list[/cyan]
    """
    import msgspec

    from paceline.artifacts.registry import find_models, model_roots

    models = find_models()
    if is_json:
        typer.echo(msgspec.json.encode(models, enc_hook=str))
        return
    if not models:
        places = ", ".join(str(root) for root in model_roots())
        typer.echo(f"No models in {places}; run `paceline train` to make one.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("model", no_wrap=True, overflow="fold")
    for heading in ("parameters", "context", "licence", "size"):
        table.add_column(heading)
    table.add_column("state", overflow="fold")
    table.add_column("path", overflow="fold")
    for model in models:
        state = Text(f"damaged: {model.problem}", "red") if model.problem else Text("ok", "green")
        table.add_row(
            model.model_id,
            f"{model.num_parameters / 1e6:.1f} M",
            f"{model.context_tokens}",
            model.license or "not stated",
            f"{model.num_bytes / 1e6:.1f} MB",
            state,
            Text(str(model.path)),
        )
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
