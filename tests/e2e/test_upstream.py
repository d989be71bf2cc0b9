"""`paceline upstream` as a process, in front of `paceline serve` with the shipped model, as another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.e2e.server_process import running_server

pytestmark = pytest.mark.e2e

TIMEOUT_S = 60.0

CURSORS = (
    ("import os\n\n\ndef read_lines(path):\n    with open(path) as file:\n        ", "\n"),
    ("def add(a, b):\n    return ", "\n\n\nprint(add(1, 2))\n"),
    ("class Point:\n    def __init__(self, x, y):\n        self.x = x\n        ", "\n"),
    ("for index, name in enumerate(names):\n    pri", "\n"),
    ("import json\n\nwith open('a.json') as file:\n    data = json.lo", "\nprint(data)\n"),
    ("def area(self):\n    return self.width * sel", "\n\n\ndef main():\n    pass\n"),
    ("# naïve ≠ 日本 🙂\ntry:\n    value = int(text)\nexcept Val", "\n    value = 0\n"),
)
"""Text before and after a cursor."""


class Servers(NamedTuple):
    """The server with the model, and those before it."""

    model: httpx.Client
    brain: httpx.Client
    """Asks for the middle by `suffix`."""
    infill: httpx.Client
    """Takes it for a llama.cpp."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with (
        running_server() as url,
        running_server(url, subcommand="upstream") as brain,
        running_server(url, "--kind", "llama.cpp", subcommand="upstream") as infill,
        httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as one,
        httpx.Client(base_url=brain, timeout=TIMEOUT_S, trust_env=False) as two,
        httpx.Client(base_url=infill, timeout=TIMEOUT_S, trust_env=False) as three,
    ):
        yield Servers(one, two, three)


def infill(client: httpx.Client, prefix: str, suffix: str, **more: Any) -> dict[str, Any]:
    body = {"input_prefix": prefix, "input_suffix": suffix, "show_threshold": 0, "filename": "a.py"}
    reply = client.post("/infill", json=body | more)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_completions_are_those_of_the_server_itself(servers: Servers) -> None:
    texts: list[str] = []
    for prefix, suffix in CURSORS:
        itself, through = (infill(client, prefix, suffix) for client in servers[:2])
        assert through["content"] == itself["content"]
        told = ("drop_reason", "mode", "finish_reason")
        assert [through["paceline"][name] for name in told] == [
            itself["paceline"][name] for name in told
        ]
        assert through["tokens_evaluated"] > 0
        texts.append(through["content"])
    assert sum(bool(text) for text in texts) >= len(CURSORS) // 2, texts


def test_raw_text_and_counts_are_those_of_the_server_itself(servers: Servers) -> None:
    for prefix, suffix in CURSORS:
        body = {
            "prompt": prefix,
            "suffix": suffix,
            "max_tokens": 24,
            "temperature": 0,
            "logprobs": 2,
        }
        itself, through = (
            client.post("/v1/completions", json=body).json() for client in servers[:2]
        )
        assert through["usage"] == itself["usage"]
        for name in ("text", "finish_reason", "logprobs"):
            assert through["choices"][0][name] == itself["choices"][0][name]


def test_through_infill_too(servers: Servers) -> None:
    """A smoke test: what answers there is our own brain, which judges before this one does."""
    texts = [infill(servers.infill, prefix, suffix)["content"] for prefix, suffix in CURSORS]
    assert any(texts)


def test_it_says_which_models_there_are(servers: Servers) -> None:
    itself, through = (client.get("/v1/models").json()["data"] for client in servers[:2])
    names = [(one["id"], one["context_tokens"]) for one in itself]
    assert [(one["id"], one["context_tokens"]) for one in through] == names
    assert (
        servers.brain.post("/v1/completions", json={"prompt": "x", "model": "n"}).status_code == 404
    )
