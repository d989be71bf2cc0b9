"""A local model as a TextGenerator: text in, prompt ids to the engine, ids back to text.

    parts ──prompt.fim──> ids ──heal──> TokenEngine ──> ids ──LiveText──> text ──> one or more readers

The engine knows no text and the callers know no ids; both meet only here. Here it is also decided
whether a keystroke needs a new sequence: not if a running one already writes what was typed. A new one
is told what was written lately at this place, and verifies those guesses many at a time.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from paceline.artifacts.registry import read_model_folder
from paceline.core.errors import (
    EmptyPromptError,
    InputError,
    PromptTooLongError,
    UnknownModelError,
)
from paceline.engine.config import EngineConfig
from paceline.engine.engine import TokenEngine
from paceline.engine.executors import open_executor
from paceline.engine.lora_file import load_adapter
from paceline.engine.observe.observer import metrics_text, trace_of
from paceline.engine.params import SamplingParams
from paceline.engine.sequence import Lane, SessionKey, SubmitOptions
from paceline.fleet.chunks import ChunkAssembler, TextStop
from paceline.fleet.folder import OpenedModel, open_model
from paceline.fleet.healing import Healing, TokenTable, heal
from paceline.fleet.live import DivergedError, LiveText
from paceline.fleet.observe import open_observer
from paceline.fleet.recents import Recents
from paceline.generate.types import (
    GenerateParams,
    ModelInfo,
    PromptParts,
    TextChunk,
    TextScore,
)
from paceline.prompt.fim import (
    FimTemplate,
    fim_ids,
    render_fim,
    render_plain,
    stop_token_ids,
    template_for,
)

MIN_PROMPT_TOKENS = 4
"""Three sentinels and one token of text."""
MAX_SESSIONS = 4096

_UNSHARED = {"session": None, "stop_when": None, "max_latency_ms": None}
"""Parameters that may differ between requests which one sequence answers."""


class LocalGenerator:
    """One model on this machine, with any number of adapters. Implements TextGenerator and TextScorer."""

    def __init__(
        self,
        opened: OpenedModel,
        engine: TokenEngine,
        *,
        model_id: str,
        template: FimTemplate | None = None,
    ) -> None:
        self.engine = engine
        self._config = opened.model.config
        self._tokenizer = opened.tokenizer
        self._template = template or template_for(opened.tokenizer)
        self._ids = fim_ids(opened.tokenizer, self._template)
        self._table = TokenTable(opened.tokenizer)
        padding = range(opened.tokenizer.vocab_size, opened.model.config.vocab_size)
        self._stop_ids = stop_token_ids(opened.tokenizer, self._template) | frozenset(padding)
        self._info = _describe(opened, model_id, engine.context_tokens)
        self.device_line = engine.device_line
        """What computes, in words."""
        self._adapters: dict[str, int] = {}
        self._live: dict[SessionKey, LiveText] = {}
        self._newest: dict[SessionKey, int] = {}
        """Number of the newest request of each session."""
        self._num_requests = 0
        self._recents = Recents()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        model_id: str,
        engine_config: EngineConfig,
        template: FimTemplate | None = None,
    ) -> LocalGenerator:
        """Open a model folder and start its engine.

        Raises:
            CheckpointError: the folder cannot be used; the message names the file.
        """
        opened = open_model(folder)
        executor = open_executor(opened.model, engine_config)
        observer = open_observer(model_id, opened.model.config, executor)
        engine = TokenEngine(executor, engine_config, observer=observer)
        return cls(opened, engine, model_id=model_id, template=template)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The base model first, then an entry for each adapter, `model:adapter`."""
        base = self._info
        named = (replace(base, model_id=name) for name in self._adapters)
        return (base, *named)

    def load_adapter(self, folder: Path, *, name: str) -> str:
        """Load a LoRA folder, as PEFT writes it, while serving; return the model_id that it is asked by.

        Raises:
            AdapterError: it is damaged, or made for another base model.
        """
        lora = load_adapter(folder, self._config, name=name)
        model_id = f"{self._info.model_id}:{name}"
        self._adapters[model_id] = self.engine.load_adapter(lora)
        return model_id

    def unload_adapter(self, name: str) -> None:
        """Unload an adapter; its requests are cancelled. Harmless if there is none of that name."""
        self._adapters.pop(f"{self._info.model_id}:{name}", None)
        self.engine.unload_adapter(name)

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Continue `parts`; see TextGenerator. Closing the generator cancels the sequence."""
        model_id = model_id or self._info.model_id
        if model_id not in (self._info.model_id, *self._adapters):
            known = tuple(info.model_id for info in self.models)
            raise UnknownModelError(model_id=model_id, known=known)
        deadline_s = self._deadline_s(params)
        key = _session_key(model_id, params)
        number = self._count(key)
        live, typed = self._join(parts, params, model_id, deadline_s)
        try:
            async with aclosing(live.follow(typed)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except DivergedError:
            if key is not None and self._newest.get(key) != number:
                yield TextChunk(text="", finish_reason="superseded")
                return
            live = self._start(parts, params, model_id, deadline_s)
            async with aclosing(live.follow("")) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            if parts.prompt_ids is None:
                self._forget(key, live)
                if params.lane == "interactive":
                    at = live.parts
                    self._recents.remember(params.user_id, at.prefix, at.suffix or "", live.text)

    def _join(
        self, parts: PromptParts, params: GenerateParams, model_id: str, deadline_s: float
    ) -> tuple[LiveText, str]:
        """The running text of the same document, if it writes what was typed since; else a new one."""
        live = self._latest(params, model_id)
        if live is not None:
            live.poll()
        is_plain = params.temperature == 0 and params.num_top_logprobs is None
        if live is not None and live.can_be_joined and is_plain:
            typed = live.typed_since(parts, self._tokenizer.decode)
            is_alike = replace(params, **_UNSHARED) == replace(live.params, **_UNSHARED)
            if (
                is_alike
                and typed is not None
                and live.agrees(typed)
                and self.engine.extend(live.stream.sequence_id, deadline_s)
            ):
                return live, typed
        return self._start(parts, params, model_id, deadline_s), ""

    def _start(
        self, parts: PromptParts, params: GenerateParams, model_id: str, deadline_s: float
    ) -> LiveText:
        """Submit a new sequence; an older one of the session is superseded."""
        options = SubmitOptions(
            lane=Lane.BATCH if params.lane == "batch" else Lane.INTERACTIVE,
            user=params.user_id,
            session=_session_key(model_id, params),
            deadline_s=deadline_s,
            adapter=self._adapters.get(model_id, 0),
        )
        self.engine.refuse_if_full(options)  # before tokenizing, which takes longer
        if parts.prompt_ids is not None:
            rendered = self._check_ids(parts.prompt_ids, params.max_tokens)
            prompt_ids, healing = rendered, None
        else:
            rendered = self._render(parts, params.max_tokens, params.max_prompt_tokens)
            prompt_ids, healing = self._heal(parts, rendered)
        num_healed_chars = len(healing.word) if healing else 0
        sampling = SamplingParams(
            max_tokens=params.max_tokens + (len(healing.word.encode()) if healing else 0),
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            stop_ids=frozenset() if params.is_end_ignored else self._stop_ids,
            seed=params.seed,
            guide=healing,
            num_top_logprobs=params.num_top_logprobs or 0,
            stop=self._text_stop(params, num_healed_chars),
        )
        guesses = self._guesses(parts, params, model_id, healing.word if healing else "")
        assembler = ChunkAssembler(
            self._tokenizer.decode,
            params.stop,
            is_text=self._is_text,
            num_skipped_chars=num_healed_chars,
            is_detailed=params.num_top_logprobs is not None,
        )
        live = LiveText(
            parts,
            params,
            self.engine.submit(prompt_ids, sampling, replace(options, guesses=guesses)),
            assembler,
            prompt_tokens=len(rendered),
        )
        if options.session is not None:
            self._keep(options.session, live)
        return live

    def _count(self, key: SessionKey | None) -> int:
        """Number a request: one that has to start over must not take the place of a newer one."""
        self._num_requests += 1
        if key is not None:
            self._newest.pop(key, None)
            self._newest[key] = self._num_requests
            if len(self._newest) > MAX_SESSIONS:
                del self._newest[next(iter(self._newest))]
        return self._num_requests

    def _keep(self, key: SessionKey, live: LiveText) -> None:
        self._live.pop(key, None)
        self._live[key] = live
        if len(self._live) > MAX_SESSIONS:
            del self._live[next(iter(self._live))]

    def _forget(self, key: SessionKey | None, live: LiveText) -> None:
        """Let go of a text that no later request can join; its prompt may be large."""
        if key is not None and self._live.get(key) is live and not live.can_be_joined:
            del self._live[key]

    def _deadline_s(self, params: GenerateParams) -> float:
        if params.max_latency_ms is None:
            return math.inf
        return self.engine.now_s() + params.max_latency_ms / 1000

    def _text_stop(self, params: GenerateParams, num_skipped_chars: int) -> TextStop | None:
        if not params.stop and params.stop_when is None:
            return None
        return TextStop(
            self._tokenizer.decode,
            params.stop,
            params.stop_when,
            is_text=self._is_text,
            num_skipped_chars=num_skipped_chars,
        )

    def _is_text(self, token_id: int) -> bool:
        return bool(self._table.bytes_of(token_id))

    def _latest(self, params: GenerateParams, model_id: str) -> LiveText | None:
        """The newest text of the same session, running or done."""
        key = _session_key(model_id, params)
        return self._live.get(key) if key else None

    def _guesses(
        self, parts: PromptParts, params: GenerateParams, model_id: str, word: str
    ) -> tuple[tuple[int, ...], ...]:
        """Ids of what was written here lately, beginning with the healed word."""
        if parts.prompt_ids is None:
            texts = self._recents.guesses(params.user_id, parts.prefix, parts.suffix or "")
        else:
            live = self._latest(params, model_id)
            typed = live.typed_since(parts, self._tokenizer.decode) if live else None
            is_typed = live is not None and typed is not None and live.text.startswith(typed)
            texts = [live.text[len(typed) if is_typed and typed else 0 :]] if live else []
        return tuple(tuple(self._tokenizer.encode(word + text)) for text in texts)

    def _check_ids(self, prompt_ids: tuple[int, ...], max_tokens: int) -> list[int]:
        if len(prompt_ids) + max_tokens > self._info.context_tokens:
            raise PromptTooLongError(
                prompt_tokens=len(prompt_ids),
                max_tokens=max_tokens,
                context_tokens=self._info.context_tokens,
            )
        return list(prompt_ids)

    def _heal(self, parts: PromptParts, prompt_ids: list[int]) -> tuple[list[int], Healing | None]:
        """Take a half-typed word back, if the prompt ends with the text before a cursor."""
        is_last = parts.suffix is not None and self._template.order == "spm"
        if not (is_last and self._template.is_healed):
            return prompt_ids, None
        return heal(prompt_ids, parts.prefix, self._tokenizer, self._table)

    def score(self, parts: PromptParts, continuation: str) -> TextScore:
        """Return the bits of `continuation`; blocks, so not for asyncio code. See TextScorer.

        Unlike `stream`, plain parts with an empty prefix are allowed: a document from its start.
        """
        ids = self._tokenizer.encode(continuation)
        if not ids:
            return TextScore(bits=0.0, num_bytes=0, num_tokens=0)
        if parts.suffix is None and not parts.prefix:
            prompt_ids = [self._ids.end]
        else:
            prompt_ids = self._render(parts, len(ids), None)
        logprob = self._score(parts, prompt_ids, ids, continuation)
        return TextScore(
            bits=-logprob / math.log(2),
            num_bytes=len(continuation.encode("utf-8")),
            num_tokens=len(ids),
        )

    def _score(
        self, parts: PromptParts, prompt_ids: list[int], ids: list[int], continuation: str
    ) -> float:
        """Natural log-probability of `continuation` under the decoder that `stream` uses.

        A healed decoder may spell the half-typed word and what follows in many ways; two are summed, as
        one text in one go and cut at the cursor, so the result is never too high.
        """
        start, healing = self._heal(parts, prompt_ids)
        if healing is None:
            return sum(self.engine.score(prompt_ids, ids))
        at_cursor = [*prompt_ids[len(start) :], *ids]
        spellings = {tuple(at_cursor), tuple(self._tokenizer.encode(healing.word + continuation))}
        logprobs = [sum(self.engine.score(start, spelling, healing)) for spelling in spellings]
        most = max(logprobs)
        return most + math.log(sum(math.exp(logprob - most) for logprob in logprobs))

    def metrics_text(self) -> str:
        """Figures in Prometheus' text format; see Observed."""
        return metrics_text([self.engine.observer] if self.engine.observer else [])

    def trace(self, seconds: float) -> dict[str, Any]:
        """The last seconds in Chrome's trace format; see Observed."""
        return trace_of([self.engine.observer] if self.engine.observer else [], seconds)

    def close(self) -> None:
        """Stop the engine; open streams end as cancelled."""
        self.engine.close()

    def _render(
        self, parts: PromptParts, max_tokens: int, max_prompt_tokens: int | None
    ) -> list[int]:
        """Prompt ids that leave room for `max_tokens`, or the error that says why not."""
        context_tokens = self._info.context_tokens
        if not parts.prefix and not parts.suffix:
            raise EmptyPromptError
        if max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, not {max_tokens}.")
        room = context_tokens - max_tokens - 1
        if room < MIN_PROMPT_TOKENS:
            raise InputError(
                f"max_tokens is {max_tokens}, which leaves no room for a prompt in the context "
                f"window of {context_tokens} tokens; lower max_tokens."
            )
        if parts.is_truncatable:
            budget = room if max_prompt_tokens is None else min(room, max_prompt_tokens)
            if budget < MIN_PROMPT_TOKENS:
                raise InputError(f"max_prompt_tokens must be at least {MIN_PROMPT_TOKENS}.")
            return self._render_within(parts, budget)
        prompt_ids = self._render_within(parts, _upper_bound_tokens(parts))
        if len(prompt_ids) > room:
            raise PromptTooLongError(
                prompt_tokens=len(prompt_ids), max_tokens=max_tokens, context_tokens=context_tokens
            )
        return prompt_ids

    def _render_within(self, parts: PromptParts, budget: int) -> list[int]:
        if parts.suffix is None:
            return render_plain(
                parts.prefix,
                self._tokenizer,
                self._ids,
                max_prompt_tokens=budget,
                is_truncatable=parts.is_truncatable,
            )
        return render_fim(
            parts.prefix,
            parts.suffix,
            self._tokenizer,
            self._ids,
            self._template,
            max_prompt_tokens=budget,
            snippets=parts.snippets,
            path=parts.path,
            project=parts.project,
        )


def _upper_bound_tokens(parts: PromptParts) -> int:
    """More tokens than these parts can have (a token is at least a byte); then nothing is cut."""
    texts = [parts.prefix, parts.suffix or "", parts.path, parts.project, "sentinels"]
    for snippet in parts.snippets:
        texts += [snippet.path, snippet.text, "sentinels"]
    return 2 * sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + 64


def _session_key(model_id: str, params: GenerateParams) -> SessionKey | None:
    """A session is one user's, whatever others call theirs."""
    if params.session is None:
        return None
    session_id = "\0".join((model_id, params.user_id, params.session.session_id))
    return SessionKey(session_id, params.session.document_id)


def _describe(opened: OpenedModel, model_id: str, context_tokens: int) -> ModelInfo:
    created_at_s = opened.manifest.created_at_s if opened.manifest else 0
    folder = read_model_folder(opened.folder)
    return ModelInfo(
        model_id=model_id,
        context_tokens=context_tokens,
        num_parameters=opened.model.config.num_parameters,
        path=str(opened.folder),
        created_at_s=created_at_s,
        license=folder.license,
        languages=folder.languages,
    )
