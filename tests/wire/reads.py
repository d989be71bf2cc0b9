"""Which fields of our replies the real clients read, found in their sources, by path of the request.

`a.b[].c`: field c of every item of b in a. A name in quotes may hold any character: `"timings/prompt_n"`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class Reads(NamedTuple):
    """What a client takes from one kind of reply."""

    source: str
    """Where in the client's repository (at the commit that the fixture names) it is read."""
    fields: tuple[str, ...]


CODEIUM = "/exa.language_server_pb.LanguageServerService/"

READS: dict[str, dict[str, Reads]] = {
    "llama_vim": {
        "/infill": Reads(
            "autoload/llama.vim: s:fim_on_response, s:fim_render",
            (
                "content",
                "tokens_cached",
                '"timings/prompt_n"',
                '"timings/prompt_ms"',
                '"timings/prompt_per_second"',
                '"timings/predicted_n"',
                '"timings/predicted_ms"',
                '"timings/predicted_per_second"',
            ),
        )
    },
    "codeium_vim": {
        CODEIUM + "GetStatus": Reads(
            "autoload/codeium/server.vim: s:HandleGetStatusResponse", ("status",)
        ),
        CODEIUM + "GetCompletions": Reads(
            "autoload/codeium.vim: s:HandleCompletionsResult, s:RenderCurrentCompletion, s:CompletionInserter",
            (
                "completionItems[].completion.completionId",
                "completionItems[].completion.text",
                "completionItems[].range.startOffset",
                "completionItems[].range.endOffset",
                "completionItems[].completionParts[].text",
                "completionItems[].completionParts[].type",
                "completionItems[].completionParts[].prefix",
                "completionItems[].completionParts[].line",
            ),
        ),
    },
    "neocodeium": {
        CODEIUM + "GetCompletions": Reads(
            "lua/neocodeium/completer.lua, renderer.lua",
            (
                "completionItems[].completion.completionId",
                "completionItems[].completionParts[].text",
                "completionItems[].completionParts[].type",
                "completionItems[].completionParts[].prefix",
                "completionItems[].completionParts[].offset",
                "completionItems[].range.startOffset",
                "completionItems[].range.endOffset",
                "state",
            ),
        ),
    },
    "tabby_agent": {
        "/v1/health": Reads(
            "clients/tabby-agent/src/TabbyAgent.ts: healthCheck",
            ("model", "device", "arch", "cpu_info", "cpu_count", "cuda_devices", "version"),
        ),
        "/v1beta/server_setting": Reads(
            "clients/tabby-agent/src/TabbyAgent.ts: fetchServerConfig",
            ("disable_client_side_telemetry",),
        ),
        "/v1/completions": Reads(
            "clients/tabby-agent/src/CompletionSolution.ts",
            ("id", "choices[].index", "choices[].text"),
        ),
    },
    "openai_python": {
        "/v1/models": Reads("src/openai/types/model.py", ("data[].id", "data[].object", "object")),
        "/v1/completions": Reads(
            "src/openai/types/completion.py, completion_choice.py, completion_usage.py",
            (
                "id",
                "object",
                "created",
                "model",
                "choices[].text",
                "choices[].index",
                "choices[].finish_reason",
                "choices[].logprobs",
            ),
        ),
    },
}

ERROR = Reads("src/openai/_client.py: _make_status_error", ("error.message", "error.code"))


def find(value: Any, path: str) -> list[Any]:
    """Every value at `path`; empty if there is none."""
    found = [value]
    for quoted, name, is_list in re.findall(r'(?:"([^"]+)"|([^."\[\]]+))(\[\])?', path):
        key = quoted or name
        found = [item[key] for item in found if isinstance(item, dict) and key in item]
        if is_list:
            found = [each for item in found if isinstance(item, list) for each in item]
    return found
