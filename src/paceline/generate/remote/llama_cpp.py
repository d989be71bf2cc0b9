"""llama.cpp's server: `/infill`, where it puts the model's own sentinels, or `/completion` with ours.

Its KV cache belongs to a slot, so a document keeps the slot that it had (SlotTable).

Source: llama.cpp, tools/server/README.md; the events are those of its `stream` mode without OpenAI's form.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from paceline.generate.remote.decoding import NOTHING, decode_event, details_in
from paceline.generate.remote.types import Ask, Call, Framing, Piece

FINAL_FIELDS = (
    "content", "stop", "stop_type", "tokens_predicted", "tokens_evaluated", "tokens_cached", "timings",
)  # fmt: skip
"""Of the last event; else it repeats the prompt and every setting."""

MAX_SESSIONS = 4096


class _Timings(msgspec.Struct):
    cache_n: int | None = None
    prompt_n: int | None = None


class _Event(msgspec.Struct):
    content: str
    stop: bool = False
    stop_type: str | None = None
    tokens_predicted: int | None = None
    tokens_evaluated: int | None = None
    timings: _Timings | None = None
    completion_probabilities: msgspec.Raw = NOTHING


_EVENT = msgspec.json.Decoder(_Event)


class SlotTable:
    """Which slot a document has: each its own while there are enough, then the least recently used one's."""

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._slots: OrderedDict[str, int] = OrderedDict()

    def slot_of(self, session_key: str) -> int | None:
        """The slot to ask for; None leaves the choice to the server."""
        if self._num_slots < 2 or not session_key:
            return None
        slot = self._slots.pop(session_key, None)
        if slot is None:
            slot = self._free()
        self._slots[session_key] = slot
        return slot

    def _free(self) -> int:
        taken = set(self._slots.values())
        free = next((slot for slot in range(self._num_slots) if slot not in taken), None)
        return self._slots.popitem(last=False)[1] if free is None else free


class LlamaCppDialect:
    """One llama-server."""

    framing: Framing = "sse"

    def __init__(self, *, num_slots: int = 1, prefix: str = "") -> None:
        self._slots, self._prefix = SlotTable(num_slots), prefix

    def calls(self, ask: Ask) -> Iterator[Call]:
        """See Dialect. It ignores what it does not know."""
        yield self._call(ask)

    def _call(self, ask: Ask) -> Call:
        """Two texts go to `/infill`, one to `/completion`."""
        rendered = ask.rendered
        body = self._settings(ask)
        if ask.prompt_ids is not None or rendered.suffix is None:
            body["prompt"] = rendered.prompt if ask.prompt_ids is None else list(ask.prompt_ids)
            return Call(path=f"{self._prefix}/completion", body=body)
        body["input_prefix"], body["input_suffix"] = rendered.prompt, rendered.suffix
        body["prompt"] = ""
        body["input_extra"] = [
            {"filename": each.path, "text": each.text} for each in rendered.snippets
        ]
        return Call(path=f"{self._prefix}/infill", body=body)

    def _settings(self, ask: Ask) -> dict[str, Any]:
        params = ask.params
        body: dict[str, Any] = {
            "stream": True,
            "cache_prompt": True,
            "n_predict": params.max_tokens,
            "temperature": params.temperature,
            "n_probs": max(params.num_top_logprobs or 0, 1),
            "response_fields": FINAL_FIELDS,
        }
        if ask.model:
            body["model"] = ask.model
        if params.stop:
            body["stop"] = list(params.stop)
        if ask.left_ms is not None:
            body["t_max_predict_ms"] = max(int(ask.left_ms), 1)
        if params.seed is not None:
            body["seed"] = params.seed
        if params.is_end_ignored:
            body["ignore_eos"] = True
        if params.temperature > 0:  # its own defaults would narrow the choice: top_k 40, top_p 0.95
            body |= {"top_k": params.top_k or 0, "top_p": params.top_p, "min_p": params.min_p}
        if (slot := self._slots.slot_of(ask.session_key)) is not None:
            body["id_slot"] = slot
        return body

    def settle(self, call: Call) -> None:
        """Nothing was left out."""

    def read(self, data: bytes) -> Piece:
        """See Dialect. With `stop` the stream is over."""
        event = decode_event(_EVENT, data)
        timings = event.timings if event.stop else None
        return Piece(
            text=event.content,
            tokens=details_in(event.completion_probabilities),
            completion_tokens=event.tokens_predicted,
            prompt_tokens=event.tokens_evaluated or 0,
            cached_tokens=(timings.cache_n or 0) if timings else 0,
            end=_end(event.stop_type) if event.stop else None,
            is_last=event.stop,
        )


def _end(stop_type: str | None) -> Literal["stop", "length"]:
    return "length" if stop_type in ("limit", "none") else "stop"
