"""What each model family was trained to see around the cursor, and how to tell it from the vocabulary.

    order         prompt                                            families
    spm           PREFIX SUFFIX suffix MIDDLE prefix                paceline, codellama
    psm           PREFIX prefix SUFFIX suffix MIDDLE                qwen, starcoder2, deepseek, codellama-psm
    suffix_first  SUFFIX suffix PREFIX prefix [MIDDLE]              codestral (no MIDDLE), mellum

spm and Codestral's form end with the text before the cursor: a keystroke changes only the end of such
a prompt, and a half-typed word there can be healed. The others end with a sentinel.

Sources: Qwen2.5-Coder's README and its report, arXiv:2409.12186 (file and repository level); StarCoder2,
arXiv:2402.19173 §5.1; the model cards of DeepSeek-Coder and Mellum-4b (S-P-M order: arXiv:2510.05788);
transformers' CodeLlama tokenizer (both forms) and Rozière et al. 2023, arXiv:2308.12950 §2.3;
mistral-common's `encode_fim` and Continue's `+++++` frame for Codestral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from paceline.core.errors import CheckpointError, ConfigError
from paceline.tokenizer.specials import (
    CONTINUATION,
    END_OF_TEXT,
    FILE_SEP,
    FIM_MIDDLE,
    FIM_PAD,
    FIM_PREFIX,
    FIM_SUFFIX,
    REPO_NAME,
)

if TYPE_CHECKING:
    from paceline.tokenizer.bpe import Tokenizer

Order = Literal["spm", "psm", "suffix_first"]


class FimTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model family wants its fill-in-the-middle prompts. The defaults are our own models'."""

    family: str = "paceline"
    order: Order = "spm"
    suffix_share: float = 0.25
    """Share of the prompt budget that the suffix may always use; more if the prefix is short."""
    is_healed: bool = True
    """Is a half-typed word taken back from the end of the prompt and written again by the model?
    It also takes a prompt that ends with the prefix: see `can_heal`."""
    begin: str | None = None
    """Comes first in every prompt."""
    prefix: str = FIM_PREFIX
    suffix: str = FIM_SUFFIX
    middle: str | None = FIM_MIDDLE
    end: str = END_OF_TEXT
    """Ends a text; also stands before plain prompts where there is no `begin`."""
    other_ends: tuple[str, ...] = (FIM_PAD, REPO_NAME)
    """More tokens after which the middle is over; those that the vocabulary lacks do not matter."""
    file_sep: str | None = FILE_SEP
    """Stands before each snippet; None frames them as text only."""
    repo_sep: str | None = None
    """Stands before the first snippet, if there is any."""
    snippet_form: str = "# {path}\n{text}\n"
    is_snippet_in_prefix: bool = False
    """Do snippets open the prefix (between the sentinels) instead of the prompt?"""
    is_file_separated: bool = False
    """Does another `file_sep` stand between the last snippet and the file itself?"""
    file_header: str | None = None
    """Says which file the cursor is in, after snippets only; None where no training saw one."""
    is_header_in_prefix: bool = False
    """Does the header open the prefix? Else it stands before the first sentinel, after a `file_sep`."""
    prefix_lead: str = ""
    """What SentencePiece would have put before a prefix in training."""
    marks: tuple[str, ...] = ()
    """Further tokens that tell this family from others with the same sentinels."""

    def __post_init__(self) -> None:
        if self.order != "suffix_first" and self.middle is None:
            raise ConfigError(f"A template of order {self.order} needs a middle sentinel.")

    @property
    def can_heal(self) -> bool:
        """Does the prompt end with the text before the cursor, and is its last word to be healed?"""
        is_prefix_last = self.order == "spm" or self.middle is None
        return self.is_healed and is_prefix_last

    @property
    def sentinels(self) -> tuple[str, ...]:
        """Every token that prompts of this template are made with."""
        named = (self.begin, self.prefix, self.suffix, self.middle, self.end, self.file_sep)
        return tuple(name for name in (*named, self.repo_sep, *self.marks) if name is not None)


