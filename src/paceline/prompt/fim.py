"""Fill-in-the-middle prompts: text parts to prompt ids. The one home used by training and serving.

    SPM    <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix [middle <|endoftext|>]
    PSM    <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> [middle <|endoftext|>]
    plain                                     [<|endoftext|>] prefix

Where there are snippets, they come before all of this, after the project's name and before the path of
the file itself, as the family was trained. So the parts stand in the order in which they change: a prefix
cache holds all but the last of them.

SPM is what the editor gets of our own models: typing appends to the end of the prompt, so a keystroke
changes only its last tokens. What other families want is in prompt/templates.py, what of a long text
is kept, in prompt/cut.py. Prefix, suffix and middle are always tokenized apart, so that training sees
the same broken words at the cursor as serving makes.

Source: Bavarian et al. 2022, arXiv:2207.14255, §3 and appendix D (SPM variant 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from paceline.core.errors import ConfigError, EmptyPromptError, PromptTooLongError
from paceline.core.types import Snippet
from paceline.prompt.characters import repair
from paceline.prompt.cut import (
    QUANTUM_TOKENS,
    TextEncoder,
    cut_end,
    cut_start,
    tokenize_end,
    tokenize_start,
)
from paceline.prompt.templates import (
    TEMPLATES,
    FimIds,
    FimTemplate,
    Order,
    fim_ids,
    stop_token_ids,
    template_for,
)

__all__ = [
    "TEMPLATES",
    "FimIds",
    "FimTemplate",
    "Order",
    "PromptBudget",
    "arrange",
    "encode_end",
    "encode_start",
    "fim_ids",
    "keep_end",
    "render_fim",
    "render_plain",
    "share_budget",
    "stop_token_ids",
    "template_for",
]


class PromptBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a prompt's tokens are shared out. The prefix gets what the others leave."""

    snippet_share: float = 0.5
    """Of the whole, at most; what snippets leave goes to the text around the cursor."""
    suffix_share: float | None = None
    """Of what snippets leave; None asks the model's template. More if the prefix is short."""

    def __post_init__(self) -> None:
        shares = (self.snippet_share, self.suffix_share or 0.0)
        if not all(0 <= share < 1 for share in shares):
            raise ConfigError("Shares of a prompt must be at least 0 and below 1.")


DEFAULT_BUDGET = PromptBudget()


def arrange(prefix: Sequence[int], suffix: Sequence[int], ids: FimIds, order: Order) -> list[int]:
    """Place tokenized parts between sentinels; what follows is the middle."""
    middle = [] if ids.middle is None else [ids.middle]
    if order == "spm":
        return [ids.prefix, ids.suffix, *suffix, *middle, *prefix]
    if order == "suffix_first":
        return [ids.suffix, *suffix, ids.prefix, *prefix, *middle]
    return [ids.prefix, *prefix, ids.suffix, *suffix, *middle]


def share_budget(
    num_prefix: int, num_suffix: int, budget: int, suffix_share: float
) -> tuple[int, int]:
    """Split `budget` tokens into (prefix, suffix) so that neither wastes what the other could use.

    Training's samples are filled to the token by it; prompts, whose far ends must hold still, are
    split by `allot_suffix`.
    """
    suffix_part = min(num_suffix, int(budget * suffix_share))
    prefix_part = min(num_prefix, budget - suffix_part)
    return prefix_part, min(num_suffix, budget - prefix_part)


