"""`paceline lsp`: completions for every editor that speaks the Language Server Protocol."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.upstream import (
    FimOption,
    KindOption,
    TemplateOption,
    UpstreamModelOption,
    WindowOption,
)
from paceline.core.errors import ConfigError

if TYPE_CHECKING:
    from paceline.generate.remote.setup import UpstreamConfig
    from paceline.lsp.run import OpenCompleter


StdioOption = Annotated[
    bool, typer.Option("--stdio", help="Talk on stdin and stdout, as without any option.")
]
TcpOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        help="Listen on this port of 127.0.0.1 instead; 0 takes a free one and says which.",
    ),
]
ServerOption = Annotated[
    str, typer.Option(envvar="PACELINE_SERVER", help="Address of the running server.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="Holds the token for the server; else PACELINE_TOKEN does.",
    ),
]
UpstreamOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Complete in this process instead, with the model of a vLLM, SGLang, llama.cpp, Ollama or "
        "OpenAI-style server at URL; the options below are those of `paceline upstream`.",
    ),
]
ClientProcessOption = Annotated[int | None, typer.Option("--clientProcessId", hidden=True)]
"""Some clients add it; that they left is seen by stdin."""


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("lsp")(lsp)


def lsp(
    is_stdio: StdioOption = False,
    tcp: TcpOption = None,
    server: ServerOption = "http://127.0.0.1:8012",
    token_file: TokenFileOption = None,
    upstream: UpstreamOption = None,
    kind: KindOption = "auto",
    model: UpstreamModelOption = None,
    template: TemplateOption = None,
    fim: FimOption = None,
    context_tokens: WindowOption = None,
    client_process: ClientProcessOption = None,
) -> None:
    """Speak LSP to an editor: inline completion (3.18), or the usual completion list where it lacks that.

    Your editor starts this command and `paceline serve` answers; docs/lsp.md has the settings of several editors.

    Examples:

    [cyan]paceline lsp[/cyan]
    [cyan]paceline lsp --server https://paceline.example --token-file ~/.paceline-token[/cyan]
    [cyan]paceline lsp --upstream http://127.0.0.1:11434 --model qwen2.5-coder:1.5b-base[/cyan]
    [cyan]paceline lsp --tcp 9257[/cyan]
    """
    if is_stdio and tcp is not None:
        raise ConfigError("--stdio and --tcp exclude each other; give one of them.")
    token = read_token(token_file)
    from paceline.lsp.run import run_stdio, run_tcp

    if upstream is None:
        opening = server_completer(server, token)
    else:
        from paceline.generate.remote.setup import UpstreamConfig

        config = UpstreamConfig(
            url=upstream,
            kind=kind,
            model=model,
            template=template,
            fim=fim,
            context_tokens=context_tokens,
        )
        opening = upstream_completer(config)
    with opening as open_completer:
        raise typer.Exit(run_stdio(open_completer) if tcp is None else run_tcp(open_completer, tcp))


@contextmanager
def server_completer(server: str, token: str) -> Generator[OpenCompleter]:
    """A running server's completions. Raises ConfigError: that is no address."""
    from paceline.lsp.http_completer import HttpCompleter, server_url

    server_url(server)  # a wrong one is told before the editor waits for an answer
    yield lambda: HttpCompleter(server, token=token, report=lambda line: typer.echo(line, err=True))


@contextmanager
def upstream_completer(config: UpstreamConfig) -> Generator[OpenCompleter]:
    """A brain in this process, around another server's model. Raises as `open_upstream_generator`."""
    from paceline.cli.wiring import open_upstream_generator
    from paceline.complete.service import Service
    from paceline.lsp.service_completer import ServiceCompleter

    with open_upstream_generator(config) as generator:

        @asynccontextmanager
        async def open_completer() -> AsyncGenerator[ServiceCompleter]:
            service = Service(generator)
            try:
                yield ServiceCompleter(service)
            finally:
                await service.close()
                await generator.aclose()

        yield open_completer


def read_token(token_file: Path | None) -> str:
    """The token of a file, or of PACELINE_TOKEN; empty if there is none.

    Raises:
        ConfigError: it is not visible ASCII on one line.
    """
    if token_file is None:
        token = os.environ.get("PACELINE_TOKEN", "").strip()
    else:
        token = token_file.read_text("utf-8", errors="replace").strip()
    if not all("!" <= c <= "~" for c in token):
        raise ConfigError("The token is not one word of visible ASCII; look at its file.")
    return token
