"""`paceline complete`: one completion at a place in a file, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.complete.modes import Mode, Trigger
from paceline.core.errors import InputError
from paceline.core.types import Cursor, offset_of_line_column, read_document

if TYPE_CHECKING:
    from paceline.complete.service import Completion

MAX_DIGITS = 9
CONTEXT_LINES = 6
"""Lines shown above and below the completion on a terminal."""


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("complete")(complete)


def complete(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE:COL",
            help="Where the cursor is; lines and columns count from 1, as compilers print them.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Name from `paceline models list`, or a model folder; else the default."),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="How much to complete; else it is decided from the code around."),
    ] = None,
    trigger: Annotated[
        Trigger,
        typer.Option(help="invoked: as if you had asked; automatic: as after a key, gate and all."),
    ] = "invoked",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Instead of the mode's own.")
    ] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print text, reason and figures as JSON.")
    ] = False,
) -> None:
    """Print what would be suggested at a place in a file.

    On a terminal the completion is highlighted between its lines; in a pipe it is the bare text.
    Nothing is printed if nothing would be shown; --json tells why, and which parts of the line it replaces.

    Examples:

    [cyan]paceline complete src/app.py:12:9[/cyan]
    [cyan]paceline complete src/app.py:12:9 --mode block_body --json[/cyan]
    """
    cursor = cursor_at(place)
    from paceline.cli.wiring import complete_once

    completion = asyncio.run(
        complete_once(cursor, model=model, mode=mode, trigger=trigger, max_tokens=max_tokens)
    )
    if is_json:
        import msgspec

        typer.echo(msgspec.json.encode(completion))
    else:
        _print_completion(cursor, completion)


def cursor_at(place: str) -> Cursor:
    """Read `FILE:LINE:COL`, split from the right because a path may hold colons itself.

    Raises:
        InputError: it is not of that form.
        DocumentError: the file cannot be read, or the place is outside it.
    """
    name, line, column = [*place.rsplit(":", 2), "", ""][:3]
    is_place = all(part.isdecimal() and len(part) <= MAX_DIGITS for part in (line, column))
    if not (name and is_place):
        raise InputError(
            f"{place!r} is not FILE:LINE:COL; give for example src/app.py:12:9, counted from 1."
        )
    document = read_document(Path(name))
    offset = offset_of_line_column(document, int(line), int(column))
    return Cursor(document=document, offset=offset)


def _print_completion(cursor: Cursor, completion: Completion) -> None:
    """Bare text in a pipe; on a terminal the lines around it, with the completion highlighted."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        if completion.text:
            typer.echo(completion.text)
        return
    above = "\n".join(cursor.prefix.split("\n")[-CONTEXT_LINES - 1 :])
    below = "\n".join(cursor.suffix.split("\n")[: CONTEXT_LINES + 1])
    below = below[completion.num_replaced_chars :]
    shown = (completion.text, "black on green") if completion.text else ("|", "bold red")
    console.print(Text.assemble(above, shown, below), soft_wrap=True)
    what = f"nothing to show: {completion.drop.reason}" if completion.drop else completion.mode
    console.print(
        f"\n[dim]{completion.model_id} · {what} · {completion.num_tokens} tokens · "
        f"{completion.latency_ms:.0f} ms[/dim]"
    )
