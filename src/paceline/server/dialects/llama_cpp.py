"""llama.cpp's server, as llama.vim and llama.vscode speak it: `/infill`, `/props`, `/slots`.

`/infill` is served by the completion brain. The cursor stands between `input_prefix` + `prompt` and
`input_suffix`. The reply is compact JSON: llama.vim looks for `"content":"` and silently ignores a space after
the colon. `n_predict` 0 warms the cache: the prompt is computed, where nothing else waits, and the answer is
empty; the limits of time that clients send with it (llama.vim: 1 ms) are not meant for that work. Temperature
is 0 unless the client sets it, and only then are top_k, top_p and min_p read.

Time: `t_max_prompt_ms` + `t_max_predict_ms` is the limit of the whole request; what is there by then is the
completion, nothing if the prompt took it all. What the prompt does not need is left to the answer.

Several completions (`n_cmpl` above 1) come as a list, as llama.cpp sends them. More than one is computed only
if `trigger` is `invoked`: with each key it would cost threefold. Where one is all there is, it is no list,
whatever was asked: llama.vscode asks for 3 with each key, takes either, but finds no text in the list that answers
its own request ahead.

Beyond the protocol: the request may name the file, a `trigger` and a `mode` (else the brain decides), and a
`session_id` with a `document_id`, whose newest request supersedes older ones; the reply has `paceline` with
the request's id for `paceline why`, and the reason why nothing is shown. The protocol can only insert, so a
completion that takes the place of text after the cursor is cut to what can be inserted before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from paceline import __version__
from paceline.server.caller import caller_of, note_usage
from paceline.server.context import ServerContext
from paceline.server.dialects.llama_cpp_notes import NOTES
from paceline.server.dialects.llama_cpp_params import to_request
from paceline.server.dialects.llama_cpp_raw import add_raw_routes
from paceline.server.dialects.llama_cpp_reply import compact, select_fields, to_replies
from paceline.server.dialects.llama_cpp_types import (
    GenerationSettings,
    InfillReply,
    InfillRequest,
    PropsReply,
    Selected,
    SlotReply,
)
from paceline.server.errors import ErrorBody
from paceline.server.openapi import STREAMED
from paceline.server.streaming import SseResponse, run_while_connected

__all__ = ["NOTES", "create_llama_router"]

T = TypeVar("T")


class _Slot:
    """Counts what runs, for GET /slots."""

    def __init__(self) -> None:
        self.num_running = 0

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, counted."""
        self.num_running += 1
        try:
            return await work
        finally:
            self.num_running -= 1


def create_llama_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    service, generator = server.service, server.generator
    router = APIRouter(tags=["llama.cpp"], responses={"4XX": {"model": ErrorBody}})
    slot = _Slot()

    @router.post(
        "/infill",
        response_model=InfillReply | list[InfillReply] | Selected | list[Selected],
        responses=STREAMED,
    )
    async def infill(body: InfillRequest, request: Request) -> Response:
        """Complete code at a cursor; the text is post-processed and ready to show."""
        models = generator.models
        asked = to_request(body, caller_of(request), models)
        answer = service.warm if body.n_predict == 0 else service.complete
        work = slot.run(answer(asked))
        completion = await run_while_connected(request.receive, work)
        note_usage(
            request,
            prompt_tokens=completion.prompt_tokens - completion.cached_tokens,
            num_tokens=completion.num_tokens,
        )
        by_name = {info.model_id: info.context_tokens for info in models}
        found = to_replies(completion, body, by_name.get(completion.model_id, 0))
        replies = [reply.model_dump() for reply in found]
        if body.stream:
            return SseResponse(_events(replies, body.response_fields))
        selected = [select_fields(reply, body.response_fields) for reply in replies]
        return JSONResponse(selected if len(selected) > 1 else selected[0])

    @router.get("/props")
    async def props() -> PropsReply:
        """What is served. It cannot be changed: POST is refused."""
        info = generator.models[0]
        return PropsReply(
            default_generation_settings=GenerationSettings(n_ctx=info.context_tokens),
            model_alias=info.model_id,
            model_path=info.model_id,
            build_info=f"paceline {__version__}",
        )

    @router.get("/slots")
    async def slots() -> list[SlotReply]:
        """Is anything being computed? Without prompts: they are other people's code."""
        context_tokens = generator.models[0].context_tokens
        return [SlotReply(n_ctx=context_tokens, is_processing=slot.num_running > 0)]

    add_raw_routes(router, server)
    return router


async def _events(
    replies: list[dict[str, Any]], fields: list[str] | None
) -> AsyncGenerator[str, None]:
    """Each text in one piece, because post-processing may still cut it, then the figures."""
    for reply in replies:
        if reply["content"]:
            yield compact(reply | {"stop": False}, ["index", "content", "stop"])
    for reply in replies:
        yield compact(reply | {"content": ""}, fields)
