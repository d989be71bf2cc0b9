"""From a request for raw completions to the streams that it asks of the generator."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from paceline.generate.types import GenerateParams, ModelInfo, PromptParts, Session
from paceline.server.caller import Caller
from paceline.server.dialects.openai_prompts import check_parts, parts_of, refuse
from paceline.server.dialects.openai_types import CompletionRequest
from paceline.server.fields import to_session, to_top_k

MAX_STREAMS = 32
"""Of one request, over all its prompts: about as many as a small machine computes at once."""


class Plan(NamedTuple):
    """The streams of one request: for each prompt as many as are written (`best_of`), in the order of prompts."""

    prompts: tuple[PromptParts, ...]
    params: tuple[GenerateParams, ...]
    """Of each stream."""
    num_written: int
    """To each prompt."""
    num_returned: int
    """To each prompt: the best, if more are written."""
    echoes: tuple[str, ...]
    """What the choices of each prompt begin with."""

    def prompt_of(self, stream: int) -> int:
        """The number of the prompt that stream continues."""
        return stream // self.num_written


def to_plan(body: CompletionRequest, caller: Caller) -> Plan:
    """Translate a request. An absent field and a null mean OpenAI's default.

    Raises:
        RequestValidationError: it asks for too many streams.
    """
    prompts = tuple(parts_of(prompt, body.suffix) for prompt in body.prompt)
    num_returned = body.n or 1
    num_written = body.best_of or num_returned
    num_streams = len(prompts) * num_written
    if num_streams > MAX_STREAMS:
        field = "best_of" if body.best_of else "n"
        refuse(
            field, f"times the number of prompts must be at most {MAX_STREAMS}; split the request"
        )
    params = to_params(body, caller)
    return Plan(
        prompts=prompts,
        params=tuple(_params_of(params, index, num_written) for index in range(num_streams)),
        num_written=num_written,
        num_returned=num_returned,
        echoes=tuple(str(prompt) if body.echo else "" for prompt in body.prompt),
    )


def fit_plan(plan: Plan, info: ModelInfo) -> Plan:
    """The plan within the model's window. Where a prompt may be cut, so may the answer: each gets half at least.

    Raises: as `check_parts`, what cannot be answered.
    """
    for parts in plan.prompts:
        check_parts(parts, plan.params[0], info)
    most_tokens = info.context_tokens // 2
    return plan._replace(
        params=tuple(
            replace(params, max_tokens=min(params.max_tokens, most_tokens))
            if plan.prompts[plan.prompt_of(index)].is_truncatable
            else params
            for index, params in enumerate(plan.params)
        )
    )


def to_params(body: CompletionRequest, caller: Caller) -> GenerateParams:
    """How the first stream is asked."""
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return GenerateParams(
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        stop=tuple(text for text in stop if text),
        seed=body.seed,
        top_k=to_top_k(body.top_k),
        top_p=1.0 if body.top_p is None else body.top_p,
        min_p=body.min_p or 0.0,
        num_top_logprobs=body.logprobs,
        is_end_ignored=bool(body.ignore_eos),
        session=caller.session(to_session(body.session_id, body.document_id)),
        lane=body.lane or "interactive",
        user_id=caller.tenant(body.user or body.session_id or ""),
    )


def _params_of(params: GenerateParams, index: int, num_written: int) -> GenerateParams:
    """Stream 0 is what a request for one choice gives. The streams do not supersede each other: each is a
    document of its own. Answer i to any prompt is drawn with the same seed."""
    session = params.session
    if index and session is not None:
        session = Session(session.session_id, f"{session.document_id}\0{index}")
    seed = None if params.seed is None else params.seed + index % num_written
    return replace(params, seed=seed, session=session)
