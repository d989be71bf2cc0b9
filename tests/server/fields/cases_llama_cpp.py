"""llama.cpp: a case for each field that does something."""

from __future__ import annotations

from typing import Any

from tests.server.fields.harness import FieldCase

INFILL: dict[str, Any] = {
    "input_prefix": "def f(a):\n",
    "prompt": "    x = ",
    "input_suffix": "\n\nf(1)\n",
    "filename": "a.py",
}
WRITTEN = ("f(", "a)", "\n    y = ", "1", "\n", "z = 2\n")
"""A multi-line answer whose last line is indented less."""


def _extras(*times: int) -> list[dict[str, Any]]:
    return [
        {"text": f"def g{number}(a): return a\n", "filename": f"{number}.py", "time": [time, 0]}
        for number, time in enumerate(times)
    ]


def _infill(
    changes: dict[str, Any], base: dict[str, Any] | None = None, **options: Any
) -> FieldCase:
    whole = INFILL | (base or {})
    return FieldCase(base=whole, changed=whole | changes, pieces=WRITTEN, **options)


def _drawn(**changes: Any) -> FieldCase:
    return _infill(changes, {"temperature": 1.0})


RAW: dict[str, Any] = {"prompt": "x = "}


def _raw(changes: dict[str, Any], base: dict[str, Any] | None = None, **options: Any) -> FieldCase:
    whole = RAW | (base or {})
    return FieldCase(base=whole, changed=whole | changes, pieces=WRITTEN, **options)


ADAPTERS = ("fake", "fake:one", "fake:two")
LORA = {"lora": [{"id": 0, "scale": 1}]}
SESSION = {"session_id": "s"}

CASES: dict[str, FieldCase] = {
    "POST /infill input_prefix": _infill({"input_prefix": "def g(a):\n"}),
    "POST /infill input_suffix": _infill({"input_suffix": "\n\nf(2)\n"}),
    "POST /infill prompt": _infill({"prompt": "    y = "}),
    "POST /infill input_extra[].text": _infill({"input_extra": _extras(1)}, {"input_extra": []}),
    "POST /infill input_extra[].filename": _infill(
        {"input_extra": [{"text": "x = 1", "filename": "c.py"}]},
        {"input_extra": [{"text": "x = 1", "filename": "b.py"}]},
    ),
    "POST /infill input_extra[].time": _infill(
        {"input_extra": _extras(1, 2)}, {"input_extra": _extras(2, 1)}
    ),
    "POST /infill n_predict": _infill({"n_predict": 2}),
    "POST /infill n_cmpl": _infill({"n_cmpl": 2}, {"trigger": "invoked"}),
    "POST /infill t_max_prompt_ms": _infill({"t_max_prompt_ms": 500}, {"t_max_predict_ms": 1000}),
    "POST /infill t_max_predict_ms": _infill({"t_max_predict_ms": 1000}),
    "POST /infill n_indent": FieldCase(
        base=INFILL | {"mode": "multi_line", "prompt": "        x = "},
        changed=INFILL | {"mode": "multi_line", "prompt": "        x = ", "n_indent": 8},
        pieces=WRITTEN,
    ),
    "POST /infill seed": _drawn(seed=1),
    "POST /infill stop": _infill({"stop": ["("]}),
    "POST /infill stream": _infill({"stream": True}),
    "POST /infill id_slot": _infill({"id_slot": 3}),
    "POST /infill session_id": _infill({"session_id": "s"}),
    "POST /infill document_id": _infill({"document_id": "d"}, SESSION),
    "POST /infill response_fields": _infill({"response_fields": ["content"]}),
    "POST /infill lora[].id": _infill({"lora": [{"id": 1}]}, LORA, models=ADAPTERS),
    "POST /infill lora[].scale": _infill({"lora": [{"id": 0, "scale": 0}]}, LORA, models=ADAPTERS),
    "POST /infill model": _infill({"model": "other"}),
    "POST /infill temperature": _infill({"temperature": 0.5}),
    "POST /infill top_k": _drawn(top_k=5),
    "POST /infill top_p": _drawn(top_p=0.5),
    "POST /infill min_p": _drawn(min_p=0.1),
    "POST /infill samplers": _infill({"samplers": ["top_p"]}, {"temperature": 1, "top_k": 5}),
    "POST /infill cache_prompt": _infill({"cache_prompt": False}),
    "POST /infill mode": _infill({"mode": "multi_line"}, {"mode": "single_line"}),
    "POST /infill trigger": _infill({"trigger": "invoked", "n_cmpl": 2}, {"n_cmpl": 2}),
    "POST /infill multi_line_threshold": FieldCase(
        base={"input_prefix": "def f(a):\n    ", "multi_line_threshold": 0},
        changed={"input_prefix": "def f(a):\n    ", "multi_line_threshold": 1},
        pieces=WRITTEN,
    ),
    "POST /infill show_threshold": _infill({"show_threshold": 1}, {"show_threshold": 0}),
    "POST /infill filename": _infill({"filename": ".env"}),
    "POST /infill language": FieldCase(
        base={"input_prefix": "x = 1 # "},
        changed={"input_prefix": "x = 1 # ", "language": "python"},
    ),
    "POST /completion prompt": _raw({"prompt": "y = "}),
    "POST /completion n_predict": _raw({"n_predict": 2}),
    "POST /completion ignore_eos": _raw({"ignore_eos": True}),
    "POST /completion t_max_predict_ms": _raw({"t_max_predict_ms": 9}),
    "POST /completion n_indent": _raw({"n_indent": 4}),
    "POST /completion seed": _raw({"seed": 1}),
    "POST /completion stop": _raw({"stop": ["("]}),
    "POST /completion stream": _raw({"stream": True}),
    "POST /completion id_slot": _raw({"id_slot": 3}),
    "POST /completion session_id": _raw({"session_id": "s"}),
    "POST /completion document_id": _raw({"document_id": "d"}, SESSION),
    "POST /completion response_fields": _raw({"response_fields": ["content"]}),
    "POST /completion lora[].id": _raw({"lora": [{"id": 1}]}, LORA, models=ADAPTERS),
    "POST /completion lora[].scale": _raw({"lora": [{"id": 0, "scale": 0}]}, LORA, models=ADAPTERS),
    "POST /completion model": _raw({"model": "other"}),
    "POST /completion temperature": _raw({"temperature": 0.5}),
    "POST /completion top_k": _raw({"top_k": 5}),
    "POST /completion top_p": _raw({"top_p": 0.5}),
    "POST /completion min_p": _raw({"min_p": 0.1}),
    "POST /completion samplers": _raw({"samplers": ["top_p"]}),
    "POST /completion cache_prompt": _raw({"cache_prompt": False}),
    "GET /slots ?fail_on_no_slot": FieldCase(
        base=None, changed=None, changed_path="/slots?fail_on_no_slot=1"
    ),
}
