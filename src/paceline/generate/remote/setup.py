"""Settings of an upstream, and what is known of it, to a RemoteGenerator."""

from __future__ import annotations

import re
from typing import Literal, Protocol

import msgspec

from paceline.core.errors import ConfigError
from paceline.generate.remote.address import Address, parse_address
from paceline.generate.remote.connection import Connection
from paceline.generate.remote.errors import TOKEN_VARIABLE
from paceline.generate.remote.generator import DEFAULT_MAX_RUNNING, RemoteGenerator
from paceline.generate.remote.llama_cpp import LlamaCppDialect
from paceline.generate.remote.ollama import OllamaDialect
from paceline.generate.remote.openai import OpenAiDialect
from paceline.generate.remote.probe import FoundModel, FoundServer, Kind, probe
from paceline.generate.remote.types import Dialect, PromptForm, PromptRenderer, RemoteModel

KindName = Literal["auto", "openai", "vllm", "sglang", "llama.cpp", "ollama"]
FimName = Literal["template", "suffix", "infill"]

DEFAULT_CONTEXT_TOKENS = 4096
"""Of a model whose server does not tell; every model for code has that much."""
MIN_CONTEXT_TOKENS = 64
NO_TEMPLATE = "none"
OWN_FAMILY = "paceline"


class RendererFactory(Protocol):
    """Makes the renderer of one model. The composition root has one."""

    def __call__(
        self, model_name: str, form: PromptForm, *, is_begin_written: bool
    ) -> PromptRenderer:
        """
        Raises:
            ConfigError: the form needs a template, and the name does not tell which.
        """
        ...


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which server is asked, and how."""

    url: str
    kind: KindName = "auto"
    model: str | None = None
    """A name in the server's list; None takes the only one."""
    template: str | None = None
    """A family of FIM templates, or `none` for left-to-right; None guesses by the model's name."""
    fim: FimName | None = None
    """Who puts the sentinels: we (template), or the server (suffix, infill); None: what suits the kind."""
    context_tokens: int | None = None
    """Window to use; None: what the server tells."""
    max_running: int = DEFAULT_MAX_RUNNING
    """Requests that the server gets at once."""

    def __post_init__(self) -> None:
        if self.context_tokens is not None and self.context_tokens < MIN_CONTEXT_TOKENS:
            raise ConfigError(f"context_tokens must be at least {MIN_CONTEXT_TOKENS}.")
        if self.max_running < 1:
            raise ConfigError("max_running must be at least 1.")
        if self.fim == "infill" and self.kind not in ("auto", "llama.cpp"):
            raise ConfigError("Only llama.cpp has /infill; use --fim template or --fim suffix.")


def open_remote(
    config: UpstreamConfig, make_renderer: RendererFactory, *, token: str = ""
) -> RemoteGenerator:
    """Ask the server what it is, and return it as a TextGenerator; nothing stays connected.

    Raises:
        ConfigError: the address is none, several models are there to choose from, none fits `--model`, or
            its template is not known.
        UpstreamError, UpstreamBusyError: the server cannot be asked now.
    """
    address = parse_address(config.url)
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{TOKEN_VARIABLE} holds what is no token: a line break, or no ASCII.")
    found = probe(address, kind=None if config.kind == "auto" else config.kind, token=token)
    chosen = choose_models(found, config.model)
    forms: dict[str, PromptForm] = {
        each.name: _form(found, each, config, make_renderer) for each in chosen
    }
    models = [
        RemoteModel(
            model_id=shown_id(each.name),
            upstream_name=each.name,
            context_tokens=config.context_tokens or each.context_tokens or DEFAULT_CONTEXT_TOKENS,
            renderer=make_renderer(
                each.base or each.name, forms[each.name], is_begin_written=found.kind == "vllm"
            ),
            created_at_s=each.created_at_s,
        )
        for each in chosen
    ]
    first = models[0]
    return RemoteGenerator(
        Connection(address, token=token, max_connections=config.max_running),
        _dialect(found, address, models),
        models,
        device_line=f"{found.title} at {address}, prompts by {forms[first.upstream_name]}, "
        f"window of {first.context_tokens} tokens",
        max_running=config.max_running,
    )


def choose_models(found: FoundServer, name: str | None) -> tuple[FoundModel, ...]:
    """The model of that name, or the only one there is, and the adapters of it that the list has.

    Raises:
        ConfigError: there is no such model, or several; the message lists them.
    """
    names = ", ".join(model.name for model in found.models[:20])
    if name is None:
        bases = [model for model in found.models if not model.base]
        if len(bases) != 1:
            what = f"has several models ({names})" if bases else "lists no model"
            raise ConfigError(f"The upstream server {what}; choose one with --model.")
        chosen = bases[0]
    else:
        fits = [model for model in found.models if name in (model.name, shown_id(model.name))]
        if not fits and found.models:
            raise ConfigError(f"The upstream server has no model {name!r}; its models are {names}.")
        chosen = fits[0] if fits else FoundModel(name=name)
    adapters = (model for model in found.models if model.base and model.base == chosen.name)
    return (chosen, *adapters)


def shown_id(name: str) -> str:
    """How clients name a model: files, which llama.cpp calls its models by, without folder and ending."""
    is_file = name.lower().endswith(".gguf")
    return re.split(r"[/\\]", name)[-1][: -len(".gguf")] if is_file else name


def _form(
    found: FoundServer, model: FoundModel, config: UpstreamConfig, make_renderer: RendererFactory
) -> PromptForm:
    """Who fills in the middle: as the settings say, else as suits the server and the model."""
    if config.template == NO_TEMPLATE:
        return "plain"
    if config.fim is not None:
        if config.fim == "infill" and found.kind != "llama.cpp":
            raise ConfigError("Only llama.cpp has /infill; use --fim template or --fim suffix.")
        return "infill" if config.fim == "suffix" and found.kind == "llama.cpp" else config.fim
    if found.kind == "llama.cpp":  # whose /infill knows one order: prefix, suffix, middle
        is_ours = OWN_FAMILY in shown_id(model.name).lower()
        return "template" if config.template is not None or is_ours else "infill"
    if found.is_filling:
        return "suffix"
    if model.can_insert and config.template is None:
        try:
            make_renderer(model.name, "template", is_begin_written=False)
        except ConfigError:
            return "suffix"
    return "template"


def _dialect(found: FoundServer, address: Address, models: list[RemoteModel]) -> Dialect:
    if found.kind == "llama.cpp":
        return LlamaCppDialect(num_slots=found.num_slots, prefix=address.root_path)
    if found.kind == "ollama":
        windows = {model.upstream_name: model.context_tokens for model in models}
        return OllamaDialect(windows, prefix=address.root_path)
    return OpenAiDialect(address.completions_path, flavour=found.kind)


__all__ = ["FimName", "Kind", "KindName", "RendererFactory", "UpstreamConfig", "open_remote"]
