"""`paceline why`: the story of a completion, from the server that made it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from paceline.core.errors import PacelineError

if TYPE_CHECKING:
    from rich.console import Console

TIMEOUT_S = 10.0
BAR_CHARS = 30
PIPE_CHARS = 200
"""Width of a line in a pipe, where nobody's terminal folds it."""


class NoServerError(PacelineError):
    """Nothing answers at the server's address, or not as a Paceline server does."""

    exit_code = 4


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("why")(why)


def why(
    request_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="The request's id, as its reply named it; else the newest are listed.",
        ),
    ] = None,
    server: Annotated[
        str, typer.Option(envvar="PACELINE_SERVER", help="Address of the running server.")
    ] = "http://127.0.0.1:8012",
    is_json: Annotated[bool, typer.Option("--json", help="Print the trace as JSON.")] = False,
) -> None:
    """Tell why a completion was shown, or why nothing was.

    Which mode and why, which snippets, which steps changed or dropped what, what the gate thought,
    where each millisecond went. Traces live in the server's memory, and hold no code unless it was started with
    --trace-code. The beginning of an id will do. A server that demands tokens is shown the one in PACELINE_TOKEN;
    it needs the scope admin.

    Examples:

    [cyan]paceline why[/cyan]
    [cyan]paceline why cmpl-1f0c22[/cyan]
    """
    path = f"/v1/requests/{quote(request_id, safe='')}/trace" if request_id else "/v1/requests"
    reply = _fetch(server, path)
    if is_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(reply)).decode())
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)  # names come from clients
    if not console.is_terminal:
        console.width = PIPE_CHARS
    try:
        if request_id:
            _print_story(console, reply)
        else:
            _print_list(console, reply["requests"])
    except (KeyError, TypeError) as error:
        raise NoServerError(
            f"{server} answers, but not as a Paceline server of this version does; "
            "name another address with --server."
        ) from error


def _fetch(server: str, path: str) -> dict[str, Any]:
    """The server's JSON.

    Raises:
        NoServerError: there is no server, or it has no such trace.
    """
    import httpx
    import msgspec

    try:
        address = server if "://" in server else f"http://{server}"
        token = os.environ.get("PACELINE_TOKEN", "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = httpx.get(
            address.rstrip("/") + path, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
        reply = msgspec.json.decode(response.content, type=dict[str, Any])
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as error:
        raise NoServerError(
            f"No Paceline server answers at {server} ({error}); start one with `paceline serve`, "
            "or name its address with --server."
        ) from error
    if response.is_success:
        return reply
    problem: Any = reply.get("error")
    try:
        message: str = problem["message"]
    except (KeyError, TypeError):
        message = ""
    raise NoServerError(message or f"{server} answered with status {response.status_code}.")


def _print_list(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not rows:
        console.print("The server has answered no request yet.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("request", no_wrap=True)  # it is what `paceline why` wants to hear
    for name in ("mode", "from", "outcome"):
        table.add_column(name, overflow="fold")
    table.add_column("ms", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["request_id"],
            row["mode"] or "-",
            "ahead" if row["is_ahead"] else row["source"] or "-",
            row["drop_reason"] or row["outcome"] or "running",
            f"{row['latency_ms']:.1f}",
        )
    console.print(table)


def _print_story(console: Console, trace: dict[str, Any]) -> None:
    """One paragraph a stage, in the order in which they ran."""
    outcome = trace["outcome"] or "still running"
    what = f"nothing: {trace['drop_reason']}" if outcome == "nothing" else outcome
    console.print(
        f"{what}  ({trace['latency_ms']:.1f} ms, {trace['source'] or 'not asked'})", style="bold"
    )
    ahead = ", before the user did" if trace["is_ahead"] else ""
    language = _printable(trace["language"]) or "unknown language"
    console.print(f"asked    {trace['trigger']}{ahead}, {language}")
    for stage in trace["failed"]:
        console.print(f"failed   {stage}: a bug; the server's log says where")
    if trace["mode"]:
        score = "" if trace["mode_score"] is None else f", score {trace['mode_score']:.2f}"
        why = ", ".join(trace["reasons"]) or "no reason given"
        console.print(f"mode     {trace['mode']}{score}: {why}")
    if trace["debounce_ms"]:
        why = ", ".join(trace["debounce_reasons"])
        console.print(f"waited   {trace['debounce_ms']:.0f} ms: {why}")
    for note in trace["snippets"]:
        fate = note["skipped"] or f"{note['num_chars']} characters"
        console.print(
            f"context  {note['origin']}{' ' + _printable(note['path']) if note['path'] else ''}: {fate}"
        )
    if trace["prompt_tokens"]:
        console.print(
            f"model    {_printable(trace['model_id'])}: {trace['prompt_tokens']} prompt tokens, "
            f"{trace['cached_tokens']} of them cached"
        )
    for candidate in trace["candidates"]:
        _print_candidate(console, candidate, trace)
    if trace["probability"] is not None:
        console.print(f"gate     {_verdict(trace)}")
    for event in trace["events"]:
        console.print(f"later    {event['kind']} after {event['after_ms'] / 1000:.1f} s")
    total = max(trace["latency_ms"], 1e-9)
    for span in trace["spans"]:
        start = round(BAR_CHARS * min(span["start_ms"] / total, 1.0))
        width = max(1, round(BAR_CHARS * min(span["ms"] / total, 1.0)))
        bar = (" " * start + "█" * width)[: BAR_CHARS + 1].ljust(BAR_CHARS + 1)
        console.print(f"{span['name']:<9}{bar} {span['ms']:.2f} ms")
    console.print(f"the brain itself: {trace['own_ms']:.2f} ms", style="dim")


def _printable(text: str) -> str:
    """`text` without what would move a terminal's cursor or colour it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _print_candidate(console: Console, candidate: dict[str, Any], trace: dict[str, Any]) -> None:
    console.print(
        f"wrote    {candidate['num_tokens']} tokens, {candidate['num_chars_raw']} characters, "
        f"ended by {candidate['finish_reason']}"
    )
    if candidate["num_chars_confident"] is not None:
        console.print(
            f"ended    after {candidate['num_chars_confident']} characters: the next word is too doubtful"
        )
    for step in candidate["steps"]:
        fate = (
            f"dropped it: {step['drop_reason']}"
            if step["drop_reason"]
            else f"{step['num_chars_before']} → {step['num_chars_after']} characters"
        )
        flags = f", flagged {', '.join(step['flags'])}" if step["flags"] else ""
        console.print(f"step     {step['step']}: {fate}{flags}")
    if candidate["raw_text"]:
        console.print(f"raw      {candidate['raw_text']!r}")
        console.print(f"shown    {candidate['text']!r}")
    if candidate["gate_reasons"]:
        console.print(f"because  {', '.join(candidate['gate_reasons'])}")


def _verdict(trace: dict[str, Any]) -> str:
    """What the gate thought, and why it is shown nevertheless."""
    limit = trace["gate_threshold"]
    verdict = f"kept with probability {trace['probability']:.2f}"
    if limit is not None:
        verdict += f", shown from {limit:.2f} on"
    if trace["trigger"] == "invoked":
        verdict += "; shown because it was asked for"
    if trace["is_exempt"]:
        verdict += "; shown so that the gate can be judged"
    if trace["answered_by"] not in ("", trace["request_id"]):
        verdict += f"; written for {trace['answered_by']}"
    return verdict
