"""From a request to its completion, or to the reason why there is none. service.py draws the stages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from paceline.complete.alternatives import choose, sampling_plan
from paceline.complete.ask import Ask
from paceline.complete.attribution import Attributor, NullAttributor, attribute
from paceline.complete.cache import (
    Answer,
    Asked,
    CacheConfig,
    Choice,
    CompletionCache,
    Hit,
    Spot,
)
from paceline.complete.confidence import Confidence
from paceline.complete.config import CompleteConfig
from paceline.complete.debounce import DebounceConfig, Debouncer
from paceline.complete.failures import INTERNAL_ERROR, contained, note
from paceline.complete.gate import Gate, GateDecision, is_exempt_id
from paceline.complete.gate_features import features_of
from paceline.complete.generation import UNSURE, Progress, generate
from paceline.complete.intent import Decision, decide
from paceline.complete.modes import MODES, Mode
from paceline.complete.notes import candidate_note, snippet_notes
from paceline.complete.postprocess import postprocess
from paceline.complete.prefetch import after_accept
from paceline.complete.project import ProjectIndex
from paceline.complete.request import (
    Alternative,
    Attributed,
    CompleteRequest,
    Completion,
    Source,
)
from paceline.complete.scene import Scene
from paceline.complete.session import Last
from paceline.complete.skip import OFF_LIMITS, reason_to_decline, reason_to_skip
from paceline.complete.splitter import pieces
from paceline.complete.steps.types import Judged
from paceline.core.errors import UnknownModelError
from paceline.core.types import Candidate, Cursor, Drop, Snippet
from paceline.generate.types import GenerateParams, ModelInfo, PromptParts, TextGenerator
from paceline.hygiene.paths import PathRules
from paceline.prompt.context.choose import ContextChooser

MAX_LEFTOVERS = 2
"""Each costs a judgement; later ones are only read if all before were accepted as they are."""
DROPPED = ("superseded", "cancelled")
"""Ends after which nobody waits for the text: a newer request answers, or the client left."""


class Written(NamedTuple):
    """What the model wrote for a request, and what the steps made of it."""

    progress: Progress
    judged: Judged


class Answering:
    """The parts of the brain that answer, and what they remember between requests."""

    def __init__(
        self,
        generator: TextGenerator,
        config: CompleteConfig,
        *,
        gate: Gate,
        attributor: Attributor | None,
        now_ms: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.config, self.gate = config, gate
        self.cache = CompletionCache(CacheConfig(max_chars=config.max_cache_chars), now_ms=now_ms)
        self.num_running = 0
        """Requests that the generator works for now."""
        self._generator, self._now_ms, self._sleep = generator, now_ms, sleep
        self._attributor = attributor or NullAttributor()
        self._rules = PathRules(config.ignored_globs)
        self.project = ProjectIndex(self._rules)
        self._chooser = ContextChooser(config.context, self._rules)
        self._debouncer = Debouncer(DebounceConfig(max_delay_ms=config.max_debounce_ms))

    def model(self, model_id: str | None) -> ModelInfo:
        """The model that answers; the default one for a name that is not served (`check_model`)."""
        models = self._generator.models
        return next((model for model in models if model.model_id == model_id), models[0])

    def check_model(self, model_id: str | None) -> None:
        """Refuse a name that is not served, before a cache or a rule answers for it.

        Raises:
            UnknownModelError: there is no such model.
        """
        known = tuple(model.model_id for model in self._generator.models)
        if model_id is not None and model_id not in known:
            raise UnknownModelError(model_id=model_id, known=known)

    async def answer(self, ask: Ask) -> Completion:
        """Run the stages. Raises what the generator raises; a bug in a rule costs what that rule would say."""
        model = self.model(ask.request.model_id)
        reason, completion = INTERNAL_ERROR, None
        with ask.watch.span("look"):
            with contained(ask.trace, "look"):
                reason = self._reason_for_nothing(ask, model)
            if not reason:
                with contained(ask.trace, "mode"):
                    self.decide(ask)
        if not reason:
            with ask.watch.span("cache"), contained(ask.trace, "cache"):
                completion = self.from_cache(ask)
        if completion is not None:
            return completion
        if not ask.is_prefetch:
            ask.state.drop_prefetch()
        if reason:
            return self.nothing(ask, reason)
        if not await self._is_still_wanted(ask):
            return self.nothing(ask, "superseded")
        with ask.watch.span("context"):
            with contained(ask.trace, "context"):
                self._choose_context(ask)
            parts = ask.parts(self.config)
            params = ask.params(self.config, model.context_tokens)
        written = await self._write(ask, parts, params)
        return self._offer(ask, written)

    def decide(self, ask: Ask) -> None:
        """Fix the mode: the client's, or by what the cursor stands in and what the user does."""
        request, config = ask.request, self.config
        threshold = request.multi_line_threshold
        if request.mode is not None:
            ask.decision = Decision(
                mode=request.mode, intent="acceleration", score=1.0, reasons=("client",)
            )
        elif not config.is_mode_inferred:
            ask.decision = Decision(
                mode="single_line", intent="acceleration", score=0.0, reasons=("config",)
            )
        else:
            ask.decision = decide(
                ask.scene,
                ask.pace,
                ask.state.history.recent,
                multi_line_threshold=config.multi_line_threshold
                if threshold is None
                else threshold,
            )
        ask.scene = ask.scene.with_mode(ask.decision.mode)
        trace, decision = ask.trace, ask.decision
        trace.mode, trace.intent = decision.mode, decision.intent
        trace.mode_score, trace.reasons = decision.score, decision.reasons

    def from_cache(self, ask: Ask) -> Completion | None:
        """What is left of an earlier answer here; None if it must be asked."""
        if not self.config.is_cached:
            return None
        asked = ask.asked(self.model(ask.request.model_id).model_id)
        mode = ask.scene.mode
        others: list[Mode] = [one for one in MODES if one != mode] if ask.is_free else []
        modes: tuple[Mode, ...] = (mode, *others)
        hit = self.cache.find(asked, ask.spot, modes=modes)
        if hit is None or not self._suffices(ask, hit):
            return None
        ask.scene = ask.scene.with_mode(hit.mode)
        ask.trace.mode = hit.mode
        source: Source = "prefetch" if hit.answer.origin != "asked" else hit.source
        if not hit.choices:
            return self.nothing(ask, hit.answer.drop.reason if hit.answer.drop else "blank", source)
        return self._present(ask, hit.answer, hit.choices, source)

    def nothing(self, ask: Ask, reason: str, source: Source = "none") -> Completion:
        """The reply that shows nothing."""
        ask.trace.outcome, ask.trace.drop_reason = "nothing", reason
        ask.trace.source = "" if source == "none" else source
        model = self.model(ask.request.model_id)
        return Completion(
            request_id=ask.trace.request_id,
            text="",
            drop=Drop(reason),
            mode=ask.scene.mode,
            model_id=ask.request.model_id or model.model_id,
            source=source,
            reasons=ask.trace.reasons,
        )

    def fail(self, ask: Ask, error: Exception) -> Completion:
        """The reply where a stage failed without which nothing can be shown.

        Raises: `error`, if it is the generator's.
        """
        if ask.watch.stage == "generate":
            raise error
        note(ask.trace, ask.watch.stage, error)
        return self.nothing(ask, INTERNAL_ERROR)

    def warm_snippets(self, request: CompleteRequest) -> tuple[Snippet, ...] | None:
        """What the prompt of `request` would hold beside its text; None if its file is off limits."""
        root = request.context.workspace_root
        path = request.cursor.document.path
        if path and self._rules.reason_against(path, root) in OFF_LIMITS:
            return None
        own = (*request.snippets, *request.context.client_snippets)
        context = replace(request.context, client_snippets=own)
        return self._chooser.choose(request.cursor, context).snippets

    def knows(self, request: CompleteRequest, asked: Asked, spot: Spot) -> bool:
        """Is the answer at `spot` there already?"""
        modes = MODES if request.mode is None else (request.mode,)
        return self.cache.find(asked, spot, modes=modes) is not None

    def keep_leftovers(self, last: Last, scene_at: Callable[[Cursor], Scene]) -> bool:
        """What the model wrote beyond a completion is judged and kept for after it is accepted.

        Only lines: a leftover is what single_line mode would ask next. Returns whether anything was kept.
        """
        cursor = last.request.cursor
        text, num_replaced = last.completion.text, last.completion.num_replaced_chars
        has_kept = False
        for spot, leftover in last.leftovers[:MAX_LEFTOVERS]:
            cursor = after_accept(cursor, text, num_replaced)
            judged = postprocess(
                Candidate(text=leftover), scene_at(cursor), disabled=self.config.disabled_steps
            ).result
            if isinstance(judged, Drop) or judged.text != leftover:
                break
            asked = replace(last.asked, mode="single_line")
            answer = Answer(
                choices=(Choice(judged.text, judged.num_replaced_chars),),
                request_id=last.trace.request_id,
                origin="split",
                probability=last.completion.probability,
                mean_logprob=last.completion.mean_logprob,
            )
            self.cache.put(asked, spot, answer)
            text, num_replaced, has_kept = leftover, 0, True
        return has_kept

    def _reason_for_nothing(self, ask: Ask, model: ModelInfo) -> str:
        request, scene = ask.request, ask.scene
        reason = reason_to_decline(
            scene,
            self._rules,
            workspace_root=request.context.workspace_root,
            trained_languages=model.languages,
            is_insisting=request.is_insisting,
        )
        if not reason and self.config.is_skipping:
            reason = reason_to_skip(scene, ask.pace)
        return reason

    def _suffices(self, ask: Ask, hit: Hit) -> bool:
        """Is an answer from the cache as good as a new one? Who asks by hand wants a whole one, or several."""
        if ask.is_automatic:
            return True
        wanted = min(ask.request.num_alternatives, len(hit.choices))
        is_whole = all(choice.is_finished for choice in hit.choices)
        return bool(hit.choices) and is_whole and wanted == ask.request.num_alternatives

    async def _is_still_wanted(self, ask: Ask) -> bool:
        """Wait for a pause, if the user types too fast for an answer to be seen. False: a newer request came."""
        if not self.config.is_debounced or ask.is_prefetch:
            return True
        with contained(ask.trace, "debounce"):
            delay = self._debouncer.delay(ask.pace, is_invoked=not ask.is_automatic)
            ask.trace.debounce_ms, ask.trace.debounce_reasons = delay.delay_ms, delay.reasons
        if ask.trace.debounce_ms <= 0:
            return True
        with ask.watch.span("debounce"):
            await self._sleep(ask.trace.debounce_ms / 1000)
        return ask.state.newest_request_id == ask.trace.request_id

    def _choose_context(self, ask: Ask) -> None:
        state = ask.state
        is_resting = ask.pace.last_gap_ms is None or ask.pace.num_recent <= 1
        previous = None if is_resting and state.is_context_stale else state.context
        chosen = self._chooser.choose(ask.request.cursor, ask.context, previous)
        state.context, state.is_context_stale = chosen, False
        ask.snippets = chosen.snippets
        ask.trace.snippets = snippet_notes(chosen, has_code=self.config.is_code_in_traces)

    async def _write(self, ask: Ask, parts: PromptParts, params: GenerateParams) -> list[Written]:
        """Let the model write once, or as often as there should be alternatives, and judge all of it."""
        num = 1 if ask.is_automatic else ask.request.num_alternatives
        plan = sampling_plan(params, num) if num > 1 else (params,)
        tasks = [asyncio.ensure_future(self._run(ask, parts, one)) for one in plan]
        self.num_running += 1
        try:
            with ask.watch.span("generate"):
                written = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # where one failed, the others are in vain
                task.cancel()
            self.num_running -= 1
        first = written[0]
        ask.trace.prompt_tokens, ask.trace.cached_tokens = first.prompt_tokens, first.cached_tokens
        ask.first_text_ms = first.first_text_ms
        self._debouncer.record_latency(ask.watch.spans[-1].ms)
        with ask.watch.span("steps"):
            judged = [Written(progress, self._judge(ask, progress)) for progress in written]
        failed = (note.step for one in judged for note in one.judged.trail if note.is_failed)
        ask.trace.failed += tuple(dict.fromkeys(failed))
        return judged

    async def _run(self, ask: Ask, parts: PromptParts, params: GenerateParams) -> Progress:
        confidence = self.config.confidence
        return await generate(
            self._generator,
            parts,
            params,
            model_id=ask.request.model_id,
            backstop_ms=self.config.backstop_ms,
            now_ms=self._now_ms,
            confidence=Confidence(confidence)
            if confidence.is_enabled and ask.is_automatic and not params.temperature
            else None,
        )

    def _judge(self, ask: Ask, progress: Progress) -> Judged:
        if progress.finish_reason in DROPPED:
            return Judged(Drop(progress.finish_reason), ())
        if progress.confident_end == 0 and progress.text.strip():
            return Judged(Drop(UNSURE), ())
        judged = postprocess(progress.candidate(), ask.scene, disabled=self.config.disabled_steps)
        if isinstance(judged.result, Drop):
            return judged
        result, origins = attribute(
            judged.result,
            ask.scene.language.name,
            attributor=self._attributor,
            policy=self.config.attribution_policy,
        )
        ask.attributions = tuple(
            Attributed(
                origin=f"{origin.package} {origin.path}".strip(),
                license=origin.license,
                num_tokens=origin.num_matched_tokens,
            )
            for origin in origins
        )
        return replace(judged, result=result)

    def _offer(self, ask: Ask, written: list[Written]) -> Completion:
        """Remember what was written, and show the best of it if the gate lets it."""
        first = written[0]
        kept = [one.judged.result for one in written if isinstance(one.judged.result, Candidate)]
        chosen = choose(kept) if len(written) > 1 else tuple(kept)
        opinion = None
        if chosen:
            with ask.watch.span("gate"), contained(ask.trace, "gate"):
                opinion = self._weigh(ask, chosen[0], first.judged)
        has_code = self.config.is_code_in_traces
        ask.trace.candidates = tuple(
            candidate_note(
                one.progress, one.judged, opinion, features=ask.features, has_code=has_code
            )
            for one in written
        )
        answer = _answer_of(ask, chosen, first, opinion)
        with contained(ask.trace, "remember"):
            self._remember(ask, answer, first)
        progress = first.progress
        if answer.drop is not None:
            completion = self.nothing(ask, answer.drop.reason, "network")
        else:
            completion = self._present(ask, answer, answer.choices, "network")
        return replace(
            completion,
            num_tokens=sum(one.progress.num_tokens for one in written),
            prompt_tokens=progress.prompt_tokens,
            cached_tokens=progress.cached_tokens,
            finish_reason=progress.finish_reason,
            logprob=progress.logprob,
            mean_logprob=progress.mean_logprob,
            token_logprobs=tuple(progress.token_logprobs)
            if len(progress.token_logprobs) == progress.num_tokens
            else (),
            flags=chosen[0].flags if chosen else (),
            attributions=ask.attributions,
        )

    def _weigh(self, ask: Ask, candidate: Candidate, judged: Judged) -> GateDecision:
        """How likely is it that the user keeps `candidate`?"""
        features = features_of(
            ask.scene,
            candidate,
            pace=ask.pace,
            recent=ask.state.history.recent,
            num_changing_steps=len(judged.trail),
            num_typed_since=ask.state.num_typed_since_shown,
        )
        ask.features = features
        return self.gate.decide(
            features,
            self._limit(ask),
            request_id=ask.trace.request_id,
            is_invoked=not ask.is_automatic,
        )

    def _limit(self, ask: Ask) -> float:
        """The probability from which on is shown."""
        for limit in (ask.request.show_threshold, self.config.show_threshold):
            if limit is not None:
                return limit
        return self.gate.weights.threshold

    def _remember(self, ask: Ask, answer: Answer, first: Written) -> None:
        """Put the answer into the cache, and what the model wrote beyond it."""
        is_lasting = answer.drop is None or answer.drop.reason not in (*DROPPED, "deadline")
        if not (self.config.is_cached and is_lasting):
            return
        asked = ask.asked(self.model(ask.request.model_id).model_id)
        self.cache.put(asked, ask.spot, answer)
        if answer.choices:
            ask.leftovers = pieces(
                ask.spot,
                first.progress.text,
                answer.choices[0].text,
                num_replaced_chars=answer.choices[0].num_replaced_chars,
                is_raw_finished=first.progress.is_ended_by_model,
            )

    def _present(
        self, ask: Ask, answer: Answer, choices: tuple[Choice, ...], source: Source
    ) -> Completion:
        """Show `choices`, what is left of `answer`, or nothing where the gate hides it."""
        request, config, trace = ask.request, self.config, ask.trace
        limit = self._limit(ask)
        probability = answer.probability
        trace.gate_threshold, trace.source = limit, source
        is_hidden = (
            config.is_gated
            and ask.is_automatic
            and not answer.is_invoked
            and probability is not None
            and probability < limit
        )
        trace.probability, trace.answered_by = probability, answer.request_id
        if is_hidden and is_exempt_id(answer.request_id, config.exempt_share):
            is_hidden, trace.is_exempt = False, True
        if is_hidden:
            return replace(self.nothing(ask, "gate", source), probability=probability)
        trace.outcome = "prepared" if ask.is_prefetch else "shown"
        best = choices[0]
        model = self.model(request.model_id)
        return Completion(
            request_id=trace.request_id,
            text=best.text,
            drop=None,
            mode=ask.scene.mode,
            model_id=request.model_id or model.model_id,
            num_replaced_chars=best.num_replaced_chars,
            source=source,
            mean_logprob=answer.mean_logprob,
            probability=probability,
            is_exempt=trace.is_exempt,
            reasons=trace.reasons,
            alternatives=tuple(
                Alternative(text=choice.text, num_replaced_chars=choice.num_replaced_chars)
                for choice in choices[: request.num_alternatives]
            )
            if request.num_alternatives > 1
            else (),
        )


def _answer_of(
    ask: Ask, chosen: tuple[Candidate, ...], first: Written, opinion: GateDecision | None
) -> Answer:
    result = first.judged.result
    drop = None if chosen else result if isinstance(result, Drop) else Drop("blank")
    return Answer(
        choices=tuple(
            Choice(one.text, one.num_replaced_chars, one.finish_reason == "stop") for one in chosen
        ),
        drop=drop,
        request_id=ask.trace.request_id,
        origin="prefetch" if ask.is_prefetch else "asked",
        probability=opinion.probability if opinion else None,
        is_invoked=not ask.is_automatic,
        mean_logprob=first.progress.mean_logprob,
    )
