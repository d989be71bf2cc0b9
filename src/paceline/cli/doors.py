"""Options that every server of ours takes: who may call it, from where, and where it keeps its books."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from paceline.core.errors import ConfigError, StorageError
from paceline.core.folders import state_folder

if TYPE_CHECKING:
    import socket

    from paceline.server.auth.authority import Authority
    from paceline.server.config import ServerConfig
    from paceline.server.run import Tls
    from paceline.telemetry.event_log import EventLog

MAX_SERVERS = 64
"""Servers of one user on one machine at the same time; each has a folder of events of its own."""

EVERY_ADDRESS = ("", "0.0.0.0", "::")

HostOption = Annotated[
    str, typer.Option(help="Address to listen on; tokens are demanded unless it is loopback.")
]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]

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


class DoorOptions(NamedTuple):
    """What the command line says of them."""

    host: str
    port: int
    allow_host: list[str] | None = None
    cors_origin: list[str] | None = None
    is_token_required: bool = False
    state: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Doors(NamedTuple):
    """An address that is listened on, and what the app behind it needs."""

    listener: socket.socket
    config: ServerConfig
    authority: Authority | None
    """Who has which token; None on loopback where nobody ever made one."""
    store: EventLog | None
    """Keeps events; None if the user's state folder cannot be written."""
    tls: Tls | None
    address: str
    """As a URL, without a slash at the end, by which clients may call; there may be others."""


@contextmanager
def open_doors(options: DoorOptions) -> Generator[Doors]:
    """Open the books and listen; clients that connect wait until the app is served.

    Raises:
        ConfigError: an option is wrong, or others could use the server without a token.
        PortInUseError: another process listens there.
        StorageError: the folder that --state names, or that tokens are in, cannot be used.
    """
    from paceline.server.config import ServerConfig
    from paceline.server.middleware import is_loopback
    from paceline.server.run import bind

    config = ServerConfig(
        allowed_hosts=tuple(options.allow_host or ()),
        allowed_origins=tuple(options.cors_origin or ()),
        is_token_required=options.is_token_required,
        state_folder=options.state or state_folder(),
    )
    tls = _tls_of(options)
    must_show = options.is_token_required or not is_loopback(options.host)
    with ExitStack() as stack:
        authority = _open_authority(config, must_show, stack)
        listener = stack.enter_context(bind(options.host, options.port, authority))
        store = _open_events(options.state, stack)
        name = _name_of(options)
        address = f"{'https' if tls else 'http'}://{name}:{listener.getsockname()[1]}"
        yield Doors(listener, config, authority, store, tls, address)


def _name_of(options: DoorOptions) -> str:
    """A name by which clients may call. `0.0.0.0` is none: it stands for every address of this machine."""
    is_every = options.host in EVERY_ADDRESS
    name = (options.allow_host or ["localhost"])[0] if is_every else options.host
    return f"[{name}]" if ":" in name else name


def _tls_of(options: DoorOptions) -> Tls | None:
    from paceline.server.run import Tls, load_tls

    if options.tls_cert is None and options.tls_key is None:
        return None
    if options.tls_cert is None or options.tls_key is None:
        raise ConfigError("--tls-cert and --tls-key go together; give both.")
    tls = Tls(options.tls_cert, options.tls_key)
    load_tls(tls)  # now, not after a model was loaded
    return tls


def _open_authority(config: ServerConfig, must_show: bool, stack: ExitStack) -> Authority | None:
    from paceline.server.auth.authority import Authority
    from paceline.server.auth.tokens import TOKENS_NAME

    folder = config.state_folder
    if folder is None or not (must_show or (folder / TOKENS_NAME).exists()):
        return None
    return stack.enter_context(Authority.open(folder))


def _open_events(named: Path | None, stack: ExitStack) -> EventLog | None:
    """The first of events, events-2, ... that no other server has.

    Where nobody named a folder, one that cannot be used is no reason not to complete.
    """
    from paceline.telemetry.event_log import EventLog

    folder = named or state_folder()
    try:
        for number in range(1, MAX_SERVERS + 1):
            try:
                name = "events" if number == 1 else f"events-{number}"
                return stack.enter_context(EventLog(folder / name))
            except ConfigError:
                if number == MAX_SERVERS:
                    raise
    except StorageError as error:
        if named is not None:
            raise
        typer.echo(f"What becomes of completions is not kept: {error}", err=True)
    return None
