"""Copilot's completion proxy (`/v1/engines/{model}/completions`) and FauxPilot's routes of the same shape.

The generator answers, not the brain: Copilot's clients choose by themselves when to ask, send their own stop
strings, cut what comes while it streams, and show it. So they get raw model output, but for what the proxy
itself is told to do: `extra.context` are snippets, and `extra.trim_by_indentation` ends the answer with the block at
the cursor. Their prompts are made for windows larger than ours, so they are cut at their far ends, not refused.

The name in the path is a model of GET /v1/models, or one of Copilot's and FauxPilot's, which mean the default.
Of the statuses that Copilot's clients know, 401 and 403 (the token), 404 and 429 (limits, and quotas too: 402
would make a client give up until next month) are used; 466 (client too old) never, and 499 is only logged.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import Response
from msgspec.structs import replace

from paceline.core.types import Snippet
from paceline.generate.types import ModelInfo, PromptParts, TextGenerator
from paceline.server.auth.credentials import shown_token
from paceline.server.caller import caller_of
from paceline.server.context import ServerContext
from paceline.server.dialects.engines_endings import Ending, ending_of_block
from paceline.server.dialects.engines_notes import NOTES
from paceline.server.dialects.engines_types import (
    Endpoints,
    EngineExtra,
    EngineRequest,
    TokenReply,
)
from paceline.server.dialects.openai_answer import answer_plan
from paceline.server.dialects.openai_plan import Plan, fit_plan, to_plan
from paceline.server.dialects.openai_prompts import find_model
from paceline.server.dialects.openai_types import CompletionReply
from paceline.server.errors import ErrorBody
from paceline.server.fields import MAX_NAME_CHARS
from paceline.server.openapi import STREAMED

__all__ = ["NOTES", "create_engines_router"]

ENGINES = frozenset(
    (
        "codegen", "copilot-codex", "copilot-centralus-h100", "copilot-nes-v", "cushman-ml", "cushman-ml-ppe",
        "gpt-35-turbo", "gpt-4o-copilot", "gpt-41-copilot", "py-model", "fastertransformer",
    )
)  # fmt: skip
"""Names that Copilot's and FauxPilot's clients have in them; a client cannot be told ours."""
NOBODYS_TOKEN = "paceline"
"""For a client that has shown none: it needs some text, and nobody checks it."""
TOKEN_S = 1800
"""As long as GitHub's are valid; what is given here is as valid as what was shown."""
REFRESH_S = 1500

EngineName = Annotated[str, Path(max_length=MAX_NAME_CHARS, description="A model, or an alias.")]
RequestId = Annotated[str | None, Header(max_length=MAX_NAME_CHARS)]


def create_engines_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect."""
    generator = server.generator
    router = APIRouter(tags=["Copilot"], responses={"4XX": {"model": ErrorBody}})

    @router.post(
        "/v1/engines/{model}/completions", response_model=CompletionReply, responses=STREAMED
    )
    async def complete_text(
        model: EngineName, body: EngineRequest, request: Request, x_request_id: RequestId = None
    ) -> Response:
        """Continue a prompt, or fill the middle between prompt and suffix: raw model output."""
        info = _find_engine(generator, model, body.model)
        plan = fit_plan(_to_plan(body, request), info)
        return await answer_plan(
            generator,
            plan,
            info,
            request,
            is_streamed=bool(body.stream),
            is_usage_sent=bool(body.stream_options and body.stream_options.include_usage),
            ending=_ending_of(body.extra),
            headers={"x-request-id": x_request_id} if x_request_id else None,
        )

    @router.get("/copilot_internal/v2/token")
    async def get_token(request: Request) -> TokenReply:
        """The token that the client has shown, under the name that Copilot's clients expect."""
        base = str(request.base_url).rstrip("/")
        return TokenReply(
            token=shown_token(request.headers) or NOBODYS_TOKEN,
            expires_at=int(time.time()) + TOKEN_S,
            refresh_in=REFRESH_S,
            endpoints=Endpoints(api=base, proxy=base),
        )

    return router


def _find_engine(generator: TextGenerator, engine: str, model_id: str | None) -> ModelInfo:
    """The model that the path names; where that is an alias, the one that the body names, if any.

    Raises:
        UnknownModelError: it is not served.
    """
    is_served = any(info.model_id == engine for info in generator.models)
    if is_served or engine not in ENGINES:
        return find_model(generator, engine)
    return find_model(generator, None if model_id in ENGINES else model_id)


def _to_plan(body: EngineRequest, request: Request) -> Plan:
    """The plan of OpenAI's request, with prompts that may be cut, snippets and the repository's name."""
    plan = to_plan(body, caller_of(request))
    context = (body.extra.context if body.extra else None) or []
    snippets = tuple(Snippet(path="", text=text) for text in context if text)
    project = (body.nwo or "").rpartition("/")[2]

    def with_context(parts: PromptParts) -> PromptParts:
        if parts.prompt_ids is not None:
            return parts
        return replace(
            parts,
            is_truncatable=True,
            snippets=(*parts.snippets, *snippets),
            project=project or parts.project,
        )

    ending = _ending_of(body.extra)
    return plan._replace(
        prompts=tuple(with_context(parts) for parts in plan.prompts),
        params=tuple(
            replace(
                params,
                stop_when=ending.is_over if ending else None,
                stop_kind=_ending_name(body.extra),
            )
            for params in plan.params
        ),
    )


def _ending_of(extra: EngineExtra | None) -> Ending | None:
    """Where the answer ends by indentation, if the client wants that."""
    if extra is None or not extra.trim_by_indentation:
        return None
    return ending_of_block(_indent_of(extra), extra.language or "")


def _ending_name(extra: EngineExtra | None) -> str:
    if extra is None or not extra.trim_by_indentation:
        return ""
    return f"block {_indent_of(extra)} {extra.language or ''}"


def _indent_of(extra: EngineExtra) -> int:
    is_forced = extra.force_indent is not None and extra.force_indent >= 0
    return max((extra.force_indent if is_forced else extra.next_indent) or 0, 0)
