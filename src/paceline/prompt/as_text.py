"""Prompts as text, for servers that take no ids: same parts, order and cuts as prompt/fim.py makes of ids.

    parts ──fim.render_fim, with estimated ids──> estimated ids ──> text

Without the model's vocabulary a token is estimated (prompt/estimate.py). Everything else is fim.py itself:
an estimated id is the text of its piece, written as a number.

Servers read the names of sentinels wherever they stand in a prompt, so those in documents are broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from paceline.core.errors import ConfigError, EmptyPromptError
from paceline.generate.remote.types import PromptForm, Rendered
from paceline.generate.types import PromptParts
from paceline.prompt.characters import repair
from paceline.prompt.estimate import ROUGH, TokenEstimate
from paceline.prompt.fim import TEMPLATES, FimIds, FimTemplate, render_fim, render_plain

COMMENT_FORM = FimTemplate().snippet_form
"""Of snippets inside a prefix, where the family has no form of its own for that."""

_SENTINELS = FimIds(
    end=-1, prefix=-2, suffix=-3, middle=-4, file_sep=-5, begin=-6, repo_sep=-7
)  # fmt: skip

GUESSES: tuple[tuple[str, str], ...] = (
    (r"paceline", "paceline"),
    (r"(?<!code)qwen.*coder", "qwen"),
    (r"starcoder", "starcoder2"),
    (r"mellum", "mellum"),
    (r"deepseek", "deepseek"),
    (r"code-?llama", "codellama"),
    (r"codestral", "codestral"),
)
"""A pattern in the model's name, and the family it tells."""


def text_of(ids: Iterable[int], template: FimTemplate) -> str:
    """The text of estimated ids, sentinels by the names that `template` gives them."""
    return "".join(_name_of(i, template) if i < 0 else ROUGH.text_of(i) for i in ids)


def _name_of(sentinel: int, template: FimTemplate) -> str:
    names = (
        template.end, template.prefix, template.suffix, template.middle, template.file_sep,
        template.begin, template.repo_sep,
    )  # fmt: skip
    return names[-sentinel - 1] or ""


