"""The real tabby-agent (npm): over its LSP, and by the lines of JSON that Tabby's Vim plugin talks to it with."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from tests.e2e.app_thread import running_app
from tests.e2e.node_clients import tabby_agent
from tests.scripted import Scripted, create_scripted

pytestmark = pytest.mark.e2e

WAIT_S = 60
BEFORE = "def area(width, height):\n    return w"
AFTER = "\n\n\nprint(area(2, 3))\n"
WHOLE = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3))\n"
URI = "file:///project/shapes.py"
CONFIG = """\
[server]
endpoint = "{url}"
token = "secret"
[anonymousUsageTracking]
disable = true
"""


@pytest.fixture
def scripted() -> Scripted:
    return create_scripted()


@pytest.fixture
def home(scripted: Scripted, tmp_path: Path) -> Iterator[Path]:
    """A home folder whose tabby-agent is told to ask our server."""
    with running_app(scripted.app) as url:
        write_config(tmp_path, url)
        yield tmp_path


def write_config(home: Path, url: str) -> None:
    path = home / ".tabby-client" / "agent" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(url=url), encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"HOME": str(home), "NO_PROXY": "127.0.0.1"}


async def complete_over_lsp(home: Path) -> lsp.CompletionItem:
    """Open our document in an agent of its own, and ask at BEFORE's end."""
    client = LanguageClient("paceline e2e", "1")
    try:
        await client.start_io(*tabby_agent("--lsp", "--stdio"), env=environment(home))
        await client.initialize_async(
            lsp.InitializeParams(capabilities=lsp.ClientCapabilities(), process_id=os.getpid())
        )
        client.initialized(lsp.InitializedParams())
        document = lsp.TextDocumentItem(URI, lsp.LanguageKind.Python, 1, BEFORE + AFTER)
        client.text_document_did_open(lsp.DidOpenTextDocumentParams(document))
        place = lsp.Position(1, len("    return w"))
        reply = await client.text_document_completion_async(
            lsp.CompletionParams(lsp.TextDocumentIdentifier(URI), place)
        )
        assert isinstance(reply, lsp.CompletionList)
        await client.shutdown_async(None)
        client.exit(None)
        (item,) = reply.items
        return item
    finally:
        await client.stop()


def test_over_lsp_the_accepted_completion_is_in_the_buffer(home: Path, scripted: Scripted) -> None:
    item = asyncio.run(asyncio.wait_for(complete_over_lsp(home), WAIT_S))
    assert isinstance(item.text_edit, lsp.TextEdit)
    assert apply(item.text_edit, BEFORE + AFTER) == WHOLE
    assert any(call.parts.prefix.endswith("    return w") for call in scripted.generator.calls)


def apply(edit: lsp.TextEdit, text: str) -> str:
    """What an editor does on accept."""
    lines = text.split("\n")
    assert edit.range.start.line == edit.range.end.line == 1
    line = lines[1]
    lines[1] = line[: edit.range.start.character] + edit.new_text + line[edit.range.end.character :]
    return "\n".join(lines)


class Agent:
    """tabby-agent by lines of JSON: [id, {func, args}] there, [id, result] back, [0, event] in between."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self._last_id = process, 0

    def call(self, function: str, *args: object) -> Any:
        """Return what the agent's method returns."""
        self._last_id += 1
        assert self._process.stdin is not None and self._process.stdout is not None
        request = [self._last_id, {"func": function, "args": args}]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            number, result = json.loads(line)
            if number == self._last_id:
                return result
        raise AssertionError(f"tabby-agent ended before it answered {function}")


@contextmanager
def running_agent(home: Path) -> Iterator[Agent]:
    """An agent that ends with its input."""
    with subprocess.Popen(
        tabby_agent(),
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield Agent(process)
        finally:
            process.terminate()


def completion_request(text: str, position: int) -> dict[str, object]:
    return {
        "filepath": "/project/shapes.py",
        "language": "python",
        "text": text,
        "position": position,
        "manually": True,
    }


def show_and_select(agent: Agent) -> tuple[str, str]:
    """Complete, tell what became of it; return the completion's id and the text with it."""
    assert agent.call("initialize", {"clientProperties": {"session": {"client": "vim"}}})
    assert agent.call("getStatus") == "ready"
    text = BEFORE + AFTER
    reply = agent.call("provideCompletions", completion_request(text, len(BEFORE)))
    (choice,) = reply["choices"]
    replaced = choice["replaceRange"]
    about = {"completion_id": reply["id"], "choice_index": choice["index"], "view_id": "v1"}
    for kind in ("view", "select", "dismiss"):
        assert agent.call("postEvent", {"type": kind, **about})
    whole = text[: replaced["start"]] + choice["text"] + text[replaced["end"] :]
    return reply["id"], whole


def test_shown_accepted_and_dismissed_reach_the_event_log(home: Path, scripted: Scripted) -> None:
    with running_agent(home) as agent:
        request_id, whole = show_and_select(agent)
        model = agent.call("getServerHealthState")["model"]
    assert whole == WHOLE
    assert model == scripted.generator.models[0].model_id
    kinds = [(event.request_id, event.kind) for event in scripted.store.events]
    assert kinds == [(request_id, kind) for kind in ("shown", "accepted", "rejected")]


def test_a_server_that_is_gone_is_a_status(home: Path) -> None:
    """So "ready", above, is our server's doing."""
    write_config(home, "http://127.0.0.1:9")
    with running_agent(home) as agent:
        agent.call("initialize", {})
        assert agent.call("getStatus") == "disconnected"
