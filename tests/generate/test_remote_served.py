"""The whole server before a scripted upstream: what clients of every kind see of it, on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from paceline.complete.service import Service
from paceline.generate.remote.generator import try_out
from paceline.server.app import create_app
from tests.e2e.app_thread import running_app
from tests.generate.remote import generator_of
from tests.generate.upstreams import Reply, Upstream, json_reply, vllm_stream
from tests.server.http import QUIET

PATIENCE_S = 20.0
HELD = Reply(vllm_stream()[:2], is_held=True)
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/completions", {"prompt": "def f(x):\n    return", "suffix": "\n"}),
    "openai, streaming": ("/v1/completions", {"prompt": "def f(x):\n    return", "stream": True}),
    "llama.cpp": ("/infill", {"input_prefix": "def f(x):\n    return", "input_suffix": "\n"}),
}


async def serve_and(test: Any, route: Reply) -> Upstream:
    """Run `test(client, upstream)` against an app in a thread of its own, before an upstream in this loop."""
    upstream = Upstream({"/v1/completions": Reply(vllm_stream((" x",)))})
    async with asyncio.timeout(PATIENCE_S), upstream.running() as url:
        generator = generator_of(url)
        app = create_app(generator, Service(generator, QUIET))
        running = running_app(app)
        address = await asyncio.to_thread(running.__enter__)
        try:
            upstream.posted.clear()  # the warm-up
            upstream.asked.clear()
            upstream.routes["/v1/completions"] = route
            async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
                await test(client, upstream)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
    return upstream


@pytest.mark.parametrize("name", CALLS)
def test_a_client_that_leaves_is_seen_by_the_upstream(name: str) -> None:
    path, body = CALLS[name]

    async def test(client: httpx.AsyncClient, upstream: Upstream) -> None:
        request = asyncio.create_task(client.post(path, json=body))
        await upstream.asked.wait()
        assert not upstream.left.is_set()
        request.cancel()
        await upstream.left.wait()

    upstream = asyncio.run(serve_and(test, HELD))
    assert len(upstream.posted) == 1


def test_failures_keep_their_status() -> None:
    async def test(client: httpx.AsyncClient, upstream: Upstream) -> None:
        upstream.routes["/v1/completions"] = json_reply({"error": "boom"}, 500)
        for name, (path, body) in CALLS.items():
            reply = await client.post(path, json=body)
            assert reply.status_code == 502, name
            error = reply.json()["error"]
            assert error["message"] == "The upstream server answered with status 500 (boom)."
        upstream.routes["/v1/completions"] = json_reply({}, 429, "Retry-After: 9")
        for path, body in CALLS.values():
            reply = await client.post(path, json=body)
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "9")
        upstream.routes["/v1/completions"] = Reply(vllm_stream())
        for path, body in CALLS.values():
            assert (await client.post(path, json=body)).status_code == 200

    asyncio.run(serve_and(test, HELD))


def test_a_trial_that_fails_tells_why_and_one_that_is_put_off_does_not() -> None:
    async def main() -> None:
        upstream = Upstream({"/v1/completions": json_reply({}, 503)})
        async with upstream.running() as url:
            await try_out(generator_of(url))
            message = {"message": "Infill is not supported by this model", "code": 501}
            upstream.routes["/v1/completions"] = json_reply({"error": message}, 501)
            with pytest.raises(
                Exception, match=r"status 501 \(Infill is not supported by this model"
            ):
                await try_out(generator_of(url))

    asyncio.run(main())
