"""Prompts in which the client has written a model family's sentinels as text: understood as what they mean.

Continue, Zed and llama.vscode (with an OpenAI endpoint) render fill-in-the-middle prompts themselves, by the model's
name or a setting. Names of sentinels in a text are text here, whatever the model: so such a prompt is taken apart,
and the served model's own template puts it together again.
"""

from __future__ import annotations

from typing import NamedTuple

from paceline.core.types import Snippet


class _Form(NamedTuple):
    """How a family writes a prompt; it ends with `middle`."""

    prefix: str
    suffix: str
    middle: str


FORMS = (
    _Form("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    _Form("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    _Form("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    _Form("<PRE> ", " <SUF>", " <MID>"),
)
"""Qwen's and ours; StarCoder's and Mellum's; DeepSeek's; Code Llama's. The order of prefix and suffix does not
matter."""
CODESTRAL_SUFFIX, CODESTRAL_PREFIX = "[SUFFIX]", "[PREFIX]"
"""Begins with the one, has the other once, and ends with the prefix."""
FILE_SEPS = ("<|file_sep|>", "<file_sep>", "<filename>")
BEGINS = ("<｜begin▁of▁sentence｜>", "<s>")
REPO_NAMES = ("<|repo_name|>", "<repo_name>", "<reponame>")
HEADS = (*BEGINS, *FILE_SEPS, *REPO_NAMES, "Context:\n\n")
"""How a head begins, if there is one; the last is llama.vscode's. Anything else is a file in which sentinels stand, such
as a tokenizer's."""


class Middle(NamedTuple):
    """What a rendered prompt asks for."""

    prefix: str
    suffix: str
    snippets: tuple[Snippet, ...] = ()
    path: str = ""
    """Of the file itself, if it is named."""
    project: str = ""


def read_middle(prompt: str) -> Middle | None:
    """Take a rendered prompt apart; None if it is none, or may be read in two ways.

    Between its sentinels stands what the user edits, and there their names are text.
    """
    if prompt.startswith(CODESTRAL_SUFFIX) and prompt.count(CODESTRAL_PREFIX) == 1:
        suffix, _, prefix = prompt.removeprefix(CODESTRAL_SUFFIX).partition(CODESTRAL_PREFIX)
        return Middle(prefix, suffix)
    end = prompt.rstrip("\n")
    for form in FORMS:
        if end.endswith(form.middle):
            return _take_apart(end.removesuffix(form.middle), form)
    return None


def _take_apart(text: str, form: _Form) -> Middle | None:
    """`text` is a prompt without the sentinel at its end."""
    at_prefix, at_suffix = text.find(form.prefix), text.find(form.suffix)
    is_prefix_first = at_prefix < at_suffix
    first, second = form[:2] if is_prefix_first else form[1::-1]
    head, _, rest = text.partition(first)
    is_head = not head or head.startswith(HEADS)
    if min(at_prefix, at_suffix) < 0 or not is_head or rest.count(second) != 1:
        return None
    one, _, other = rest.partition(second)
    prefix, suffix = (one, other) if is_prefix_first else (other, one)
    return _with_head(Middle(prefix, suffix), head)


def _with_head(middle: Middle, head: str) -> Middle:
    """What stands before the first sentinel: the project's name, other files, the path of this one, plain text."""
    for begin in BEGINS:
        head = head.removeprefix(begin)
    for separator in FILE_SEPS:
        head = head.replace(separator, FILE_SEPS[0])
    start, *files = head.split(FILE_SEPS[0])
    for name in REPO_NAMES:
        _, _, named = start.partition(name)
        project, _, start = named.partition("\n") if named else ("", "", start)
        middle = middle._replace(project=project or middle.project)
    snippets = [Snippet(path="", text=start)] if start.strip() else []
    for file in files:
        path, _, text = file.partition("\n")
        if text.strip():
            snippets.append(Snippet(path=path, text=text))
        else:
            middle = middle._replace(path=path)
    return middle._replace(snippets=tuple(snippets))
