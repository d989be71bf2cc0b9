"""What is found out about a server before anything is served, and what is made of it."""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import Any

import pytest

from paceline.core.errors import ConfigError, UpstreamError
from paceline.generate.remote.address import parse_address
from paceline.generate.remote.errors import UpstreamBusyError
from paceline.generate.remote.generator import RemoteGenerator
from paceline.generate.remote.probe import FoundModel, FoundServer
from paceline.generate.remote.setup import UpstreamConfig, choose_models, open_remote, shown_id
from paceline.generate.remote.types import PromptForm
from paceline.generate.types import GenerateParams, PromptParts
from tests.generate.remote import PARTS, TwoTexts, read
from tests.generate.upstreams import (
    Posted,
    Reply,
    Route,
    Upstream,
    json_reply,
    llama_cpp_stream,
    ollama_stream,
    vllm_stream,
)

Routes = dict[str, Route | Reply]

QWEN = "Qwen/Qwen2.5-Coder-1.5B"


def listed(owner: str, *models: dict[str, Any]) -> Reply:
    data = [{"object": "model", "created": 1760000000, "owned_by": owner} | each for each in models]
    return json_reply({"object": "list", "data": data})


VLLM: Routes = {
    "/v1/models": listed(
        "vllm",
        {"id": QWEN, "root": QWEN, "parent": None, "max_model_len": 32768},
        {"id": "ours", "root": "/adapters/ours", "parent": QWEN, "max_model_len": 32768},
    ),
    "/version": json_reply({"version": "0.11.0"}),
    "/v1/completions": Reply(vllm_stream()),
}
SGLANG: Routes = {
    "/v1/models": listed("sglang", {"id": QWEN, "root": QWEN, "max_model_len": 4096}),
    "/v1/completions": Reply(vllm_stream()),
}
LLAMA_CPP: Routes = {
    "/v1/models": listed(
        "llamacpp", {"id": "/models/qwen2.5-coder-q8_0.gguf", "meta": {"n_ctx_train": 32768}}
    ),
    "/props": json_reply(
        {
            "default_generation_settings": {"id": 0, "n_ctx": 8192, "params": {}},
            "total_slots": 4,
            "model_path": "/models/qwen2.5-coder-q8_0.gguf",
            "build_info": "b6800-0123abc",
        }
    ),
    "/infill": Reply(llama_cpp_stream()),
    "/completion": Reply(llama_cpp_stream()),
}


def shown(posted: Posted) -> Reply:
    is_base = posted.body["model"].startswith("qwen")
    return json_reply(
        {
            "template": "{{ .Prompt }}",
            "parameters": "stop    \"<|endoftext|>\"\nnum_ctx                        8192",
            "model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768},
            "capabilities": ["completion", "insert"] if is_base else ["completion"],
        }
    )  # fmt: skip


OLLAMA: Routes = {
    "/v1/models": listed("library", {"id": "qwen2.5-coder:1.5b-base"}, {"id": "llama3.2:latest"}),
    "/api/version": json_reply({"version": "0.12.6"}),
    "/api/tags": json_reply(
        {
            "models": [
                {"name": "qwen2.5-coder:1.5b-base", "model": "qwen2.5-coder:1.5b-base"},
                {"name": "llama3.2:latest", "model": "llama3.2:latest"},
            ]
        }
    ),
    "/api/show": shown,
    "/api/generate": Reply(ollama_stream()),
}
PACELINE: Routes = {
    "/v1/models": listed("paceline", {"id": "paceline-python", "context_tokens": 2048}),
    "/props": json_reply({"default_generation_settings": {"n_ctx": 2048}}),
    "/v1/completions": Reply(vllm_stream()),
}


class Renderers:
    """Makes renderers, and refuses templates of models whose name is unknown."""

    def __init__(self) -> None:
        self.made: list[tuple[str, PromptForm, bool]] = []

    def __call__(self, model_name: str, form: PromptForm, *, is_begin_written: bool) -> TwoTexts:
        if form == "template" and "qwen" not in model_name.lower():
            raise ConfigError("unknown family")
        self.made.append((model_name, form, is_begin_written))
        return TwoTexts(is_in_two=form in ("suffix", "infill"))


def opened(
    routes: Routes, *, ask: bool = True, **settings: Any
) -> tuple[RemoteGenerator, Renderers, Upstream]:
    """A generator for a server that is there while it is opened, and for one request after that."""
    upstream, renderers = Upstream(routes), Renderers()
    path = settings.pop("path", "")

    async def main() -> RemoteGenerator:
        async with upstream.running() as url:
            config = UpstreamConfig(url=url + path, **settings)
            generator = await asyncio.to_thread(open_remote, config, renderers, token="secret")
            if ask:
                await read(generator, GenerateParams())
                await generator.aclose()
            return generator

    generator = asyncio.run(main())
    assert all(posted.headers["authorization"] == "Bearer secret" for posted in upstream.posted)
    return generator, renderers, upstream