def allot_suffix(num_prefix: int, budget: int, suffix_share: float) -> int:
    """Tokens that the suffix may use: its share, or what a short prefix leaves, in whole quanta.

    So a prefix that grows by a token does not shrink the suffix by one.
    """
    quantum = max(1, min(QUANTUM_TOKENS, budget // 8))
    left = max(budget - num_prefix, 0) // quantum * quantum
    return max(int(budget * suffix_share), left)


def keep_end(ids: list[int], count: int) -> list[int]:
    """The last `count` ids, or all if there are fewer."""
    return ids[max(len(ids) - count, 0) :]


MAX_HEADER_TOKENS = 64
"""Longest name of a project or path of a file that a prompt holds."""


def encode_end(text: str, tokenizer: TextEncoder, max_tokens: int) -> list[int]:
    """The last `max_tokens` ids of `text`, tokenizing little more of it than that."""
    return keep_end(tokenize_end(text, tokenizer, max_tokens).ids, max_tokens)


def encode_start(text: str, tokenizer: TextEncoder, max_tokens: int) -> list[int]:
    """The first `max_tokens` ids of `text`, tokenizing little more of it than that."""
    return tokenize_start(text, tokenizer, max_tokens).ids[:max_tokens]


def render_fim(
    prefix: str,
    suffix: str,
    tokenizer: TextEncoder,
    ids: FimIds,
    template: FimTemplate,
    *,
    max_prompt_tokens: int,
    snippets: Sequence[Snippet] = (),
    path: str = "",
    project: str = "",
    shares: PromptBudget = DEFAULT_BUDGET,
) -> list[int]:
    """Return prompt ids of at most `max_prompt_tokens`; far ends of prefix and suffix are cut.

    The same text around the cursor keeps the same far ends while the user types (prompt/cut.py); what
    is kept of a part that is cut fills at least 3/4 of what it may use, where lines are not longer.
    Snippets come first, whole or not at all, in order, as far as their share reaches. Surrogates are
    replaced, since no tokenizer takes them.

    Args:
        path: of the file at the cursor, for templates with a `file_header`.
        project: its repository's name, for templates with a `repo_sep`.

    Raises:
        PromptTooLongError: there is no room for the sentinels and one token.
    """
    start = [] if ids.begin is None else [ids.begin]
    num_sentinels = len(start) + len(arrange((), (), ids, template.order))
    budget = max_prompt_tokens - num_sentinels
    if budget < 1:
        raise PromptTooLongError(
            prompt_tokens=num_sentinels + 1, max_tokens=0, context_tokens=max_prompt_tokens
        )
    frame = _Frame(tokenizer, ids, template, path=path, project=project)
    head = frame.render(snippets, int(budget * shares.snippet_share))
    opening = frame.opening if head else []
    suffix_share = template.suffix_share if shares.suffix_share is None else shares.suffix_share
    left = budget - len(head) - len(opening)
    prefix_ids, suffix_ids = _fit(
        repair(prefix), repair(suffix), tokenizer, template.prefix_lead, left, suffix_share
    )
    prefix_ids = [*opening, *prefix_ids]
    if template.is_snippet_in_prefix:
        return start + arrange([*head, *prefix_ids], suffix_ids, ids, template.order)
    return start + head + arrange(prefix_ids, suffix_ids, ids, template.order)


def _fit(
    prefix: str,
    suffix: str,
    tokenizer: TextEncoder,
    prefix_lead: str,
    budget: int,
    suffix_share: float,
) -> tuple[list[int], list[int]]:
    """Ids of what is kept of both parts."""
    budget = max(budget - len(prefix_lead), 0)
    before = tokenize_end(prefix, tokenizer, budget)
    after = tokenize_start(suffix, tokenizer, budget)
    num_suffix = allot_suffix(before.num_steady(budget), budget, suffix_share)
    is_whole = before.is_whole and after.is_whole
    if is_whole and before.num_tokens + after.num_tokens <= budget:
        num_suffix = after.num_tokens
    elif after.is_whole:
        num_suffix = min(num_suffix, after.num_tokens)
    _, suffix_ids = cut_start(after, tokenizer, num_suffix)
    text, prefix_ids = cut_end(before, tokenizer, budget - num_suffix)
    if prefix_lead and text:
        room = budget - num_suffix + len(prefix_lead)
        prefix_ids = keep_end(tokenizer.encode(prefix_lead + text), room)
    return prefix_ids, suffix_ids


class _Frame:
    """What stands around and between snippets: the project's name, each path, the path of the file itself."""

    def __init__(
        self,
        tokenizer: TextEncoder,
        ids: FimIds,
        template: FimTemplate,
        *,
        path: str,
        project: str,
    ) -> None:
        self._tokenizer, self._form = tokenizer, template.snippet_form
        self._separator = [] if ids.file_sep is None else [ids.file_sep]
        self.opening: list[int] = []
        """Ids that open the prefix where there are snippets."""
        self._head: list[int] = []
        if ids.repo_sep is not None:
            name = repair(project).strip() or "project"
            self._head = [ids.repo_sep, *self._encode(f"{name}\n")]
        header = template.file_header
        header_ids = self._encode(header.format(path=repair(path))) if header and path else []
        self._tail = self._separator if template.is_file_separated else []
        if template.is_header_in_prefix:
            self.opening = header_ids
        elif header_ids:
            self._tail = [*self._separator, *header_ids]

    def _encode(self, text: str) -> list[int]:
        return encode_start(text, self._tokenizer, MAX_HEADER_TOKENS)

    def render(self, snippets: Sequence[Snippet], max_tokens: int) -> list[int]:
        """Ids of the first snippets that fit into `max_tokens` with all that frames them; maybe none."""
        head = self._head
        room = max_tokens - len(self._head) - len(self._tail) - len(self.opening)
        for snippet in snippets:
            room -= len(self._separator)
            if room < 1:
                break
            text = self._form.format(path=repair(snippet.path), text=repair(snippet.text))
            piece = encode_start(text, self._tokenizer, room + 1)
            if len(piece) > room:
                break
            room -= len(piece)
            head = [*head, *self._separator, *piece]
        return [*head, *self._tail] if head is not self._head else []


def render_plain(
    prefix: str,
    tokenizer: TextEncoder,
    ids: FimIds,
    *,
    max_prompt_tokens: int,
    is_truncatable: bool,
) -> list[int]:
    """Return ids for left-to-right continuation of `prefix`, after one id that starts a text.

    Raises:
        EmptyPromptError: `prefix` is empty.
        PromptTooLongError: it does not fit and must not be cut.
    """
    if not prefix:
        raise EmptyPromptError
    prefix = repair(prefix)
    if is_truncatable:
        part = tokenize_end(prefix, tokenizer, max_prompt_tokens - 1)
        return [ids.start, *cut_end(part, tokenizer, max_prompt_tokens - 1)[1]]
    body = tokenizer.encode(prefix)
    if len(body) + 1 > max_prompt_tokens:
        raise PromptTooLongError(
            prompt_tokens=len(body) + 1, max_tokens=0, context_tokens=max_prompt_tokens
        )
    return [ids.start, *body]
