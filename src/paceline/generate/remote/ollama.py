"""Ollama's `/api/generate`: with `suffix` for models whose template inserts, or `raw` with our sentinels.

It cuts a prompt that is longer than `num_ctx` in silence, so the window that prompts are made for is
always sent along.

Source: Ollama, docs/api.md (generate a completion) and docs/modelfile.md (options).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from paceline.core.errors import InputError
from paceline.generate.remote.decoding import NOTHING, decode_event, details_in
from paceline.generate.remote.types import Ask, Call, Framing, Piece

KEEP_ALIVE = "30m"
"""So long does a model stay loaded that nobody asks: a pause for coffee. Ollama's own 5 minutes are short."""


class _Event(msgspec.Struct):
    done: bool
    response: str | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: msgspec.Raw = NOTHING


_EVENT = msgspec.json.Decoder(_Event)


class OllamaDialect:
    """One Ollama server; `context_tokens` by the name of the model."""

    framing: Framing = "lines"

    def __init__(self, context_tokens: dict[str, int], *, prefix: str = "") -> None:
        self._context_tokens, self._prefix = context_tokens, prefix

    def calls(self, ask: Ask) -> Iterator[Call]:
        """See Dialect. It ignores what it does not know."""
        yield self._call(ask)

    def _call(self, ask: Ask) -> Call:
        if ask.prompt_ids is not None:
            raise InputError("Ollama takes no prompts of ids; send text.")
        body: dict[str, Any] = {
            "model": ask.model,
            "prompt": ask.rendered.prompt,
            "stream": True,
            "keep_alive": KEEP_ALIVE,
            "logprobs": True,
            "top_logprobs": ask.params.num_top_logprobs or 0,
            "options": self._options(ask),
        }
        if ask.rendered.suffix is None:
            body["raw"] = True
        else:
            body["suffix"] = ask.rendered.suffix
        return Call(path=f"{self._prefix}/api/generate", body=body)

    def _options(self, ask: Ask) -> dict[str, Any]:
        params = ask.params
        options: dict[str, Any] = {
            "num_predict": params.max_tokens,
            "temperature": params.temperature,
        }
        if ask.model in self._context_tokens:
            options["num_ctx"] = self._context_tokens[ask.model]
        if params.stop:
            options["stop"] = list(params.stop)
        if params.seed is not None:
            options["seed"] = params.seed
        if params.temperature > 0:  # its own defaults would narrow the choice: top_k 40, top_p 0.9
            options |= {"top_k": params.top_k or 0, "top_p": params.top_p, "min_p": params.min_p}
        return options

    def settle(self, call: Call) -> None:
        """Nothing was left out."""

    def read(self, data: bytes) -> Piece:
        """See Dialect. With `done` the stream is over."""
        event = decode_event(_EVENT, data)
        is_done = event.done
        return Piece(
            text=event.response or "",
            tokens=details_in(event.logprobs),
            completion_tokens=event.eval_count if is_done else None,
            prompt_tokens=event.prompt_eval_count or 0,
            end=_end(event.done_reason) if is_done else None,
            is_last=is_done,
        )


def _end(reason: str | None) -> Literal["stop", "length"]:
    return "length" if reason == "length" else "stop"
