"""Asks an upstream server, once and before anything is served, what it is and which models it has.

what tells a kind                                             kind
`owned_by` in /v1/models: vllm, sglang, llamacpp, library     vllm, sglang, llama.cpp, ollama
`default_generation_settings` in /props                       llama.cpp
`version` in /api/version                                     ollama
anything else that has OpenAI's routes                        openai
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Literal, cast

import httpx
import msgspec

from paceline.core.errors import UpstreamError
from paceline.generate.remote.address import Address
from paceline.generate.remote.connection import CONNECT_TIMEOUT_S, headers_of
from paceline.generate.remote.errors import (
    MAX_RETRY_S,
    TOKEN_VARIABLE,
    UpstreamBusyError,
    error_of,
)

Kind = Literal["openai", "vllm", "sglang", "llama.cpp", "ollama"]

PROBE_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 16_000_000
"""No list of models is as long; what is, is none."""
MAX_LISTED_MODELS = 1000
OLLAMA_CONTEXT_TOKENS = 4096
"""What Ollama itself takes by default, however long a window the model has."""

_OWNERS: dict[str, Kind] = {
    "vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp", "library": "ollama",
}  # fmt: skip
_NAMES: dict[Kind, str] = {
    "openai": "an OpenAI-style server",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llama.cpp": "llama.cpp",
    "ollama": "Ollama",
}
_CONTEXT_FIELDS = ("max_model_len", "max_context_length", "context_length", "context_window", "context_tokens", "n_ctx")  # fmt: skip
"""Of a model in OpenAI's list, as vLLM and SGLang, LM Studio, others, Paceline, and (in `meta`) llama.cpp call it."""


class FoundModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the upstream's list."""

    name: str
    context_tokens: int | None = None
    created_at_s: int = 0
    base: str = ""
    """The model that it adapts."""
    can_insert: bool = False
    """Does the server itself fill in the middle with it?"""


class FoundServer(msgspec.Struct, frozen=True, kw_only=True):
    """What answered."""

    kind: Kind
    title: str
    """For people: its name and, if it tells, its version."""
    models: tuple[FoundModel, ...] = ()
    num_slots: int = 1
    is_filling: bool = False
    """Does it take `suffix`, and best so (another Paceline)?"""


