"""The `paceline` command. A new subcommand is one line in COMMANDS and one module beside this file.

A module has either `register(app: typer.Typer)`, which adds a command or group of the line's name,
or a `typer.Typer` named `app`, which becomes a group. It is imported only when its command is used
or help is asked for, so its top level must stay light: no torch, no FastAPI, no tokenizers.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from paceline import __version__
from paceline.cli.errors import stop_with_sentence
from paceline.core.errors import PacelineError

USE = "Complete code"
CONNECT = "Connect editors and servers"
MAKE = "Make a model"


class CommandLine(NamedTuple):
    """Where a subcommand lives, how help groups it, and the extra that brings what it imports."""

    name: str
    module: str
    panel: str
    extra: str


COMMANDS = (
    CommandLine("serve", "paceline.cli.serve", USE, "serve"),
    CommandLine("complete", "paceline.cli.complete", USE, "serve"),
    CommandLine("why", "paceline.cli.why", USE, "serve"),
    CommandLine("models", "paceline.cli.models", USE, "serve"),
    CommandLine("lsp", "paceline.cli.lsp", CONNECT, "upstream"),
    CommandLine("upstream", "paceline.cli.upstream", CONNECT, "upstream"),
    CommandLine("token", "paceline.cli.token", CONNECT, "upstream"),
    CommandLine("codeium-shim", "paceline.cli.codeium_shim", CONNECT, "upstream"),
    CommandLine("corpus", "paceline.cli.corpus", MAKE, "corpus"),
    CommandLine("tokenizer", "paceline.cli.tokenizer", MAKE, "train"),
    CommandLine("train", "paceline.cli.train", MAKE, "train"),
    CommandLine("eval", "paceline.cli.evals", MAKE, "evals"),
    CommandLine("replay", "paceline.cli.replay", MAKE, "evals"),
)
"""In the order of the help page. A line whose module does not exist is skipped."""


def load_command(line: CommandLine) -> Any:
    """Import the module of `line` and return its command, or None if there is no such module."""
    if importlib.util.find_spec(line.module) is None:
        return None
    module = importlib.import_module(line.module)
    parent = typer.Typer(rich_markup_mode="rich")
    if hasattr(module, "register"):
        module.register(parent)
    else:
        parent.add_typer(module.app, name=line.name)
    command = typer.main.get_group(parent).commands[line.name]
    command.rich_help_panel = line.panel  # type: ignore[attr-defined]
    return command


class LazyGroup(TyperGroup):
    """Subcommands from COMMANDS, imported on use; expected errors become one sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the subcommands that exist, in COMMANDS order."""
        return [line.name for line in COMMANDS if importlib.util.find_spec(line.module)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return one subcommand."""
        for line in COMMANDS:
            if line.name == cmd_name:
                try:
                    return load_command(line)
                except ModuleNotFoundError as error:
                    stop_with_sentence(error, command=line.name, extra=line.extra)
        return None

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand that the arguments name."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe has left; click ends quietly
            raise
        except (PacelineError, ModuleNotFoundError, OSError) as error:
            name = ctx.invoked_subcommand or ""
            extra = {line.name: line.extra for line in COMMANDS}.get(name, "serve")
            stop_with_sentence(error, command=name, extra=extra)


app = typer.Typer(
    name="paceline",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    pretty_exceptions_enable=os.environ.get("PACELINE_DEBUG") == "1",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"paceline {__version__}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """[bold]Paceline[/bold]: code completion on your own machine.

    Start with [cyan]paceline serve[/cyan] and open the address it prints.
    """


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="paceline")


if __name__ == "__main__":
    main()
