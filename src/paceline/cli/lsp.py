"""`paceline lsp`: completions for every editor that speaks the Language Server Protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from paceline.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("lsp")(lsp)


def lsp(
    is_stdio: Annotated[
        bool, typer.Option("--stdio", help="Talk on stdin and stdout, as without any option.")
    ] = False,
    tcp: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Listen on this port of 127.0.0.1 instead; 0 takes a free one and says which.",
        ),
    ] = None,
    server: Annotated[
        str, typer.Option(envvar="PACELINE_SERVER", help="Address of the running server.")
    ] = "http://127.0.0.1:8012",
    token_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Holds the token for the server; else PACELINE_TOKEN does.",
        ),
    ] = None,
    client_process: Annotated[int | None, typer.Option("--clientProcessId", hidden=True)] = None,
) -> None:
    """Speak LSP to an editor: inline completion (3.18), or the usual completion list where it lacks that.

    Your editor starts this command and `paceline serve` answers; docs/lsp.md has the settings of several editors.

    Examples:

    [cyan]paceline lsp[/cyan]
    [cyan]paceline lsp --server https://paceline.example --token-file ~/.paceline-token[/cyan]
    [cyan]paceline lsp --tcp 9257[/cyan]
    """
    if is_stdio and tcp is not None:
        raise ConfigError("--stdio and --tcp exclude each other; give one of them.")
    token = read_token(token_file)

    from paceline.lsp.http_completer import HttpCompleter, server_url
    from paceline.lsp.run import run_stdio, run_tcp

    server_url(server)  # a wrong one is told before the editor waits for an answer

    def open_completer() -> HttpCompleter:
        return HttpCompleter(server, token=token, report=lambda line: typer.echo(line, err=True))

    raise typer.Exit(run_stdio(open_completer) if tcp is None else run_tcp(open_completer, tcp))


def read_token(token_file: Path | None) -> str:
    """The token of a file, or of PACELINE_TOKEN; empty if there is none.

    Raises:
        ConfigError: it is not visible ASCII on one line.
    """
    if token_file is None:
        token = os.environ.get("PACELINE_TOKEN", "").strip()
    else:
        token = token_file.read_text("utf-8", errors="replace").strip()
    if not token.isascii() or any(c.isspace() for c in token):
        raise ConfigError("The token is not one word of visible ASCII; look at its file.")
    return token
