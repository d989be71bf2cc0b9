"""Prompts of raw completions: texts or token ids, one or several, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

from fastapi.exceptions import RequestValidationError
from pydantic import PlainValidator

from paceline.core.errors import PromptTooLongError, UnknownModelError
from paceline.generate.types import GenerateParams, ModelInfo, PromptParts, TextGenerator
from paceline.server.dialects.openai_sentinels import read_middle
from paceline.server.fields import replace_lone_surrogates

OnePrompt = str | tuple[int, ...]
MAX_PROMPTS = 16
"""More belong into several requests: all are answered at once."""
NUM_IDS_CHECKED_AT_ONCE = 256
"""The others are looked at when it is known that so many can fit: `refuse_non_ids`."""
MAX_CHARS_PER_TOKEN = 128
"""No vocabulary packs ordinary text tighter; a longer prompt is refused before it is tokenized."""


def parse_prompts(value: object, max_prompts: int = MAX_PROMPTS) -> tuple[OnePrompt, ...]:
    """One text or one list of token ids, or a list of up to `max_prompts` of such.

    Only the first ids are checked; the rest of a long list is up to `refuse_non_ids`.

    By hand, because pydantic would try millions of ids as texts first and keep an error for each.
    """
    if not isinstance(value, list):
        return (_parse_one(value),)
    items = cast("list[object]", value)
    if not items:
        raise ValueError("the list is empty; send a text or token ids")
    if {type(each) for each in items[:2]}.isdisjoint({str, list}):
        return (_parse_ids(items),)
    if len(items) > max_prompts:
        raise ValueError(f"at most {max_prompts} are answered in one request")
    return tuple(_parse_one(item) for item in items)


def _parse_one(item: object) -> OnePrompt:
    if isinstance(item, str):
        return replace_lone_surrogates(item)
    if isinstance(item, list):
        return _parse_ids(cast("list[object]", item))
    raise ValueError("must be a text or a list of token ids")


def _parse_ids(items: list[object]) -> tuple[int, ...]:
    if not items:
        raise ValueError("the list of token ids is empty; send at least one")
    require_ids(items[:NUM_IDS_CHECKED_AT_ONCE])
    return tuple(cast("list[int]", items))


def require_ids(items: Sequence[object]) -> None:
    """Raise ValueError unless all items are whole numbers, 0 or more. 60 ns an item."""
    if not all(type(item) is int and item >= 0 for item in items):
        raise ValueError("token ids must be whole numbers, 0 or more")


ManyTexts = str | list[str] | list[int] | list[list[int]]
Prompts = Annotated[
    Any, PlainValidator(lambda value: parse_prompts(value), json_schema_input_type=ManyTexts)
]
"""Holds a tuple of OnePrompt."""


def parts_of(
    prompt: OnePrompt, suffix: str | None = None, *, is_truncatable: bool = False
) -> PromptParts:
    """What the generator is asked to continue. A text without a suffix that the client has rendered as a
    fill-in-the-middle prompt is understood as one (openai_sentinels.py), and may be cut at its far ends: that
    client knows nothing of this model's window."""
    middle = read_middle(prompt) if isinstance(prompt, str) and suffix is None else None
    if middle is not None:
        return PromptParts(**middle._asdict())
    if isinstance(prompt, str):
        return PromptParts(prefix=prompt, suffix=suffix, is_truncatable=is_truncatable)
    return PromptParts(prefix="", is_truncatable=False, prompt_ids=prompt)


def check_parts(parts: PromptParts, params: GenerateParams, info: ModelInfo) -> None:
    """Refuse what cannot be answered, before it is tokenized: tokenizing megabytes takes seconds.

    Raises:
        PromptTooLongError: however it is tokenized, the prompt does not fit; it states the fewest tokens that
            the prompt can have.
        RequestValidationError: an id is none.
    """
    fewest = (len(parts.prefix) + len(parts.suffix or "")) // MAX_CHARS_PER_TOKEN
    fewest = len(parts.prompt_ids) if parts.prompt_ids is not None else fewest
    if fewest > info.context_tokens and not parts.is_truncatable:
        raise PromptTooLongError(
            prompt_tokens=fewest, max_tokens=params.max_tokens, context_tokens=info.context_tokens
        )
    try:
        require_ids(parts.prompt_ids or ())
    except ValueError as cause:
        refuse("prompt", str(cause))


def refuse(field: str, reason: str) -> NoReturn:
    """Raise what the body's own checks would raise for `field`."""
    problem = {"type": "value_error", "loc": ("body", field), "msg": reason}
    raise RequestValidationError([problem])


def find_model(generator: TextGenerator, model_id: str | None) -> ModelInfo:
    """The model of that name; without a name, the default.

    Raises:
        UnknownModelError: it is not served.
    """
    for info in generator.models:
        if not model_id or info.model_id == model_id:
            return info
    known = tuple(info.model_id for info in generator.models)
    raise UnknownModelError(model_id=model_id or "", known=known)
