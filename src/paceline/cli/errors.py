"""How an expected failure looks in a terminal: one red sentence on stderr and the right exit code.

The only place that turns an exception into an exit code. `PACELINE_DEBUG=1` shows the traceback.
"""

from __future__ import annotations

import os
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from paceline.core.errors import ConfigError, PacelineError


class MissingExtraError(ConfigError):
    """A package that this command needs is not installed."""

    def __init__(self, *, command: str, package: str, extra: str) -> None:
        super().__init__(
            f"`paceline {command}` needs the package {package!r}, which is not installed; "
            f"run `pip install -e '.[{extra}]'` in Paceline's folder"
        )


def print_error(sentence: str) -> None:
    """Print one sentence on stderr, red on a terminal, on one line when piped."""
    line = Text.assemble(("Error: ", "bold red"), (sentence, "red"))
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


class FileSystemError(PacelineError):
    """A file or folder could not be read or written: full disk, no permission, not a folder."""

    exit_code = 6

    def __init__(self, cause: OSError) -> None:
        where = f" {cause.filename}" if cause.filename else " a file"
        reason = (cause.strerror or str(cause)).lower()
        super().__init__(
            f"Cannot use{where}: {reason}; free some space, choose another folder or change its "
            "permissions, then run the same command again."
        )


def stop_with_sentence(
    error: PacelineError | ModuleNotFoundError | OSError, *, command: str, extra: str
) -> NoReturn:
    """Print the sentence of an expected failure of `command` and leave with its exit code.

    An import that fails because `extra` is not installed is one; an import of our own is a bug.
    """
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in ("", "paceline"):
            raise error
        expected: PacelineError = MissingExtraError(command=command, package=package, extra=extra)
    elif isinstance(error, OSError):
        expected = FileSystemError(error)
    else:
        expected = error
    if os.environ.get("PACELINE_DEBUG") == "1":
        raise error
    print_error(str(expected))
    raise typer.Exit(expected.exit_code) from error
