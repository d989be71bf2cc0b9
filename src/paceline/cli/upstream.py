"""`paceline upstream`: our completion brain and every dialect, in front of a server that already runs."""

from __future__ import annotations

from typing import Annotated, Literal

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
from paceline.cli.serve import (
    IgnoreOption,
    RootOption,
    ShowOption,
    ThresholdOption,
    TraceCodeOption,
    brain_config,
    print_panel,
)

MAX_WINDOW_TOKENS = 2**24

UrlArgument = Annotated[
    str, typer.Argument(metavar="URL", help="Where it runs, such as http://127.0.0.1:8000.")
]
KindOption = Annotated[
    Literal["auto", "openai", "vllm", "sglang", "llama.cpp", "ollama"],
    typer.Option(help="What runs there; auto asks it."),
]
UpstreamModelOption = Annotated[
    str | None, typer.Option("--model", help="A name in its list; needed if it has several.")
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        metavar="FAMILY",
        help="Whose fill-in-the-middle template: qwen, starcoder2, deepseek, codellama, codestral, mellum, "
        "paceline; none goes left to right; else told by the model's name.",
    ),
]
FimOption = Annotated[
    Literal["template", "suffix", "infill"] | None,
    typer.Option(
        help="Who puts the sentinels: we (template), or the server (suffix; llama.cpp: infill); else what "
        "suits it."
    ),
]
WindowOption = Annotated[
    int | None,
    typer.Option(
        "--context-tokens", min=64, max=MAX_WINDOW_TOKENS, help="Window to use; else what it tells."
    ),
]
RunningOption = Annotated[
    int, typer.Option("--max-running", min=1, max=1024, help="Requests that it gets at once.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("upstream")(upstream)


def upstream(
    url: UrlArgument,
    kind: KindOption = "auto",
    model: UpstreamModelOption = None,
    template: TemplateOption = None,
    fim: FimOption = None,
    context_tokens: WindowOption = None,
    max_running: RunningOption = 16,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8012,
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
    """Complete code with a model that vLLM, SGLang, llama.cpp, Ollama or an OpenAI-style server runs.

    Editors talk to this server in any dialect; it chooses context, sends prompts there, and judges what
    comes back. PACELINE_UPSTREAM_TOKEN holds the token for it, if it wants one.

    Examples:

    [cyan]paceline upstream http://127.0.0.1:8000[/cyan]
    [cyan]paceline upstream http://127.0.0.1:11434 --model qwen2.5-coder:1.5b-base[/cyan]
    [cyan]paceline upstream https://api.mistral.ai/v1/fim/completions --model codestral-latest[/cyan]
    """
    from paceline.generate.remote.setup import UpstreamConfig
    from paceline.server.run import serve as serve_app
    from paceline.server.run import stop_cleanly_on_signals

    stop_cleanly_on_signals()
    config = UpstreamConfig(
        url=url,
        kind=kind,
        model=model,
        template=template,
        fim=fim,
        context_tokens=context_tokens,
        max_running=max_running,
    )
    options = DoorOptions(
        host, port, allow_host, cors_origin, is_token_required, state, tls_cert, tls_key
    )
    with open_doors(options) as doors:
        from paceline.cli.wiring import open_upstream_app

        brain = brain_config(multi_line_threshold, show_threshold, ignore, root, has_code_in_traces)
        with open_upstream_app(config, doors, brain=brain) as (app, served):
            print_panel(doors.address, served)
            serve_app(app, doors.listener, tls=doors.tls)
