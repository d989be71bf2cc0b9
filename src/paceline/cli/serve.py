"""`paceline serve`: the HTTP server and the playground, on this machine only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.cli.doors import (
    AllowHostOption,
    CorsOriginOption,
    DoorOptions,
    HostOption,
    PortOption,
    RequireTokenOption,
    StateOption,
    TlsCertOption,
    TlsKeyOption,
    open_doors,
)
from paceline.cli.wiring import ExecutorName
from paceline.core.errors import ConfigError

if TYPE_CHECKING:
    from paceline.cli.wiring import Served
    from paceline.complete.config import CompleteConfig

MAX_KV_CACHE_MB = 2**20
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


ModelOption = Annotated[
    str | None,
    typer.Option(help="Name from `paceline models list`, or a model folder; else the default."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        help="CPU threads of one step; else one for small models, and the free cores for large ones.",
    ),
]
KvCacheOption = Annotated[
    int | None,
    typer.Option(
        "--kv-cache-mb",
        min=1,
        max=MAX_KV_CACHE_MB,
        help="Memory for what has been read: running requests and the cache of old ones. Else 512.",
    ),
]
ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(help="What computes: auto takes the fastest that this machine has."),
]
AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FOLDER",
        help="A LoRA adapter, served as the model MODEL:NAME; may be given several times.",
    ),
]
NoSpeculationOption = Annotated[
    bool,
    typer.Option("--no-speculation", help="Never draft tokens ahead; for measurements."),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--multi-line-threshold",
        min=0,
        max=1,
        help="Higher offers single lines more often, 1 always; else 0.7.",
    ),
]
ShowOption = Annotated[
    float | None,
    typer.Option(
        "--show-threshold",
        min=0,
        max=1,
        help="Nothing is shown that is less likely to be kept; 0 shows all; else as the gate was tuned.",
    ),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="GLOB",
        help="Files neither completed nor read, as in .gitignore; may be given several times.",
    ),
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        exists=True,
        file_okay=False,
        resolve_path=True,
        metavar="FOLDER",
        help="A project: its .gitignore is kept to, files beside a document may be read for its prompts.",
    ),
]
TraceCodeOption = Annotated[
    bool,
    typer.Option(
        "--trace-code", help="Traces (`paceline why`) may hold code and paths; in memory only."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("serve")(serve)


def serve(
    model: ModelOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8012,
    threads: ThreadsOption = None,
    kv_cache_mb: KvCacheOption = None,
    executor: ExecutorOption = "auto",
    adapter: AdapterOption = None,
    is_speculation_off: NoSpeculationOption = False,
    multi_line_threshold: ThresholdOption = None,
    show_threshold: ShowOption = None,
    ignore: IgnoreOption = None,
    root: RootOption = None,
    has_code_in_traces: TraceCodeOption = False,
    allow_host: AllowHostOption = None,
    cors_origin: CorsOriginOption = None,
    is_token_required: RequireTokenOption = False,
    state: StateOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
) -> None:
    """Complete code for your editors, and in the browser, until Ctrl+C.

    The address it prints is a page to try it on; /docs there lists what editors can ask for.
    llama.vim and llama.vscode find it on port 8012 without any setting.

    On an address that others can reach it demands tokens: see `paceline token`.

    Examples:

    [cyan]paceline serve[/cyan]
    [cyan]paceline serve --model ./runs/train/model --port 9000[/cyan]
    [cyan]paceline serve --adapter mine=./runs/lora --threads 4[/cyan]
    """
    from paceline.server.run import serve as serve_app
    from paceline.server.run import stop_cleanly_on_signals

    stop_cleanly_on_signals()
    adapters = parse_adapters(adapter or [])
    options = DoorOptions(
        host, port, allow_host, cors_origin, is_token_required, state, tls_cert, tls_key
    )
    with open_doors(options) as doors:
        from paceline.cli.wiring import engine_config, open_app

        config = engine_config(
            num_threads=threads,
            kv_cache_mb=kv_cache_mb,
            executor=executor,
            is_speculating=not is_speculation_off,
        )
        brain = brain_config(multi_line_threshold, show_threshold, ignore, root, has_code_in_traces)
        with open_app(model, doors, config=config, brain=brain, adapters=adapters) as (app, served):
            print_panel(doors.address, served)
            serve_app(app, doors.listener, tls=doors.tls)


def brain_config(
    multi_line_threshold: float | None,
    show_threshold: float | None,
    ignore: Sequence[str] | None,
    root: Sequence[Path] | None,
    has_code_in_traces: bool,
) -> CompleteConfig:
    """The brain's settings from the command line's; None leaves a choice to the brain."""
    from paceline.complete.config import CompleteConfig

    default = CompleteConfig()
    return CompleteConfig(
        multi_line_threshold=(
            default.multi_line_threshold if multi_line_threshold is None else multi_line_threshold
        ),
        show_threshold=show_threshold,
        ignored_globs=tuple(ignore or ()),
        workspace_roots=tuple(map(str, root or ())),
        is_code_in_traces=has_code_in_traces,
    )


def parse_adapters(options: Sequence[str]) -> dict[str, Path]:
    """Read `NAME=FOLDER` options to folders by name.

    Raises:
        ConfigError: one is not of that form, or a name comes twice.
    """
    adapters: dict[str, Path] = {}
    for option in options:
        name, _, folder = option.partition("=")
        if not (_ADAPTER_NAME.fullmatch(name) and folder):
            raise ConfigError(
                f"--adapter {option!r} is not NAME=FOLDER; a name has letters, digits and . _ - only."
            )
        if name in adapters:
            raise ConfigError(f"--adapter {name!r} is given twice; choose another name for one.")
        adapters[name] = Path(folder)
    return adapters


def print_panel(address: str, served: Served) -> None:
    """Say where the server is and what it serves."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        device = f" with {served.device}" if served.device else ""
        typer.echo(
            f"Paceline serves {', '.join(served.model_ids)} on {address}{device} "
            "(/docs for editors); Ctrl+C stops it."
        )
        return
    lines = Text.assemble(
        ("Playground  ", "dim"), (address, "bold cyan"), "\n",
        ("For editors ", "dim"), (f"{address}/docs", "cyan"), "\n",
        ("Model       ", "dim"), "\n            ".join(served.model_ids), "\n",
        ("Computed by ", "dim"), served.device or "this machine", "\n\n",
        ("Press Ctrl+C to stop", "dim"),
    )  # fmt: skip
    console.print(Panel(lines, title="Paceline", title_align="left", expand=False, padding=(1, 2)))
