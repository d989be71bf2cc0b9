"""One request on its way: what is known of it, and what is asked of the generator for it. No decisions."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePath

import msgspec

from paceline.complete.cache import Asked, Spot, spot_at
from paceline.complete.config import CompleteConfig
from paceline.complete.ending import Ending
from paceline.complete.failures import contained
from paceline.complete.gate_features import GateFeatures
from paceline.complete.intent import Decision
from paceline.complete.modes import Mode
from paceline.complete.request import Attributed, CompleteRequest
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.complete.session import DocumentState
from paceline.complete.trace import RequestTrace, Stopwatch
from paceline.core.errors import EmptyPromptError
from paceline.core.types import Snippet
from paceline.generate.types import GenerateParams, PromptParts
from paceline.prompt.context.scope import shown_path
from paceline.prompt.context.types import EditorContext
from paceline.prompt.window import text_around


class Ask:
    """A request, its document's state, its trace and its scene."""

    def __init__(
        self,
        request: CompleteRequest,
        state: DocumentState,
        scene: Scene,
        trace: RequestTrace,
        watch: Stopwatch,
    ) -> None:
        self.request, self.state, self.scene = request, state, scene
        self.trace, self.watch = trace, watch
        self.pace = Pace()
        self.decision: Decision | None = None
        self.snippets: tuple[Snippet, ...] = ()
        self.attributions: tuple[Attributed, ...] = ()
        self.first_text_ms: float | None = None
        self.leftovers: list[tuple[Spot, str]] = []
        """What the model wrote beyond the completion, by line (splitter.py)."""
        self.is_prefetch = False
        self.features: GateFeatures | None = None
        """What the gate saw; for fitting it."""

    @property
    def is_free(self) -> bool:
        """Did the client leave the mode to us?"""
        return self.request.mode is None

    @property
    def is_automatic(self) -> bool:
        """Did a key cause it, and nobody ask?"""
        return self.request.trigger == "automatic"

    @cached_property
    def spot(self) -> Spot:
        """Where the cache looks."""
        return spot_at(self.request.cursor)

    @cached_property
    def context(self) -> EditorContext:
        """What the client told, its own snippets together."""
        request = self.request
        if not request.snippets:
            return request.context
        own = (*request.snippets, *request.context.client_snippets)
        return msgspec.structs.replace(request.context, client_snippets=own)

    def asked(self, model_id: str) -> Asked:
        """The key of this request's answers, but for the text."""
        request = self.request
        params = (
            request.max_tokens, request.temperature, request.top_k, request.top_p, request.min_p,
            request.stop, request.seed,
        )  # fmt: skip
        return Asked(
            document_id=self.state.key,
            model_id=model_id,
            mode=self.scene.mode,
            params="" if params == _DEFAULT_PARAMS else repr(params),
        )

    def parts(self, config: CompleteConfig) -> PromptParts:
        """What the model gets to see: text around the cursor, with line feeds alone as line ends.

        Raises:
            EmptyPromptError: there is none.
        """
        if not self.request.cursor.document.text:
            raise EmptyPromptError
        return parts_of(self.request, config, self.snippets, self.state)

    def params(self, config: CompleteConfig, context_tokens: int) -> GenerateParams:
        """How the generator is asked; it stops where the completion is certain to end."""
        ending: Ending | None = None
        with contained(self.trace, "ending"):
            ending = Ending.of(self.scene)

        def is_ended(text: str) -> bool:
            with contained(self.trace, "ending"):
                return ending is not None and ending.certain_end(text) is not None
            return False

        params = params_of(self.request, config, self.scene.mode, context_tokens)
        if (
            self.is_prefetch
        ):  # it must not supersede what the user waits for, nor keep anybody waiting
            params = msgspec.structs.replace(params, session=None, lane="batch")
        return msgspec.structs.replace(params, stop_when=is_ended)


def parts_of(
    request: CompleteRequest,
    config: CompleteConfig,
    snippets: tuple[Snippet, ...],
    state: DocumentState | None = None,
) -> PromptParts:
    """The prompt's parts; with `state`, the far suffix stays as it was while it changes little."""
    prefix, suffix = text_around(
        request.cursor,
        max_prefix_chars=config.max_prefix_chars,
        max_suffix_chars=config.max_suffix_chars,
    )
    if state is not None and config.is_suffix_kept:
        suffix = state.suffix_keeper.keep(suffix)
    return PromptParts(
        prefix=prefix,
        suffix=suffix,
        snippets=snippets,
        path=shown_path(request.cursor.document.path, request.context.workspace_root),
        project=PurePath(request.context.workspace_root).name,
    )


def params_of(
    request: CompleteRequest, config: CompleteConfig, mode: Mode, context_tokens: int
) -> GenerateParams:
    """Everything but `stop_when`."""
    wanted = request.max_tokens or config.max_tokens(mode)
    return GenerateParams(
        max_tokens=min(wanted, context_tokens // 2),
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        stop=request.stop,
        seed=request.seed,
        max_prompt_tokens=config.max_prompt_tokens,
        max_latency_ms=request.max_latency_ms or config.max_latency_ms,
        stop_kind=mode,
        session=request.session,
        user_id=request.user_id,
    )


_DEFAULT_PARAMS = (None, 0.0, None, 1.0, 0.0, (), None)
