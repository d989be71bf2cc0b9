"""Options that every server of ours takes: who may call it, from where, and where it keeps its books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="A name, besides localhost, under which clients may call; may be given several times.",
    ),
]
CorsOriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        metavar="ORIGIN",
        help="A web origin (https://editor.example) whose pages may call; may be given several times.",
    ),
]
RequireTokenOption = Annotated[
    bool,
    typer.Option(
        "--require-token",
        help="Demand tokens on loopback too; on any other address they are always demanded.",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        file_okay=False,
        metavar="FOLDER",
        help="Where tokens, the audit log and events are kept; else PACELINE_HOME or the user's state folder.",
    ),
]
TlsCertOption = Annotated[
    Path | None,
    typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM); with --tls-key."),
]
TlsKeyOption = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Private key (PEM).")
]
