"""Copilot and FauxPilot: a case for each field that does something."""

from __future__ import annotations

from typing import Any

from tests.server.fields.cases_openai import completion_cases
from tests.server.fields.harness import FieldCase

REQUEST = "POST /v1/engines/{model}/completions"
PATH = "/v1/engines/copilot-codex/completions"
BODY: dict[str, Any] = {"prompt": "if a:\n    ", "suffix": ""}
BLOCK = ("b()\n", "    c()\n", "else:\n", "    d()\n", "e()\n")


def _case(changes: dict[str, Any], **base: Any) -> FieldCase:
    whole = BODY | base
    return FieldCase(base=whole, changed=whole | changes, path=PATH, pieces=BLOCK)


def _trimmed(**extra: Any) -> dict[str, Any]:
    return {"extra": {"trim_by_indentation": True} | extra}


CASES: dict[str, FieldCase] = completion_cases(REQUEST, PATH) | {
    f"{REQUEST} {{model}}": FieldCase(
        base=BODY, changed=BODY, path=PATH, changed_path="/v1/engines/other/completions"
    ),
    f"{REQUEST} logit_bias": _case({"logit_bias": {"50256": -100}}),
    f"{REQUEST} nwo": _case({"nwo": "owner/name"}),
    f"{REQUEST} code_annotations": _case({"code_annotations": True}),
    f"{REQUEST} extra.language": _case(_trimmed(language="python"), **_trimmed(language="ruby")),
    f"{REQUEST} extra.trim_by_indentation": _case(_trimmed(), extra={}),
    f"{REQUEST} extra.next_indent": _case(_trimmed(next_indent=4), **_trimmed(next_indent=0)),
    f"{REQUEST} extra.force_indent": _case(_trimmed(force_indent=4), **_trimmed(force_indent=-1)),
    f"{REQUEST} extra.context": _case({"extra": {"context": ["def b(): ..."]}}),
    f"{REQUEST} extra.prompt_tokens": _case({"extra": {"prompt_tokens": 9}}, extra={}),
    f"{REQUEST} extra.suffix_tokens": _case({"extra": {"suffix_tokens": 9}}, extra={}),
    f"{REQUEST} extra.test_completions": _case({"extra": {"test_completions": ["x"]}}, extra={}),
}
