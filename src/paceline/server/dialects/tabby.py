"""Tabby, as tabby-agent and Tabby's editor plugins speak it; served by the completion brain.

`POST /v1/completions` with `segments` is Tabby's, without it OpenAI's (completions.py); `POST /v1/events` with
`type` likewise (tabby_events.py). Tabby can only insert, so a completion that takes the place of text after the
cursor is cut to what can be inserted before it. Its plugins abort the HTTP request of a completion that nobody
waits for any more, and that stops the model.

There is no chat, no next edit suggestion, no indexing and no web page here.
"""

from __future__ import annotations

import os
import platform
import uuid

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from paceline import __version__
from paceline.complete.generation import open_stream
from paceline.complete.request import CompleteRequest, Completion, as_insertion
from paceline.core.errors import FieldError
from paceline.core.types import Cursor, Document, Snippet
from paceline.generate.types import GenerateParams, PromptParts, TextGenerator
from paceline.prompt.context.types import EditorContext
from paceline.server.caller import Caller, caller_of, note_usage
from paceline.server.context import ServerContext
from paceline.server.dialects.tabby_events import remember_first_line
from paceline.server.dialects.tabby_types import (
    CompletionModel,
    DebugData,
    LocalModel,
    ModelsHealth,
    Segments,
    SegmentsRequest,
    ServerSetting,
    SnippetOut,
    TabbyChoice,
    TabbyHealth,
    TabbyModels,
    TabbyReply,
    TabbyVersion,
)
from paceline.server.errors import ErrorBody
from paceline.server.fields import MAX_SEED
from paceline.server.streaming import run_while_connected

TABBY_VERSION = "v0.32.0"
"""Whose protocol this is: plugins leave out requests that an older server would not know."""
RAW_MAX_TOKENS = 64
"""As Tabby has it."""
UNKNOWN_DEVICE = "unknown"
"""The server sees generators, not devices."""


def to_request(body: SegmentsRequest, caller: Caller) -> CompleteRequest:
    """Translate a request with `segments`; the document is what the plugin sent around its cursor.

    Raises:
        FieldError: there is no text, or the path cannot be one.
    """
    segments = _segments_of(body)
    suffix = segments.suffix or ""
    if "\0" in (segments.filepath or ""):
        raise FieldError("segments.filepath", "must not hold a NUL character; no path does")
    document = Document(
        path=segments.filepath or "", text=segments.prefix + suffix, language=body.language or ""
    )
    is_bare = _is_retrieval_off(body)
    snippets = [] if is_bare else snippets_of(segments)
    clipboard = "" if is_bare else segments.clipboard or ""
    return CompleteRequest(
        cursor=Cursor(document=document, offset=len(segments.prefix)),
        snippets=tuple(Snippet(path=each.filepath, text=each.body) for each in snippets),
        context=EditorContext(clipboard=clipboard),
        temperature=body.temperature or 0.0,
        seed=None if body.seed is None else body.seed & MAX_SEED,
        user_id=caller.tenant(body.user or ""),
    )


def snippets_of(segments: Segments) -> list[SnippetOut]:
    """The plugin's snippets: declarations, then changed files, then opened ones, each in its order."""
    declared = [
        SnippetOut(filepath=each.filepath, body=each.body, score=1.0)
        for each in segments.declarations or ()
    ]
    others = (
        *(segments.relevant_snippets_from_changed_files or ()),
        *(segments.relevant_snippets_from_recently_opened_files or ()),
    )
    chosen = [
        SnippetOut(filepath=each.filepath, body=each.body, score=each.score) for each in others
    ]
    return [each for each in (*declared, *chosen) if each.body]


async def answer_segments(
    server: ServerContext, body: SegmentsRequest, request: Request
) -> TabbyReply:
    """Answer Tabby's form of POST /v1/completions."""
    if body.mode is not None and body.mode != "standard":
        raise FieldError(
            "mode", "must be 'standard': only completions at the cursor are served here"
        )
    options = body.debug_options
    if options is not None and options.raw_prompt is not None:
        return await _continue_raw(server.generator, body, options.raw_prompt, request)
    asked = to_request(body, caller_of(request))
    completion = await run_while_connected(request.receive, server.service.complete(asked))
    note_usage(
        request,
        prompt_tokens=completion.prompt_tokens - completion.cached_tokens,
        num_tokens=completion.num_tokens,
    )
    text = as_insertion(completion, asked.cursor.suffix)
    remember_first_line(server.service, completion.request_id, text)
    return _reply(completion, text, _debug_data(server, body, asked))


