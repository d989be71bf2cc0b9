"""`paceline token`: who may use a server on which more than this machine can call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.cli.doors import StateOption

if TYPE_CHECKING:
    from paceline.server.auth.authority import Authority
    from paceline.server.auth.tokens import Quotas, TokenRecord
    from paceline.server.caller import Scope

app = typer.Typer(
    help="Make, list and revoke access tokens. A running server notices at its next request.",
    no_args_is_help=True,
)

SECONDS_PER_DAY = 86_400.0
MAX_COUNT = 2**62
MAX_DAYS = 36_500

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("create")
def create_token(
    user: Annotated[str, typer.Argument(help="Whose it is; requests of one user share sessions.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="complete, events or admin; may be repeated. Else complete and events."),
    ] = None,
    tier: Annotated[
        str, typer.Option(help="Preset of quotas: unlimited, team or free.")
    ] = "unlimited",
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Instead of the tier's.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Requests at once, not the tier's.")
    ] = None,
    tokens_per_month: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_COUNT, help="Of prompt (not cached) and answer, not the tier's."
        ),
    ] = None,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="Valid for so long; else for ever.")
    ] = None,
    state: StateOption = None,
    is_json: JsonOption = False,
) -> None:
    """Make a token and show it, once.

    Examples:

    [cyan]paceline token create ada[/cyan]
    [cyan]paceline token create ci --tier free --expires-days 90[/cyan]
    [cyan]paceline token create prometheus --scope admin[/cyan]
    """
    import msgspec

    own = {
        "requests_per_minute": requests_per_minute,
        "max_concurrent": concurrent,
        "tokens_per_month": tokens_per_month,
    }
    chosen = {name: value for name, value in own.items() if value is not None}
    quotas = msgspec.structs.replace(_quotas_of(tier), **chosen)
    valid_for_s = None if expires_days is None else expires_days * SECONDS_PER_DAY
    with _authority(state) as authority:
        token, record = authority.store.create(
            user,
            scopes=_scopes_of(scope or ("complete", "events")),
            tier=tier,
            quotas=quotas,
            valid_for_s=valid_for_s,
            before_commit=lambda made: authority.audit.append("token_create", **_audited(made)),
        )
    if is_json:
        typer.echo(msgspec.json.encode({"token": token} | _row(record, "active", 0)))
        return
    typer.echo(token)
    typer.echo("This is the only time it is shown; it cannot be read back, only revoked.", err=True)


@app.command("list")
def list_tokens(state: StateOption = None, is_json: JsonOption = False) -> None:
    """Show every token: whose it is, what it may do, what it has used this month (UTC).

    Example: [cyan]paceline token list[/cyan]
    """
    import time

    import msgspec

    from paceline.server.auth.meter import month_of

    now_s = time.time()
    with _authority(state) as authority:
        records = authority.store.records()
        usage = authority.store.usage(month_of(now_s))
    rows = [_row(record, record.state(now_s), usage.get(record.token_id, 0)) for record in records]
    if is_json:
        typer.echo(msgspec.json.encode(rows))
    elif rows:
        _print_table(rows)
    else:
        typer.echo("There are no tokens; `paceline token create NAME` makes one.")


@app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="As `paceline token list` shows it.")],
    state: StateOption = None,
) -> None:
    """End a token for good; its next request is refused.

    Example: [cyan]paceline token revoke 3f2a91bc[/cyan]
    """
    with _authority(state) as authority:
        record = authority.store.revoke(
            token_id,
            before_commit=lambda record: authority.audit.append(
                "token_revoke", token_id=record.token_id, user=record.user_id
            ),
        )
    typer.echo(f"Token {record.token_id} of {record.user_id} is revoked.")


def _quotas_of(tier: str) -> Quotas:
    from paceline.core.errors import ConfigError
    from paceline.server.auth.tokens import TIERS

    if tier not in TIERS:
        raise ConfigError(f"--tier {tier!r} is none of {', '.join(TIERS)}.")
    return TIERS[tier]


def _scopes_of(names: Sequence[str]) -> frozenset[Scope]:
    from paceline.core.errors import ConfigError
    from paceline.server.caller import ALL_SCOPES

    if unknown := set(names) - ALL_SCOPES:
        raise ConfigError(f"--scope {min(unknown)!r} is none of {', '.join(sorted(ALL_SCOPES))}.")
    return frozenset(scope for scope in ALL_SCOPES if scope in names)


def _authority(state: Path | None) -> Authority:
    from paceline.core.folders import state_folder
    from paceline.server.auth.authority import Authority

    return Authority.open(state or state_folder())


def _audited(record: TokenRecord) -> dict[str, Any]:
    return {
        "token_id": record.token_id,
        "user": record.user_id,
        "scopes": sorted(record.scopes),
        "tier": record.tier,
        "quotas": record.quotas,
        "expires": _time(record.expires_s),
    }


def _row(record: TokenRecord, token_state: str, num_used: int) -> dict[str, Any]:
    return _audited(record) | {
        "last_four": record.last_four,
        "created": _time(record.created_s),
        "revoked": _time(record.revoked_s),
        "state": token_state,
        "tokens_this_month": num_used,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("id", no_wrap=True)
    for heading in ("user", "scopes", "tier", "per minute", "at once", "this month", "ends"):
        table.add_column(heading)
    table.add_column("last")
    table.add_column("state")
    for row in rows:
        quotas: Quotas = row["quotas"]
        limit = quotas.tokens_per_month
        table.add_row(
            row["token_id"],
            Text(row["user"]),
            " ".join(row["scopes"]),
            row["tier"],
            _limit(quotas.requests_per_minute),
            _limit(quotas.max_concurrent),
            f"{row['tokens_this_month']:,}" + (f" of {limit:,}" if limit else ""),
            (row["expires"] or "never")[:10],
            f"…{row['last_four']}",
            Text(row["state"], "green" if row["state"] == "active" else "red"),
        )
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def _limit(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
