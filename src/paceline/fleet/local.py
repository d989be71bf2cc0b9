"""A local model as a TextGenerator: text in, prompt ids to the engine, ids back to text.

    parts ──prompt.fim──> ids ──heal──> TokenEngine ──> ids ──Detokeniser──> text ──StopCutter──> chunks

The engine knows no text and the callers know no ids; both meet only here.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from pathlib import Path

from paceline.artifacts.registry import read_model_folder
from paceline.core.errors import (
    CheckpointError,
    EmptyPromptError,
    InputError,
    PromptTooLongError,
    UnknownModelError,
)
from paceline.engine.config import EngineConfig
from paceline.engine.engine import TokenEngine
from paceline.engine.sequence import FinishReason as EngineReason
from paceline.engine.sequence import SamplingParams
from paceline.fleet.chunks import ChunkAssembler
from paceline.fleet.detokenise import Detokeniser
from paceline.fleet.folder import OpenedModel, open_model
from paceline.fleet.healing import Healing, TokenTable, heal
from paceline.generate.types import (
    FinishReason,
    GenerateParams,
    ModelInfo,
    PromptParts,
    TextChunk,
    TextScore,
)
from paceline.prompt.fim import FimTemplate, fim_ids, render_fim, render_plain
from paceline.tokenizer.bpe import Tokenizer
from paceline.tokenizer.specials import FIM_PAD, REPO_NAME, SPECIALS

MIN_PROMPT_TOKENS = 4
"""Three sentinels and one token of text."""

_REASONS: dict[EngineReason, FinishReason] = {
    EngineReason.STOP: "stop",
    EngineReason.LENGTH: "length",
    EngineReason.CANCELLED: "cancelled",
}


class LocalGenerator:
    """One model on this machine. Implements TextGenerator and TextScorer."""

    def __init__(
        self,
        opened: OpenedModel,
        engine: TokenEngine,
        *,
        model_id: str,
        template: FimTemplate = FimTemplate(),
    ) -> None:
        self.engine = engine
        self._tokenizer = opened.tokenizer
        self._template = template
        self._ids = fim_ids(opened.tokenizer)
        self._table = TokenTable(opened.tokenizer)
        self._special_ids = _special_ids(opened.tokenizer)
        padding = range(opened.tokenizer.vocab_size, opened.model.config.vocab_size)
        self._stop_ids = frozenset((*self._ids_that_end(), *padding))
        self._info = _describe(opened, model_id)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        model_id: str,
        engine_config: EngineConfig,
        template: FimTemplate = FimTemplate(),
    ) -> LocalGenerator:
        """Open a model folder and start its engine.

        Raises:
            CheckpointError: the folder cannot be used; the message names the file.
        """
        opened = open_model(folder)
        engine = TokenEngine.for_model(opened.model, engine_config)
        return cls(opened, engine, model_id=model_id, template=template)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The one model."""
        return (self._info,)

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        """Continue `parts`; see TextGenerator. Closing the generator cancels the sequence."""
        if model_id not in (None, self._info.model_id):
            raise UnknownModelError(model_id=model_id or "", known=(self._info.model_id,))
        rendered = self._render(parts, params.max_tokens, params.max_prompt_tokens)
        prompt_ids, healing = self._heal(parts, rendered)
        sampling = SamplingParams(
            max_tokens=params.max_tokens + (len(healing.word.encode()) if healing else 0),
            temperature=params.temperature,
            stop_ids=self._stop_ids,
            seed=params.seed,
            guide=healing,
        )
        assembler = ChunkAssembler(
            Detokeniser(self._tokenizer.decode),
            params.stop,
            prompt_tokens=len(rendered),
            num_skipped_chars=len(healing.word) if healing else 0,
        )
        tokens = self.engine.submit(prompt_ids, sampling)
        try:
            async for token_id, logprob in tokens:
                is_text = token_id not in self._special_ids
                chunk = assembler.add(token_id if is_text else None, logprob)
                if chunk is not None:
                    yield chunk
                if assembler.is_stopped or assembler.num_tokens == params.max_tokens:
                    break
            is_full = assembler.num_tokens == params.max_tokens
            reason = "length" if is_full else _REASONS[tokens.finish_reason or EngineReason.STOP]
            yield assembler.finish(reason)
        finally:
            tokens.cancel()

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
        )

    def _ids_that_end(self) -> set[int]:
        """End of text, and sentinels that only a prompt may hold: the middle is over."""
        ids = self._ids
        named = {ids.end, ids.prefix, ids.suffix, ids.middle, ids.file_sep}
        return named | {
            token_id
            for name in (FIM_PAD, REPO_NAME)
            if (token_id := _find_special(self._tokenizer, name)) is not None
        }


def _find_special(tokenizer: Tokenizer, name: str) -> int | None:
    try:
        return tokenizer.special_id(name)
    except CheckpointError:
        return None


def _special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that are never text, of those that this vocabulary has."""
    found = (_find_special(tokenizer, name) for name in SPECIALS)
    return frozenset(token_id for token_id in found if token_id is not None)


def _upper_bound_tokens(parts: PromptParts) -> int:
    """More tokens than these parts can have (a token is at least a byte); then nothing is cut."""
    texts = [parts.prefix, parts.suffix or ""]
    for snippet in parts.snippets:
        texts += [snippet.path, snippet.text, "sentinels"]
    return 2 * sum(len(text.encode("utf-8")) for text in texts) + 64


def _describe(opened: OpenedModel, model_id: str) -> ModelInfo:
    created_at_s = opened.manifest.created_at_s if opened.manifest else 0
    return ModelInfo(
        model_id=model_id,
        context_tokens=opened.model.config.context_tokens,
        num_parameters=opened.model.config.num_parameters,
        path=str(opened.folder),
        created_at_s=created_at_s,
        license=read_model_folder(opened.folder).license,
    )
