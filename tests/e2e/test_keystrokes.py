"""Typing against the real server: every keystroke a request, older ones left open, closed, or flooded."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from paceline.artifacts.registry import resolve_model
from tests.e2e.server_process import running_server
from tests.engine.peft_folder import write_adapter

pytestmark = pytest.mark.e2e

FILE = Path(__file__).read_text(encoding="utf-8")
CURSOR = FILE.index("pytestmark") + 40
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The shipped model, as `make serve` starts it."""
    with running_server("--threads", "1") as address:
        yield address


def body(typed: int, **more: object) -> dict[str, object]:
    """What an editor sends after `typed` more characters of this very file."""
    return {
        "input_prefix": FILE[: CURSOR + typed],
        "input_suffix": FILE[CURSOR + 60 :],
        "n_predict": 24,
        "mode": "multi_line",
        **more,
    }


async def complete(client: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    reply = await client.post("/infill", json=fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def figure(url: str, name: str, labels: str = "") -> float:
    """A sample of /metrics; 0 if it is not there."""
    text = httpx.get(f"{url}/metrics", timeout=TIMEOUT_S, trust_env=False).text
    found = re.search(rf"^{re.escape(name)}\{{[^}}]*{labels}[^}}]*\}} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def client_of(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=600)
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False, limits=limits)


def test_overlapping_keystrokes_of_a_session_answer_the_newest_as_if_alone(url: str) -> None:
    async def main() -> None:
        async with client_of(url) as client:
            session = {"session_id": "editor", "document_id": "file"}
            keys: list[asyncio.Task[dict[str, Any]]] = []
            for typed in range(12):
                keys.append(asyncio.create_task(complete(client, **body(typed, **session))))
                await asyncio.sleep(0.03)  # as fast as anybody types; it keeps them in order
            newest = (await asyncio.gather(*keys))[-1]
            alone = await complete(client, **body(11))
            assert newest["content"] == alone["content"]

    asyncio.run(main())


def test_a_repeated_prompt_is_cached_to_its_last_token(url: str) -> None:
    async def main() -> None:
        async with client_of(url) as client:
            await complete(client, **body(3))
            again = await complete(client, **body(3))
            assert again["tokens_cached"] >= again["tokens_evaluated"] - 6

    asyncio.run(main())
    assert figure(url, "vllm:prefix_cache_hits_total") > 0
    assert figure(url, "vllm:spec_decode_num_accepted_tokens_total") > 0


def test_closed_connections_cancel_and_leave_nothing_behind(url: str) -> None:
    async def leave(client: httpx.AsyncClient, number: int) -> None:
        fields = {"prompt": f"def f{number}(", "max_tokens": 400, "temperature": 1, "stream": True}
        fields["ignore_eos"] = True
        async with client.stream("POST", "/v1/completions", json=fields) as reply:
            async for line in reply.aiter_lines():
                if line:
                    break  # the first event is enough

    async def main() -> None:
        async with client_of(url) as client:
            await asyncio.gather(*(leave(client, i) for i in range(20)))
            await complete(client, **body(0))

    asyncio.run(main())
    assert figure(url, "paceline_requests_finished_total", 'reason="cancelled"') > 0
    assert figure(url, "vllm:num_requests_running") == 0
    assert figure(url, "vllm:num_requests_waiting") == 0


def test_a_flood_is_refused_with_a_time_to_wait_and_the_rest_is_answered(url: str) -> None:
    async def one(client: httpx.AsyncClient, number: int) -> httpx.Response:
        fields = {"prompt": f"x{number} = ", "max_tokens": 40, "ignore_eos": True}
        return await client.post("/v1/completions", json=fields)

    async def main() -> list[httpx.Response]:
        async with client_of(url) as client:
            return await asyncio.gather(*(one(client, i) for i in range(500)))

    replies = asyncio.run(main())
    statuses = {reply.status_code for reply in replies}
    assert statuses <= {200, 429}
    for reply in replies:
        if reply.status_code == 429:
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["error"]["code"] == "overloaded"
    assert sum(reply.status_code == 200 for reply in replies) >= 100
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        assert client.post("/infill", json=body(1)).status_code == 200


def test_a_trace_of_the_last_seconds_opens(url: str) -> None:
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
        client.post("/infill", json=body(2))
        reply = client.get("/debug/trace", params={"seconds": 30})
        assert reply.status_code == 200
        events = reply.json()["traceEvents"]
        assert {"plan", "forward", "pick", "commit"} <= {event["name"] for event in events}
        assert FILE[CURSOR - 10 : CURSOR] not in json.dumps(events), "code in a trace"
        assert client.get("/debug/trace", params={"seconds": -1}).status_code == 400


def test_adapters_are_served_as_models(tmp_path: Path) -> None:
    from paceline.model.config_json import read_model_config

    config = read_model_config(resolve_model(None).path)
    folder = write_adapter(tmp_path / "lora", config, ["q_proj", "v_proj", "up_proj"])
    with (
        running_server("--adapter", f"mine={folder}") as address,
        httpx.Client(base_url=address, timeout=TIMEOUT_S, trust_env=False) as client,
    ):
        names = [entry["id"] for entry in client.get("/v1/models").json()["data"]]
        assert len(names) == 2
        assert names[1] == f"{names[0]}:mine"
        answers = [
            client.post(
                "/v1/completions",
                json={"prompt": "import ", "model": name, "temperature": 0, "max_tokens": 12},
            ).json()["choices"][0]["text"]
            for name in names
        ]
        assert answers[0] != answers[1]


def test_other_executors_serve_too() -> None:
    with (
        running_server("--executor", "torch", "--no-speculation", "--kv-cache-mb", "64") as address,
        httpx.Client(base_url=address, timeout=TIMEOUT_S, trust_env=False) as client,
    ):
        assert client.post("/infill", json=body(0)).status_code == 200


def test_cuda_without_a_gpu_is_one_sentence() -> None:
    import sys

    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = subprocess.run(
        [sys.executable, "-m", "paceline.cli.main", "serve", "--port", "0", "--executor", "cuda"],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 2
    assert "no CUDA device" in result.stderr
    assert "Traceback" not in result.stderr
