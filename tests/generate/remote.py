"""Remote generators over scripted upstreams, and ways to read their streams."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from paceline.generate.remote.address import parse_address
from paceline.generate.remote.connection import Connection
from paceline.generate.remote.generator import RemoteGenerator
from paceline.generate.remote.llama_cpp import LlamaCppDialect
from paceline.generate.remote.ollama import OllamaDialect
from paceline.generate.remote.openai import OpenAiDialect
from paceline.generate.remote.types import Dialect, RemoteModel, Rendered
from paceline.generate.types import GenerateParams, PromptParts, TextChunk

PARTS = PromptParts(prefix="def area(width, height):\n    return", suffix="\n")
DIALECTS: dict[str, str] = {
    "openai": "/v1/completions",
    "vllm": "/v1/completions",
    "sglang": "/v1/completions",
    "llama.cpp": "/infill",
    "ollama": "/api/generate",
}
"""Kinds of servers, and where each is asked to fill in the middle."""


class TwoTexts:
    """A renderer that cuts to one character a token and puts nothing around the texts."""

    def __init__(self, *, is_in_two: bool = True, stops: tuple[str, ...] = ()) -> None:
        self.is_in_two, self.stops = is_in_two, stops
        self.budgets: list[int | None] = []
        self.learned: list[int] = []

    def render(self, parts: PromptParts, max_prompt_tokens: int | None) -> Rendered:
        self.budgets.append(max_prompt_tokens)
        prefix = parts.prefix if max_prompt_tokens is None else parts.prefix[-max_prompt_tokens:]
        is_in_two = self.is_in_two and parts.suffix is not None
        return Rendered(
            prompt=prefix if is_in_two else f"<PRE>{prefix}<SUF>{parts.suffix}<MID>",
            suffix=parts.suffix if is_in_two else None,
            snippets=parts.snippets if is_in_two else (),
            num_pieces=len(prefix),
            num_tokens=len(prefix),
        )

    def learn(self, rendered: Rendered, prompt_tokens: int) -> None:
        self.learned.append(prompt_tokens)


def dialect_of(kind: str) -> Dialect:
    if kind == "llama.cpp":
        return LlamaCppDialect(num_slots=2)
    if kind == "ollama":
        return OllamaDialect({"m": 1024})
    return OpenAiDialect(flavour=kind if kind in ("vllm", "sglang") else "openai")


def generator_of(url: str, kind: str = "vllm", **options: Any) -> RemoteGenerator:
    """One model, `m`, of a window of 1024 tokens."""
    renderer = options.pop("renderer", None) or TwoTexts()
    model = RemoteModel(model_id="m", upstream_name="m", context_tokens=1024, renderer=renderer)
    connection = Connection(parse_address(url), token=options.pop("token", ""))
    return RemoteGenerator(connection, dialect_of(kind), [model], **options)


async def read(
    generator: RemoteGenerator, params: GenerateParams, parts: PromptParts = PARTS
) -> list[TextChunk]:
    """All chunks of one stream."""
    async with aclosing(generator.stream(parts, params)) as stream:
        chunks = [chunk async for chunk in stream]
    assert [chunk.finish_reason is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]
    return chunks


def text_of(chunks: list[TextChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)