def _segments_of(body: SegmentsRequest) -> Segments:
    segments = body.segments
    if segments is None:
        raise FieldError("segments", "must be an object with `prefix`")
    if not segments.prefix and not segments.suffix:
        raise FieldError("segments.prefix", "is empty, and so is the suffix: send some text")
    return segments


def _is_retrieval_off(body: SegmentsRequest) -> bool:
    options = body.debug_options
    return options is not None and options.disable_retrieval_augmented_code_completion


def _reply(completion: Completion, text: str, debug_data: DebugData | None) -> TabbyReply:
    choice = TabbyChoice(text=text)
    return TabbyReply(id=completion.request_id, choices=[choice], debug_data=debug_data)


def _debug_data(
    server: ServerContext, body: SegmentsRequest, asked: CompleteRequest
) -> DebugData | None:
    """What `debug_options` asks for: the plugin's own snippets, and the prompt with these."""
    options, segments = body.debug_options, body.segments
    if options is None or segments is None:
        return None
    snippets = [] if _is_retrieval_off(body) else snippets_of(segments)
    prompt: str | None = None
    if options.return_prompt:
        parts = server.service.prompt_parts(asked)
        prompt = "\n".join((*(snippet.text for snippet in parts.snippets), parts.prefix))
    return DebugData(snippets=snippets if options.return_snippets else None, prompt=prompt)


async def _continue_raw(
    generator: TextGenerator, body: SegmentsRequest, prompt: str, request: Request
) -> TabbyReply:
    """Raw model output: nothing is chosen, cut or hidden."""
    if not prompt:
        raise FieldError("debug_options.raw_prompt", "is empty: send some text")
    params = GenerateParams(
        max_tokens=RAW_MAX_TOKENS,
        temperature=body.temperature or 0.0,
        seed=None if body.seed is None else body.seed & MAX_SEED,
        user_id=caller_of(request).tenant(body.user or ""),
    )

    async def read() -> tuple[str, int, int]:
        text, num_tokens, prompt_tokens = "", 0, 0
        async with open_stream(generator.stream(PromptParts(prefix=prompt), params)) as stream:
            async for chunk in stream:
                text += chunk.text
                num_tokens += chunk.num_tokens
                prompt_tokens = max(prompt_tokens, chunk.prompt_tokens - chunk.cached_tokens)
        return text, num_tokens, prompt_tokens

    text, num_tokens, prompt_tokens = await run_while_connected(request.receive, read())
    note_usage(request, prompt_tokens=prompt_tokens, num_tokens=num_tokens)
    is_told = body.debug_options is not None and body.debug_options.return_prompt
    debug_data = DebugData(prompt=prompt if is_told else None)
    reply_id = f"cmpl-{uuid.uuid4().hex}"
    return TabbyReply(id=reply_id, choices=[TabbyChoice(text=text)], debug_data=debug_data)


def health_of(generator: TextGenerator) -> TabbyHealth:
    """What plugins want to know of the server."""
    model_id = generator.models[0].model_id
    model = LocalModel(model_id=model_id, device=UNKNOWN_DEVICE)
    return TabbyHealth(
        model=model_id,
        device=UNKNOWN_DEVICE,
        arch=platform.machine(),
        cpu_info=UNKNOWN_DEVICE,
        cpu_count=os.cpu_count() or 1,
        models=ModelsHealth(completion=CompletionModel(local=model)),
        version=TabbyVersion(git_sha=f"paceline-{__version__}", git_describe=TABBY_VERSION),
    )


def create_tabby_router(server: ServerContext) -> APIRouter:
    """Routes of this dialect, but for those that it shares with others."""
    generator = server.generator
    router = APIRouter(tags=["Tabby"], responses={"4XX": {"model": ErrorBody}})

    @router.get("/v1/health")
    @router.post("/v1/health")
    async def tabby_health() -> TabbyHealth:
        """Tabby's plugins ask this before anything else."""
        return health_of(generator)

    @router.get("/v1beta/models")
    async def tabby_models() -> TabbyModels:
        """Names of the models."""
        return TabbyModels(completion=[info.model_id for info in generator.models])

    @router.get("/v1beta/server_setting")
    async def tabby_setting() -> ServerSetting:
        """What the server decides for its plugins: they report to nobody else."""
        return ServerSetting()

    @router.post("/v1beta/ingestion", status_code=501, responses={501: {"model": ErrorBody}})
    async def tabby_ingestion() -> None:
        """Not served: documents reach the model from the editor only."""
        raise HTTPException(
            501, "Nothing is ingested: the editor's own documents and snippets are used."
        )

    return router