class Prober:
    """The questions to one server."""

    def __init__(self, address: Address, *, token: str = "") -> None:
        self._address = address
        self._client = httpx.Client(
            headers=headers_of(token),
            timeout=httpx.Timeout(PROBE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=not address.is_local,
        )

    def find(self, kind: Kind | None) -> FoundServer:
        """Say what the server is; `kind` names what it is known to be.

        Raises:
            UpstreamError: it cannot be reached, refuses to answer, or is not of that kind.
            UpstreamBusyError: it is still loading.
        """
        with self._client:
            listed = self._entries(self._get(self._address.models_path))
            kind = kind or self._kind(listed)
            if kind == "ollama":
                return self._ollama()
            if kind == "llama.cpp":
                return self._llama_cpp(listed)
            return self._openai(kind, listed)

    def _kind(self, listed: list[dict[str, Any]]) -> Kind:
        owner = str(listed[0].get("owned_by", "")) if listed else ""
        if owner in _OWNERS:
            return _OWNERS[owner]
        root = self._address.root_path
        if not listed and "version" in (self._get(f"{root}/api/version") or {}):
            return "ollama"
        is_props = owner != "paceline" and "default_generation_settings" in (
            self._get(f"{root}/props") or {}
        )
        return "llama.cpp" if is_props else "openai"

    def _openai(self, kind: Kind, listed: list[dict[str, Any]]) -> FoundServer:
        is_paceline = bool(listed) and listed[0].get("owned_by") == "paceline"
        title = "Paceline" if is_paceline else _NAMES[kind]
        if kind == "vllm":
            title = self._with_version(title, f"{self._address.root_path}/version")
        return FoundServer(
            kind=kind,
            title=title,
            models=tuple(_openai_model(entry) for entry in listed),
            is_filling=is_paceline or self._address.is_fim_endpoint,
        )

    def _llama_cpp(self, listed: list[dict[str, Any]]) -> FoundServer:
        props = self._get(f"{self._address.root_path}/props") or {}
        settings = _object(props.get("default_generation_settings"))
        context_tokens = _positive(settings.get("n_ctx"))
        alias = str(props.get("model_alias") or "")
        models = tuple(
            FoundModel(
                name=str(entry.get("id", "")),
                context_tokens=context_tokens,
                created_at_s=_positive(entry.get("created")) or 0,
                can_insert=True,
            )
            for entry in listed
        )
        if not models:
            path = re.split(r"[/\\]", str(props.get("model_path") or "model"))[-1]
            name = alias or path
            models = (FoundModel(name=name, context_tokens=context_tokens, can_insert=True),)
        build = str(props.get("build_info") or "")
        return FoundServer(
            kind="llama.cpp",
            title=f"llama.cpp {build}".strip(),
            models=models,
            num_slots=_positive(props.get("total_slots")) or 1,
        )

    def _ollama(self) -> FoundServer:
        root = self._address.root_path
        tags = self._get(f"{root}/api/tags")
        if tags is None:
            raise UpstreamError(
                f"The server at {self._address} does not answer as Ollama does; choose another --kind."
            )
        entries = _objects(tags.get("models"))
        names = [str(entry.get("name", "")) for entry in entries]
        return FoundServer(
            kind="ollama",
            title=self._with_version("Ollama", f"{root}/api/version"),
            models=tuple(self._ollama_model(name) for name in names if name),
        )

    def _ollama_model(self, name: str) -> FoundModel:
        shown = self._post(f"{self._address.root_path}/api/show", {"model": name}) or {}
        info = _object(shown.get("model_info"))
        trained = next(
            (_positive(value) for key, value in info.items() if key.endswith(".context_length")),
            None,
        )
        stated = re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters") or ""), re.MULTILINE)
        wanted = int(stated[1]) if stated else OLLAMA_CONTEXT_TOKENS
        capabilities: Any = shown.get("capabilities")
        is_told = isinstance(capabilities, list)
        return FoundModel(
            name=name,
            context_tokens=min(wanted, trained or wanted),
            can_insert="insert" in capabilities
            if is_told
            else ".Suffix" in str(shown.get("template") or ""),
        )

    def _with_version(self, title: str, path: str) -> str:
        version = (self._get(path) or {}).get("version")
        return f"{title} {version}" if isinstance(version, str) and len(version) < 40 else title

    def _entries(self, listed: dict[str, Any] | None) -> list[dict[str, Any]]:
        return _objects((listed or {}).get("data"))

    def _get(self, path: str) -> dict[str, Any] | None:
        return self._ask("GET", path)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        return self._ask("POST", path, body)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """The JSON object there; None if there is none. Whether the server is there at all shows the first."""
        url = self._address.origin + path
        try:
            with self._client.stream(method, url, json=body) as response:
                content = _read(response)
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            reason = " in time" if isinstance(cause, httpx.TimeoutException) else ""
            raise UpstreamError(
                f"The upstream server at {self._address} does not answer{reason}; start it, or check the address."
            ) from cause
        if response.status_code in (401, 403):
            raise UpstreamError(
                f"The upstream server at {self._address} wants a token (status {response.status_code}); set "
                f"{TOKEN_VARIABLE}."
            )
        if response.status_code in (429, 503):
            error = error_of(response.status_code, response.headers, b"")
            assert isinstance(error, UpstreamBusyError)
            error.args = (
                f"The upstream server at {self._address} is not ready (status {response.status_code}); try "
                f"again in {min(error.retry_after_s, MAX_RETRY_S)} s.",
            )
            raise error
        if response.status_code != 200:
            return None
        try:
            return _object(msgspec.json.decode(content)) or None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def probe(address: Address, *, kind: Kind | None = None, token: str = "") -> FoundServer:
    """Ask the server at `address` what it is. Raises as Prober.find."""
    return Prober(address, token=token).find(kind)


def _read(response: httpx.Response) -> bytes:
    """The body, or nothing if it is too long.

    Raises:
        httpx.ReadTimeout: its end does not come, though something does.
    """
    body, until_s = bytearray(), time.monotonic() + PROBE_TIMEOUT_S
    for raw in response.iter_bytes():
        body += raw
        if len(body) > MAX_ANSWER_BYTES:
            return b""
        if time.monotonic() > until_s:
            raise httpx.ReadTimeout("the answer has no end")
    return bytes(body)


def _openai_model(entry: dict[str, Any]) -> FoundModel:
    told = entry | {"n_ctx": _object(entry.get("meta")).get("n_ctx")}
    context = (_positive(told.get(name)) for name in _CONTEXT_FIELDS)
    return FoundModel(
        name=str(entry.get("id", "")),
        context_tokens=next((value for value in context if value), None),
        created_at_s=_positive(entry.get("created")) or 0,
        base=str(entry.get("parent") or ""),
    )


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [found for item in items[:MAX_LISTED_MODELS] if (found := _object(item))]


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
