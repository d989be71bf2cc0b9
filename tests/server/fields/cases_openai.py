"""OpenAI: a case for each field that does something."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.dialects.openai_types import CompletionRequest
from tests.fakes import Call, FakeGenerator
from tests.server.fields.harness import FieldCase

BODY: dict[str, Any] = {"prompt": "x = "}
PIECES = ("foo(", "a)", "\n", "y = 1")


class Improving(FakeGenerator):
    """Answer k writes k, more probable than the one before."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        number = len(self.calls)
        self.calls.append(Call(parts=parts, params=params, model_id="fake"))
        yield TextChunk(text=str(number), num_tokens=1, logprob=number - 9.0, finish_reason="stop")


def completion_cases(request: str, path: str | None = None) -> dict[str, FieldCase]:
    """Of the fields that OpenAI's route and the engines share."""

    def case(changes: dict[str, Any], base: dict[str, Any] | None = None, **more: Any) -> FieldCase:
        whole = BODY | (base or {})
        return FieldCase(base=whole, changed=whole | changes, pieces=PIECES, path=path, **more)

    usage = {"stream_options": {"include_usage": True}}
    cases = {
        "prompt": case({"prompt": ["y = ", "z = "]}),
        "model": case({"model": "other"}),
        "suffix": case({"suffix": ""}),
        "max_tokens": case({"max_tokens": 2}),
        "temperature": case({"temperature": 0}),
        "top_p": case({"top_p": 0.5}),
        "top_k": case({"top_k": 5}),
        "min_p": case({"min_p": 0.5}),
        "ignore_eos": case({"ignore_eos": True}),
        "stop": case({"stop": "\n"}),
        "seed": case({"seed": 1}),
        "stream": case({"stream": True}),
        "stream_options.include_usage": case(usage, {"stream": True}),
        "stream_options.include_obfuscation": case(
            {"stream_options": {"include_obfuscation": True}}, {"stream": True}
        ),
        "n": case({"n": 2}),
        "best_of": case({"best_of": 3}, {"n": 2}, generator=Improving),
        "logprobs": case({"logprobs": 1}),
        "echo": case({"echo": True}),
        "user": case({"user": "u"}),
        "session_id": case({"session_id": "s"}),
        "document_id": case({"document_id": "d"}, {"session_id": "s"}),
        "lane": case({"lane": "batch"}),
        "presence_penalty": case({"presence_penalty": 0.5}, {"presence_penalty": 0}),
        "frequency_penalty": case({"frequency_penalty": 0.5}, {"frequency_penalty": 0}),
    }
    return {f"{request} {name}": value for name, value in cases.items()}


MODELS = {"POST /v1/completions": CompletionRequest}

CASES: dict[str, FieldCase] = completion_cases("POST /v1/completions") | {
    "POST /v1/completions logit_bias": FieldCase(
        base=BODY | {"logit_bias": {}}, changed=BODY | {"logit_bias": {"5": 1}}
    ),
    "GET /v1/models/{model_id} {model_id}": FieldCase(
        base=None, changed=None, path="/v1/models/fake", changed_path="/v1/models/other"
    ),
}