def test_vllm_with_an_adapter() -> None:
    generator, renderers, upstream = opened(VLLM)
    assert [(m.model_id, m.context_tokens) for m in generator.models] == [
        (QWEN, 32768),
        ("ours", 32768),
    ]
    assert renderers.made == [(QWEN, "template", True), (QWEN, "template", True)]
    assert generator.device_line.startswith("vLLM 0.11.0 at http://127.0.0.1:")
    assert upstream.posted[-1].body["add_special_tokens"] is False
    assert generator.models[0].languages == ()


def test_sglang() -> None:
    generator, renderers, upstream = opened(SGLANG)
    assert generator.models[0].context_tokens == 4096
    assert renderers.made == [(QWEN, "template", False)]
    body = upstream.posted[-1].body
    assert body["skip_special_tokens"] is False
    assert "add_special_tokens" not in body


def test_llama_cpp() -> None:
    generator, renderers, upstream = opened(LLAMA_CPP)
    (model,) = generator.models
    assert (model.model_id, model.context_tokens) == ("qwen2.5-coder-q8_0", 8192)
    assert [form for _, form, _ in renderers.made] == ["infill"]
    assert upstream.posted[-1].path == "/infill"
    assert generator.device_line.startswith("llama.cpp b6800-0123abc at ")
    chosen: tuple[dict[str, Any], ...] = ({"fim": "template"}, {"template": "qwen"})
    for settings in chosen:
        _, renderers, upstream = opened(LLAMA_CPP, **settings)
        assert upstream.posted[-1].path == "/completion"
    _, renderers, upstream = opened(LLAMA_CPP, template="none")
    assert [form for _, form, _ in renderers.made] == ["plain"]


def test_llama_cpp_s_infill_is_not_asked_for_an_order_that_it_lacks() -> None:
    """Ours is trained suffix first; the folder that a file is in says nothing."""
    entry = {"meta": {"n_ctx": 512}}
    for path, form in (("/qwen/paceline-6m.gguf", "template"), ("/paceline/qwen.gguf", "infill")):
        routes = LLAMA_CPP | {"/v1/models": listed("llamacpp", entry | {"id": path})}
        _, renderers, _ = opened(routes)
        assert renderers.made[0][1] == form
    generator, _, _ = opened(
        LLAMA_CPP | {"/v1/models": listed("x", entry | {"id": "qwen"})}, kind="openai", ask=False
    )
    assert generator.models[0].context_tokens == 512


def test_ollama_takes_our_template_for_a_family_that_it_knows() -> None:
    generator, renderers, upstream = opened(OLLAMA, model="qwen2.5-coder:1.5b-base")
    assert generator.models[0].context_tokens == 8192
    assert [form for _, form, _ in renderers.made][-1] == "template"
    body = upstream.posted[-1].body
    assert (body["raw"], body["options"]["num_ctx"]) == (True, 8192)
    _, renderers, upstream = opened(OLLAMA, model="qwen2.5-coder:1.5b-base", fim="suffix")
    assert upstream.posted[-1].body["suffix"] == PARTS.suffix


def test_ollama_with_several_models_must_be_told_which() -> None:
    with pytest.raises(ConfigError, match=r"several models \(qwen2.5-coder:1.5b-base, llama3.2"):
        opened(OLLAMA)
    with pytest.raises(ConfigError, match="unknown family"):
        opened(OLLAMA, model="llama3.2:latest")
    _, renderers, _ = opened(OLLAMA, model="llama3.2:latest", template="none")
    assert renderers.made == [("llama3.2:latest", "plain", False)]


def test_ollama_fills_in_by_itself_with_a_model_whose_family_is_unknown() -> None:
    routes = dict(OLLAMA)
    entry = {"name": "mine:latest"}
    routes["/api/tags"] = json_reply({"models": [entry]})
    routes["/api/show"] = json_reply(
        {"template": "<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>", "model_info": {}}
    )
    generator, renderers, _ = opened(routes)
    assert renderers.made == [("mine:latest", "suffix", False)]
    assert generator.models[0].context_tokens == 4096, "what Ollama loads by default"


def test_another_paceline_fills_in_by_itself() -> None:
    generator, renderers, upstream = opened(PACELINE)
    assert renderers.made == [("paceline-python", "suffix", False)]
    assert generator.models[0].context_tokens == 2048
    assert upstream.posted[-1].body["suffix"] == PARTS.suffix


def test_a_server_without_a_list_of_models() -> None:
    routes: Routes = {"/beta/completions": Reply(vllm_stream())}
    generator, renderers, upstream = opened(routes, path="/beta", model="deepseek-chat")
    assert renderers.made == [("deepseek-chat", "suffix", False)]
    assert generator.models[0].context_tokens == 4096
    assert upstream.posted[-1].body["model"] == "deepseek-chat"
    with pytest.raises(ConfigError, match="lists no model; choose one with --model"):
        opened(routes, path="/beta")