PACELINE = FimTemplate(marks=(CONTINUATION,))
QWEN = FimTemplate(
    family="qwen",
    order="psm",
    other_ends=(FIM_PAD, "<|im_start|>", "<|im_end|>"),
    repo_sep=REPO_NAME,
    snippet_form="{path}\n{text}\n",
    file_header="{path}\n",
)
STARCODER2 = FimTemplate(
    family="starcoder2",
    order="psm",
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    other_ends=("<fim_pad>", "<repo_name>"),
    file_sep="<file_sep>",
    snippet_form="{path}\n{text}\n",
    is_file_separated=True,
    file_header="{path}\n",
    is_header_in_prefix=True,
)
MELLUM = FimTemplate(
    family="mellum",
    order="suffix_first",
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    other_ends=("<fim_pad>", "<reponame>"),
    file_sep="<filename>",
    snippet_form="{path}\n{text}\n",
    file_header="{path}\n",
)
DEEPSEEK = FimTemplate(
    family="deepseek",
    order="psm",
    begin="<｜begin▁of▁sentence｜>",
    prefix="<｜fim▁begin｜>",
    suffix="<｜fim▁hole｜>",
    middle="<｜fim▁end｜>",
    end="<｜end▁of▁sentence｜>",
    other_ends=("<|EOT|>",),
    file_sep=None,
    snippet_form="#{path}\n{text}\n",
)
CODELLAMA = FimTemplate(
    family="codellama",
    is_healed=False,
    begin="<s>",
    prefix="▁<PRE>",
    suffix="▁<SUF>",
    middle="▁<MID>",
    end="</s>",
    other_ends=("▁<EOT>",),
    file_sep=None,
    is_snippet_in_prefix=True,
    prefix_lead=" ",
)
CODESTRAL = FimTemplate(
    family="codestral",
    order="suffix_first",
    begin="<s>",
    prefix="[PREFIX]",
    suffix="[SUFFIX]",
    middle=None,
    end="</s>",
    other_ends=("[MIDDLE]",),
    file_sep=None,
    snippet_form="+++++ {path}\n{text}\n\n",
    is_snippet_in_prefix=True,
    file_header="+++++ {path}\n",
    is_header_in_prefix=True,
    prefix_lead=" ",
)
TEMPLATES: dict[str, FimTemplate] = {
    template.family: template
    for template in (
        PACELINE,
        QWEN,
        STARCODER2,
        MELLUM,
        DEEPSEEK,
        CODELLAMA,
        replace(CODELLAMA, family="codellama-psm", order="psm"),
        CODESTRAL,
    )
}
"""In the order in which a vocabulary is compared with them."""


class FimIds(msgspec.Struct, frozen=True):
    """Ids of the sentinels in one vocabulary."""

    end: int
    prefix: int
    suffix: int
    middle: int | None
    """None for a family whose middle follows the prefix without a sentinel."""
    file_sep: int | None
    begin: int | None = None
    repo_sep: int | None = None

    @property
    def start(self) -> int:
        """What stands before plain text."""
        return self.end if self.begin is None else self.begin


def fim_ids(tokenizer: Tokenizer, template: FimTemplate = PACELINE) -> FimIds:
    """Look the sentinels of `template` up.

    Raises:
        CheckpointError: the tokenizer lacks one of them.
    """

    def optional(name: str | None) -> int | None:
        return None if name is None else tokenizer.special_id(name)

    return FimIds(
        end=tokenizer.special_id(template.end),
        prefix=tokenizer.special_id(template.prefix),
        suffix=tokenizer.special_id(template.suffix),
        middle=optional(template.middle),
        file_sep=optional(template.file_sep),
        begin=optional(template.begin),
        repo_sep=optional(template.repo_sep),
    )


def stop_token_ids(tokenizer: Tokenizer, template: FimTemplate = PACELINE) -> frozenset[int]:
    """Ids after which a middle is over: ends of text, and sentinels that only a prompt may hold.

    What `generation_config.json` says (`OpenedModel.end_token_ids`) and padding rows of the head are
    the caller's to add.
    """
    names = (*template.sentinels, *template.other_ends)
    found = (tokenizer.find_id(name) for name in names)
    return frozenset(token_id for token_id in found if token_id is not None)


def template_for(tokenizer: Tokenizer, family: str | None = None) -> FimTemplate:
    """The template whose sentinels the vocabulary has; the first of `TEMPLATES` that fits.

    Args:
        family: a key of `TEMPLATES`, to insist on that one.

    Raises:
        ConfigError: there is no such family.
        CheckpointError: sentinels are missing; the message names them.
    """
    if family is not None and family not in TEMPLATES:
        raise ConfigError(
            f"No FIM template is called {family!r}; known are {', '.join(TEMPLATES)}."
        )
    candidates = list(TEMPLATES.values()) if family is None else [TEMPLATES[family]]
    missing = {
        candidate.family: [name for name in candidate.sentinels if tokenizer.find_id(name) is None]
        for candidate in candidates
    }
    for candidate in candidates:
        if not missing[candidate.family]:
            return candidate
    nearest = min(missing, key=lambda name: len(missing[name]))
    raise CheckpointError(
        f"The tokenizer does not fit the {nearest} fill-in-the-middle template: it lacks "
        f"{', '.join(missing[nearest])}; use a model that was trained to fill in the middle."
    )
