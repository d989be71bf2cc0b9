"""`paceline serve`: the HTTP server and the playground, on this machine only."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("serve")(serve)


def serve(
    model: Annotated[
        str | None,
        typer.Option(help="Name from `paceline models list`, or a model folder; else the default."),
    ] = None,
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8012,
) -> None:
    """Complete code for your editors, and in the browser, until Ctrl+C.

    The address it prints is a page to try it on; /docs there lists what editors can ask for.
    llama.vim and llama.vscode find it on port 8012 without any setting.

    Examples:

    [cyan]paceline serve[/cyan]
    [cyan]paceline serve --model ./runs/train/model --port 9000[/cyan]
    """
    from paceline.server.run import bind, stop_cleanly_on_signals
    from paceline.server.run import serve as serve_app

    stop_cleanly_on_signals()
    listener = bind(host, port)
    with listener:
        from paceline.cli.wiring import open_app

        with open_app(model) as (app, info):
            name = f"[{host}]" if ":" in host else host
            _print_panel(f"http://{name}:{listener.getsockname()[1]}", info.model_id)
            serve_app(app, listener)


def _print_panel(address: str, model_id: str) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        typer.echo(f"Paceline serves {model_id} on {address} (/docs for editors); Ctrl+C stops it.")
        return
    lines = Text.assemble(
        ("Playground  ", "dim"), (address, "bold cyan"), "\n",
        ("For editors ", "dim"), (f"{address}/docs", "cyan"), "\n",
        ("Model       ", "dim"), model_id, "\n\n",
        ("Press Ctrl+C to stop", "dim"),
    )  # fmt: skip
    console.print(Panel(lines, title="Paceline", title_align="left", expand=False, padding=(1, 2)))