def test_settings_win_over_what_is_found() -> None:
    generator, renderers, upstream = opened(VLLM, context_tokens=2000, kind="openai", fim="suffix")
    assert generator.models[0].context_tokens == 2000
    assert renderers.made[0] == (QWEN, "suffix", False)
    assert "suffix" in upstream.posted[-1].body
    with pytest.raises(ConfigError, match=r"Only llama\.cpp has"):
        opened(VLLM, fim="infill")
    with pytest.raises(ConfigError, match=r"Only llama\.cpp has"):
        UpstreamConfig(url="x", kind="vllm", fim="infill")
    with pytest.raises(ConfigError, match="context_tokens must be at least"):
        UpstreamConfig(url="x", context_tokens=1)
    with pytest.raises(ConfigError, match="max_running"):
        UpstreamConfig(url="x", max_running=0)


def test_servers_that_cannot_be_used_say_why() -> None:
    loading = json_reply({"error": {"message": "Loading model", "code": 503}}, 503)
    with pytest.raises(
        UpstreamBusyError, match=r"is not ready \(status 503\); try again in 1 s"
    ) as busy:
        opened({"/v1/models": loading})
    assert busy.value.exit_code == 7
    with pytest.raises(
        UpstreamError, match=r"wants a token \(status 401\); set PACELINE_UPSTREAM_"
    ):
        opened({"/v1/models": json_reply({}, 401)})
    with pytest.raises(
        UpstreamError, match="does not answer as Ollama does; choose another --kind"
    ):
        opened({}, kind="ollama")
    with pytest.raises(ConfigError, match="has no model 'x'; its models are " + QWEN):
        opened(VLLM, model="x")
    with pytest.raises(
        UpstreamError, match="does not answer; start it, or check the address"
    ) as caught:
        open_remote(UpstreamConfig(url="http://127.0.0.1:9"), Renderers())
    assert caught.value.exit_code == 7


def test_an_endless_list_is_none() -> None:
    with pytest.raises(ConfigError, match="lists no model"):
        opened({"/v1/models": Reply(repeat(b" " * 1_000_000))})


@pytest.mark.parametrize("token", ["a\nb", "schlüssel"])
def test_what_is_no_token_is_not_repeated(token: str) -> None:
    with pytest.raises(
        ConfigError, match="PACELINE_UPSTREAM_TOKEN holds what is no token"
    ) as caught:
        open_remote(UpstreamConfig(url="http://127.0.0.1:9"), Renderers(), token=token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "nonsense", [b"<html>", b"[]", b"{}", b'{"data": 3}', b'{"data": [3, {"id": 5}]}', b"\xff"]
)
def test_nonsense_is_no_list(nonsense: bytes) -> None:
    with pytest.raises(ConfigError, match=r"choose one with --model|unknown family"):
        opened({"/v1/models": Reply((nonsense,))})


def test_a_model_is_found_by_its_short_name() -> None:
    found = FoundServer(
        kind="llama.cpp",
        title="",
        models=(FoundModel(name="/m/a.gguf"), FoundModel(name="C:\\m\\b.GGUF")),
    )
    assert [m.name for m in choose_models(found, "b")] == ["C:\\m\\b.GGUF"]
    assert shown_id("org/name") == "org/name"


@pytest.mark.parametrize(
    ("url", "completions", "models", "root"),
    [
        ("localhost:8000", "/v1/completions", "/v1/models", ""),
        ("http://h:1/", "/v1/completions", "/v1/models", ""),
        ("http://h/v1", "/v1/completions", "/v1/models", ""),
        ("https://h/llm/v1/", "/llm/v1/completions", "/llm/v1/models", "/llm"),
        ("https://h/llm", "/llm/v1/completions", "/llm/v1/models", "/llm"),
        ("https://api.example/beta", "/beta/completions", "/models", ""),
        ("https://h/v1/fim/completions", "/v1/fim/completions", "/v1/models", ""),
        ("https://h/v1/completions", "/v1/completions", "/v1/models", ""),
        ("http://[::1]:8080", "/v1/completions", "/v1/models", ""),
    ],
)
def test_addresses(url: str, completions: str, models: str, root: str) -> None:
    address = parse_address(url)
    assert (address.completions_path, address.models_path, address.root_path) == (
        completions,
        models,
        root,
    )
    assert address.is_local == any(name in url for name in ("localhost", "::1"))


@pytest.mark.parametrize(
    "url", ["", "ftp://h", "http://", "http://h:port", "http://h h", "http://u:p@h", "http://h/?key=1", "http://[::1"]
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="upstream's address must") as caught:
        parse_address(url)
    assert "u:p" not in str(caught.value)


def test_prompts_of_ids_reach_the_server() -> None:
    upstream = Upstream(VLLM)

    async def main() -> None:
        async with upstream.running() as url:
            config = UpstreamConfig(url=url)
            generator = await asyncio.to_thread(open_remote, config, Renderers())
            parts = PromptParts(prefix="", prompt_ids=(5, 6))
            await read(generator, GenerateParams(), parts)
            await generator.aclose()

    asyncio.run(main())
    assert upstream.posted[-1].body["prompt"] == [5, 6]
