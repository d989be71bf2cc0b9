"""llama.cpp's dialect beyond llama.vim's plain request: time, indentation, several answers, raw output, /props."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.complete.config import CompleteConfig
from paceline.generate.types import GenerateParams, PromptParts, TextChunk
from paceline.server.caller import ANONYMOUS, Caller
from paceline.server.dialects.engines_endings import ending_by_indent
from paceline.server.dialects.llama_cpp_params import MAX_LATENCY_MS, WARM_LATENCY_MS, to_request
from paceline.server.dialects.llama_cpp_types import InfillRequest, parse_time
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of, events_of

MODELS = FakeGenerator(models=("m", "m:one", "m:two", "other")).models


def asked(**fields: Any) -> Any:
    return to_request(
        InfillRequest.model_validate({"input_prefix": "x = "} | fields), ANONYMOUS, MODELS
    )


@pytest.mark.parametrize(
    ("limits", "expected_ms"),
    [
        ({"t_max_prompt_ms": 500, "t_max_predict_ms": 250}, 750),
        ({"t_max_predict_ms": 250}, 250),
        ({"t_max_prompt_ms": 500}, None),
        ({"t_max_prompt_ms": -1, "t_max_predict_ms": 250}, 250),
        ({"t_max_prompt_ms": 500, "t_max_predict_ms": 0}, None),
        ({"t_max_prompt_ms": 1e308, "t_max_predict_ms": 1e308}, MAX_LATENCY_MS),
        # llama.vim sends 1 ms with the request that warms the cache: it would never get done.
        ({"t_max_prompt_ms": 1, "t_max_predict_ms": 1, "n_predict": 0}, WARM_LATENCY_MS),
    ],
)
def test_time_for_prompt_and_answer_is_one_limit(
    limits: dict[str, float], expected_ms: float | None
) -> None:
    assert asked(**limits).max_latency_ms == expected_ms


def test_nothing_is_written_if_the_prompt_takes_all_the_time() -> None:
    class Late(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            yield TextChunk(text="", prompt_tokens=7, finish_reason="deadline")

    reply = client_of(Late()).post("/infill", json={"input_prefix": "x = "}).json()
    assert (reply["content"], reply["stop_type"]) == ("", "limit")
    assert reply["timings"]["predicted_per_token_ms"] == 0


@pytest.mark.parametrize(
    ("lora", "model", "expected"),
    [
        ([{"id": 0, "scale": 0.5}], None, "m:one"),
        ([{"id": 0, "scale": 0.5}, {"id": 1, "scale": 0.7}], None, "m:two"),
        ([{"id": 1}], "other", "other"),
        ([{"id": 1, "scale": 0}], None, None),
        ([{"id": 2}], None, None),
        ([{"id": -1}], None, None),
        ([], None, None),
    ],
)
def test_adapters_are_chosen_by_number(
    lora: list[dict[str, float]], model: str | None, expected: str | None
) -> None:
    assert asked(lora=lora, model=model).model_id == expected


def test_the_newest_piece_comes_first_if_all_have_a_time() -> None:
    def order(*times: Any) -> list[str]:
        extras = [{"text": str(number), "time": time} for number, time in enumerate(times)]
        return [snippet.text for snippet in asked(input_extra=extras).snippets]

    assert order([1, 5], [2, 0], [1, 9]) == ["1", "2", "0"]
    assert order(1732000000000, 1732000000001.5) == ["1", "0"]
    assert order([1, 5], [2, 0], None) == ["0", "1", "2"]
    assert order("now", [2, 0]) == ["0", "1"]
    assert parse_time([1] * 5) is None
    assert parse_time(True) is None


def test_sampling_is_read_as_far_as_samplers_name_it() -> None:
    body = {"temperature": 1, "top_k": 5, "top_p": 0.5, "min_p": 0.1}
    some = asked(**body, samplers=["temperature", "top_p"])
    assert (some.top_k, some.top_p, some.min_p) == (None, 0.5, 0.0)
    text = asked(**body, samplers="kpm")
    assert (text.top_k, text.top_p, text.min_p) == (5, 0.5, 0.1)


def test_two_users_share_no_session() -> None:
    ann = Caller(user_id="ann")
    mine = to_request(InfillRequest.model_validate({"prompt": "x", "session_id": "s"}), ann, MODELS)
    assert mine.session is not None
    assert mine.session.session_id == mine.user_id == "ann\0s"


@pytest.mark.parametrize(
    ("pieces", "n_indent", "content"),
    [
        (["if x:", "\n        return x", "\n    return 1", "\nx()"], 4, "if x:\n        return x\n    return 1"),
        (["if x:", "\n        return x", "\n    return 1", "\nx()"], 5, "if x:\n        return x"),
        (["if x:", "\n\n        return x"], 4, "if x:\n\n        return x"),
        (["if x:", "\n        return x"], 0, "if x:\n        return x"),
        (["if x:", "\n        return x"], -3, "if x:\n        return x"),
    ],
)  # fmt: skip
def test_a_line_that_is_indented_less_ends_the_completion(
    pieces: list[str], n_indent: int, content: str
) -> None:
    body = {"input_prefix": "def f(x):\n    ", "mode": "multi_line", "n_indent": n_indent}
    client = client_of(FakeGenerator(pieces))
    assert client.post("/infill", json=body).json()["content"] == content


def test_an_answer_that_is_cut_to_nothing_says_why() -> None:
    body = {"input_prefix": "    def f(x):", "mode": "multi_line", "n_indent": 8}
    reply = client_of(FakeGenerator(["\n", "    return x"])).post("/infill", json=body).json()
    assert (reply["content"], reply["paceline"]["drop_reason"]) == ("", "indent")


class Drawn(FakeGenerator):
    """Another answer to each call."""

    async def stream(
        self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
    ) -> AsyncGenerator[TextChunk, None]:
        self.pieces = (f"f({len(self.calls)})", "\n")
        async for chunk in super().stream(parts, params, model_id=model_id):
            yield chunk


INVOKED: dict[str, Any] = {
    "input_prefix": "def f(x): ...\nx = ", "n_cmpl": 3, "trigger": "invoked", "mode": "single_line"
}  # fmt: skip


def test_several_completions_are_a_list() -> None:
    reply = client_of(Drawn()).post("/infill", json=INVOKED).json()
    assert [(each["index"], each["content"]) for each in reply] == [
        (0, "f(0)"), (1, "f(1)"), (2, "f(2)"),
    ]  # fmt: skip
    assert len({each["paceline"]["request_id"] for each in reply}) == 1


def test_one_completion_is_an_object_and_an_automatic_one_is_not_multiplied() -> None:
    generator = Drawn()
    client = client_of(generator)
    assert client.post("/infill", json=INVOKED | {"n_cmpl": 1}).json()["content"] == "f(0)"
    only = client.post("/infill", json=INVOKED | {"trigger": None, "prompt": "x + "}).json()
    assert (only["index"], len(generator.calls)) == (0, 2)


def test_several_completions_stream_with_their_index() -> None:
    body = INVOKED | {"stream": True, "response_fields": ["index", "stop"]}
    events = events_of(client_of(Drawn()).post("/infill", json=body))
    assert [(event["index"], event["stop"]) for event in events] == [
        (0, False), (1, False), (2, False), (0, True), (1, True), (2, True),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [0, 4, -1])
def test_llama_vscode_recognises_that_it_asks_for_too_many(number: int) -> None:
    response = client_of(FakeGenerator()).post("/infill", json=INVOKED | {"n_cmpl": number})
    assert response.status_code == 400
    assert error_of(response)["message"].startswith("Field 'n_cmpl': Value must be between")


def test_llama_vscode_finds_the_window_in_each_reply() -> None:
    reply = client_of(FakeGenerator()).post("/infill", json={"input_prefix": "x = "}).json()
    assert reply["generation_settings"] == {"n_ctx": 1024}


@pytest.mark.parametrize(("fields", "names"), [([""], set()), (["stop", "x"], {"stop"})])
def test_only_the_fields_asked_for(fields: list[str], names: set[str]) -> None:
    client = client_of(FakeGenerator())
    body = {"input_prefix": "x = ", "response_fields": fields}
    assert set(client.post("/infill", json=body).json()) == names
    assert "content" in client.post("/infill", json=body | {"response_fields": []}).json()


def test_props_and_slots_tell_what_clients_read_and_no_path() -> None:
    client = client_of(FakeGenerator(models=("m",)))
    props = client.get("/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 1024
    assert props["model_path"] == props["model_alias"] == "m"
    assert client.post("/props", json={}).status_code == 405
    (slot,) = client.get("/slots").json()
    assert (slot["id"], slot["n_ctx"], slot["is_processing"]) == (0, 1024, False)


def test_a_running_request_shows_in_slots() -> None:
    seen: list[bool] = []

    class Looking(FakeGenerator):
        async def stream(
            self, parts: PromptParts, params: GenerateParams, *, model_id: str | None = None
        ) -> AsyncGenerator[TextChunk, None]:
            seen.append(looker.get("/slots").json()[0]["is_processing"])
            yield TextChunk(text="1", num_tokens=1, finish_reason="stop")

    looker = client = client_of(Looking())
    assert client.post("/infill", json={"input_prefix": "x = "}).status_code == 200
    assert seen == [True]


def test_raw_completion_is_not_post_processed() -> None:
    generator = FakeGenerator(["\n", "\n", "x"])
    reply = client_of(generator).post("/completion", json={"prompt": "a", "id_slot": 2}).json()
    assert (reply["content"], reply["stop"], reply["id_slot"]) == ("\n\nx", True, 2)
    assert (reply["tokens_predicted"], reply["tokens_evaluated"]) == (3, 1)
    params = generator.calls[0].params
    sampling = (params.temperature, params.top_k, params.top_p, params.min_p)
    assert sampling == (0.8, 40, 0.95, 0.05)


def test_raw_completion_fits_the_window_whatever_the_client_asks() -> None:
    generator = FakeGenerator()
    body = {"prompt": "x" * 400_000, "n_predict": 4096}
    assert client_of(generator).post("/completion", json=body).status_code == 200
    (call,) = generator.calls
    assert (call.parts.is_truncatable, call.params.max_tokens) == (True, 512)


def test_raw_completion_streams_as_continue_reads_it() -> None:
    body = {"prompt": "a", "stream": True, "n_predict": 2, "frequency_penalty": 0.5}
    *pieces, last = events_of(client_of(FakeGenerator()).post("/completion", json=body))
    assert "".join(piece["content"] for piece in pieces) == "return 1"
    assert (last["content"], last["stop"], last["stop_type"]) == ("", True, "limit")


def test_raw_completion_warms() -> None:
    generator = FakeGenerator()
    reply = client_of(generator).post("/completion", json={"prompt": "a", "n_predict": 0}).json()
    assert reply["content"] == ""
    params = generator.calls[0].params
    assert (params.max_tokens, params.lane, params.session) == (1, "batch", None)
    assert CompleteConfig().max_latency_ms != params.max_latency_ms == WARM_LATENCY_MS


@pytest.mark.parametrize("is_streamed", [True, False])
def test_raw_completion_ends_by_indent_and_stops_the_model(is_streamed: bool) -> None:
    generator = FakeGenerator(["a:\n", "    b\n", "c", "\n", "d", "e", "f"])
    body = {"prompt": "if x:\n    ", "n_indent": 4, "stream": is_streamed}
    response = client_of(generator).post("/completion", json=body)
    replies = events_of(response) if is_streamed else [response.json()]
    assert "".join(reply["content"] for reply in replies) == "a:\n    b"
    assert replies[-1]["tokens_predicted"] == 4
    assert replies[-1]["tokens_evaluated"] == len("if x:\n    ")


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ["a", "b"]}, {}, {"prompt": None}, {"prompt": "a", "temperature": 9},
        {"prompt": "a", "n_predict": "x"}, {"prompt": "a", "lora": [{"scale": 1}]},
        {"prompt": "a", "samplers": 5}, {"prompt": [1] * 2000},
    ],
)  # fmt: skip
def test_wrong_raw_requests_are_refused(body: dict[str, Any]) -> None:
    response = client_of(FakeGenerator()).post("/completion", json=body)
    assert response.status_code == 400
    assert error_of(response)["code"] in ("invalid_request", "context_length_exceeded")
    empty = client_of(FakeGenerator()).post("/completion", json={"prompt": "", "stream": True})
    assert (empty.status_code, error_of(empty)["code"]) == (400, "empty_prompt")


LINES = st.lists(st.sampled_from(["", "a", "  b", "    c", "\t\td", "  ", "e f"]), max_size=6)


@given(LINES, st.integers(1, 5))
def test_indent_ending_keeps_whole_lines_and_is_stable(lines: list[str], num_chars: int) -> None:
    text = "\n".join(lines)
    ending = ending_by_indent(num_chars)
    kept, is_over = ending.find(text, is_final=True)
    assert text.startswith(text[:kept])
    assert not kept or text[kept : kept + 1] in ("", "\n")
    later = [line for line in text[:kept].split("\n")[1:] if line.strip()]
    assert all(len(line) - len(line.lstrip(" \t")) >= num_chars for line in later)
    assert is_over == (kept < len(text))
    settled = [ending.find(text[:end]).num_chars for end in range(len(text) + 1)]
    assert settled == sorted(settled)  # nothing that was sent is taken back
    assert all(num <= kept for num in settled)
