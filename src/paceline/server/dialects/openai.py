"""OpenAI's text completions: raw model output, below the completion brain.

Defaults are OpenAI's: 16 tokens at temperature 1. With `suffix` (even an empty one) the model fills
in the middle; without it, it continues the text. What is not supported is refused by name, never
ignored; fields that neither OpenAI nor CompletionRequest has are ignored. A prompt is never cut to fit, but
one: a prompt without `suffix` that holds some model family's sentinels as text is read as what it means, and its
far ends may be cut, because such a client (Zed, llama.vscode) cannot know this model's window.

The choices of a request, of all its prompts, are streams of the generator, started together: they share its
batches and the cached prompt. Every reply that is not streamed has `usage`, which Zed demands.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from paceline.generate.types import ModelInfo
from paceline.server.caller import caller_of
from paceline.server.context import ServerContext
from paceline.server.dialects.completions import AnyCompletionReply, CompletionBody
from paceline.server.dialects.openai_answer import answer_plan
from paceline.server.dialects.openai_notes import NOTES
from paceline.server.dialects.openai_plan import fit_plan, to_plan
from paceline.server.dialects.openai_prompts import find_model
from paceline.server.dialects.openai_types import EmbeddingsRequest, ModelEntry, ModelList
from paceline.server.dialects.tabby import answer_segments
from paceline.server.dialects.tabby_types import SegmentsRequest
from paceline.server.errors import ErrorBody, error_response
from paceline.server.openapi import STREAMED

__all__ = ["NOTES", "create_openai_router"]

NO_ENCODER = (
    "There are no embeddings here: no encoder is loaded, and this server's models write code; "
    "ask a server that has one."
)


def create_openai_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    generator = server.generator
    router = APIRouter(tags=["OpenAI"], responses={"4XX": {"model": ErrorBody}})

    @router.get("/v1/models")
    async def list_models() -> ModelList:
        """The models that are served; the first is the default."""
        return ModelList(data=[_entry(info) for info in generator.models])

    @router.get("/v1/models/{model_id}")
    async def get_model(model_id: str) -> ModelEntry:
        """One model."""
        return _entry(find_model(generator, model_id))

    @router.post("/v1/completions", response_model=AnyCompletionReply, responses=STREAMED)
    async def complete_text(body: CompletionBody, request: Request) -> Any:
        """Continue a prompt, or fill the middle between prompt and suffix: raw model output.

        With `stream`, the answer is server-sent events: completion objects, then `[DONE]`. A body with
        `segments` is Tabby's, and is answered in its form.
        """
        if isinstance(body, SegmentsRequest):
            return await answer_segments(server, body, request)
        info = find_model(generator, body.model)
        plan = fit_plan(to_plan(body, caller_of(request)), info)
        return await answer_plan(
            generator,
            plan,
            info,
            request,
            is_streamed=bool(body.stream),
            is_usage_sent=bool(body.stream_options and body.stream_options.include_usage),
        )

    @router.post("/v1/embeddings", responses={501: {"model": ErrorBody}})
    async def embed(body: EmbeddingsRequest) -> Response:
        """Not there: no encoder is loaded. A body that is wrong is refused as such."""
        return error_response(501, NO_ENCODER, code="no_encoder")

    return router


def _entry(info: ModelInfo) -> ModelEntry:
    return ModelEntry(
        id=info.model_id,
        created=info.created_at_s,
        context_tokens=info.context_tokens,
        num_parameters=info.num_parameters,
        license=info.license,
    )