class TextRenderer:
    """Prompts of one model as text. Implements PromptRenderer of generate/remote."""

    def __init__(
        self,
        template: FimTemplate | None,
        *,
        form: PromptForm = "template",
        is_begin_written: bool = False,
    ) -> None:
        """
        Args:
            template: of the model's family; None where it is not known, which `template` does not allow.
            is_begin_written: does the text hold the template's `begin`? Most servers put it there themselves.
        """
        if template is None and form == "template":
            raise ConfigError("Prompts with sentinels need a template; name the model's family.")
        self._form, self._is_begin_written = form, is_begin_written
        self._template = template or FimTemplate()
        self.estimate = TokenEstimate()
        named = (*self._template.sentinels, *self._template.other_ends) if template else ()
        self._broken = [(name, f"{name[0]} {name[1:]}") for name in sorted(set(named))]
        ends = (self._template.file_sep, *self._template.other_ends) if template else ()
        self.stops: tuple[str, ...] = tuple(
            name for name in dict.fromkeys((*ends, *named)) if name and name != self._template.begin
        )
        """Names of tokens after which a middle is over, should the server write them out; likeliest first."""

    def render(self, parts: PromptParts, max_prompt_tokens: int | None) -> Rendered:
        """The prompt within so many tokens, by estimate; None cuts nothing.

        Raises:
            EmptyPromptError: there is nothing to continue.
            PromptTooLongError: there is no room for the sentinels and one token.
        """
        if max_prompt_tokens is None:
            max_pieces = _upper_bound_pieces(parts)
        else:
            max_pieces = self.estimate.pieces_within(max_prompt_tokens)
        parts = self._disarmed(parts)
        if parts.suffix is None or self._form == "plain":
            return self._plain(parts, max_pieces)
        if self._form == "template":
            ids = self._fim(parts, self._template, max_pieces)
            return self._rendered(ids)
        return self._in_two(parts, max_pieces)

    def learn(self, rendered: Rendered, prompt_tokens: int) -> None:
        """The server says how many tokens a prompt had."""
        self.estimate.learn(rendered.num_pieces, prompt_tokens)

    def _plain(self, parts: PromptParts, max_pieces: int) -> Rendered:
        if not parts.prefix:
            raise EmptyPromptError
        ids = _ids_of(self._template)
        found = render_plain(
            parts.prefix, ROUGH, ids, max_prompt_tokens=max_pieces, is_truncatable=True
        )
        is_begun = self._form == "template"
        return self._rendered(found if is_begun else found[1:])

    def _in_two(self, parts: PromptParts, max_pieces: int) -> Rendered:
        """Prefix and suffix as two texts; the server puts its own sentinels around them."""
        is_apart, own = self._form == "infill", self._template
        template = replace(
            own,
            order="psm",
            begin=None,
            repo_sep=None,
            middle=own.end,
            prefix_lead="",
            is_snippet_in_prefix=not is_apart,
            is_file_separated=False,
            file_sep=own.end if is_apart else None,
            file_header=own.file_header if own.is_snippet_in_prefix and not is_apart else None,
            snippet_form=own.snippet_form if own.is_snippet_in_prefix else COMMENT_FORM,
        )
        ids = self._fim(parts, template, max_pieces)
        at, middle = ids.index(_SENTINELS.suffix), len(ids) - 1
        start = ids.index(_SENTINELS.prefix)
        num_snippets = ids[:start].count(_SENTINELS.file_sep or 0)
        return Rendered(
            prompt=text_of(ids[start + 1 : at], template),
            suffix=text_of(ids[at + 1 : middle], template),
            snippets=parts.snippets[:num_snippets],
            num_pieces=len(ids),
            num_tokens=self._tokens(len(ids)),
        )

    def _fim(self, parts: PromptParts, template: FimTemplate, max_pieces: int) -> list[int]:
        return render_fim(
            parts.prefix,
            parts.suffix or "",
            ROUGH,
            _ids_of(template),
            template,
            max_prompt_tokens=max_pieces,
            snippets=parts.snippets,
            path=parts.path,
            project=parts.project,
        )

    def _rendered(self, ids: list[int]) -> Rendered:
        if not self._is_begin_written:
            ids = [i for i in ids if i != _SENTINELS.begin]
        return Rendered(
            prompt=text_of(ids, self._template),
            num_pieces=len(ids),
            num_tokens=self._tokens(len(ids)),
        )

    def _tokens(self, num_pieces: int) -> int:
        return round(num_pieces * self.estimate.tokens_per_piece)

    def _disarmed(self, parts: PromptParts) -> PromptParts:
        return replace(
            parts,
            prefix=self._broken_up(parts.prefix),
            suffix=None if parts.suffix is None else self._broken_up(parts.suffix),
            snippets=tuple(
                replace(each, text=self._broken_up(each.text), path=self._broken_up(each.path))
                for each in parts.snippets
            ),
            path=self._broken_up(parts.path),
            project=self._broken_up(parts.project),
        )

    def _broken_up(self, text: str) -> str:
        """`text` with a space inside every sentinel's name, so that it stays text, and without surrogates."""
        text = repair(text)
        for name, broken in self._broken:
            if name in text:
                text = text.replace(name, broken)
        return text


def _ids_of(template: FimTemplate) -> FimIds:
    """Numbers for the sentinels that `template` has."""
    return FimIds(
        end=_SENTINELS.end,
        prefix=_SENTINELS.prefix,
        suffix=_SENTINELS.suffix,
        middle=None if template.middle is None else _SENTINELS.middle,
        file_sep=None if template.file_sep is None else _SENTINELS.file_sep,
        begin=None if template.begin is None else _SENTINELS.begin,
        repo_sep=None if template.repo_sep is None else _SENTINELS.repo_sep,
    )


def _upper_bound_pieces(parts: PromptParts) -> int:
    """More pieces than these parts can have; then nothing is cut."""
    texts = [parts.prefix, parts.suffix or "", parts.path, parts.project, "sentinels"]
    for snippet in parts.snippets:
        texts += [snippet.path, snippet.text, "sentinels"]
    return 3 * sum(map(len, texts)) + 256


def guess_family(model_name: str) -> str | None:
    """The family of FIM templates that a model's name tells, without folders before it; None if it tells none."""
    name = re.split(r"[/\\]", model_name.lower().rstrip("/\\"))[-1]
    return next((family for pattern, family in GUESSES if re.search(pattern, name)), None)


def find_template(
    family: str | None, model_name: str, *, is_needed: bool = True
) -> FimTemplate | None:
    """The template of `family`, or of the family that the model's name tells.

    Args:
        is_needed: is None no answer?

    Raises:
        ConfigError: there is no such family, or the name tells none; the message lists what there is.
    """
    known = ", ".join(TEMPLATES)
    if family is not None and family not in TEMPLATES:
        raise ConfigError(f"No FIM template is called {family!r}; known are {known}.")
    family = family or guess_family(model_name)
    if family is None and is_needed:
        raise ConfigError(
            f"The name {model_name!r} does not tell which fill-in-the-middle template the model was trained "
            f"with; say --template with one of {known}, --fim suffix if the server fills in the middle "
            "itself, or --template none for left-to-right completion."
        )
    return TEMPLATES[family] if family is not None else None
