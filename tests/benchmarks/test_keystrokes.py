"""The benchmark's own arithmetic, parsers and prompts: what a record rests on."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.keystrokes import counters, stats
from benchmarks.keystrokes.agreement import agreement
from benchmarks.keystrokes.engines import PEERS, Engine, Paceline
from benchmarks.keystrokes.http_client import Answer, Pending, parse_event, split_events, take
from benchmarks.keystrokes.measure import Round, Typing
from benchmarks.keystrokes.models import RANDOM_CONFIG, ROOT, BenchModel, random_shapes
from benchmarks.keystrokes.processes import Server, ServerError, descendants
from benchmarks.keystrokes.summary import goals, summarise
from benchmarks.keystrokes.workload import MAX_PROMPT_TOKENS, fresh_prompts, states, typing
from paceline.tokenizer.bpe import Tokenizer

FLOATS = st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=1, max_size=50)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(ROOT / "models/paceline-python-6m/tokenizer.json")


@given(values=FLOATS, share=st.floats(0.01, 1))
def test_a_percentile_is_a_sample_that_covers_its_share(values: list[float], share: float) -> None:
    found = stats.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_a_missing_answer_is_kept_in_percentiles() -> None:
    assert stats.p95([1.0] * 19 + [math.inf]) == 1
    assert math.isinf(stats.p95([1.0] * 18 + [math.inf] * 2))
    assert math.isnan(stats.p50([]))
    assert stats.geometric_mean([1, 100]) == pytest.approx(10)
    assert math.isinf(stats.geometric_mean([1, math.inf]))


EVENTS = {
    "openai": (
        b'{"id":"c","choices":[{"index":0,"text":" x","logprobs":null,"finish_reason":null,"token_ids":[5,6]}]}',
        ((5, 6), " x", None, False),
    ),
    "usage": (b'{"choices":[],"usage":{"completion_tokens":24}}', ((), "", 24, False)),
    "done": (b"[DONE]", ((), "", None, True)),
    "llama.cpp": (
        b'{"index":0,"content":":","tokens":[73],"stop":false,"tokens_predicted":1}',
        ((73,), ":", 1, False),
    ),
    "llama.cpp's last": (
        b'{"content":"","tokens":[],"stop":true,"tokens_predicted":24,"generation_settings":{"top_k":40}}',
        ((), "", 24, True),
    ),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_events_of_every_dialect(kind: str) -> None:
    data, expected = EVENTS[kind]
    piece = parse_event(data)
    assert (piece.token_ids, piece.text, piece.num_tokens, piece.is_last) == expected


def test_an_error_ends_the_answer() -> None:
    answer = Answer()
    assert take(answer, parse_event(b'{"error":{"message":"no slot"}}'))
    assert answer.outcome == "error"
    assert "no slot" in answer.error


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_events_may_be_cut_anywhere(cuts: list[int]) -> None:
    stream = b': ping\n\ndata: {"a":1}\r\n\r\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\n'
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    buffered = bytearray()
    found: list[bytes] = []
    for start, end in itertools.pairwise(places):
        buffered += stream[start:end]
        found += split_events(buffered)
    assert found == [b'{"a":1}', b'{"b":2}', b"[DONE]"]


def serve_once(reply: bytes) -> Answer:
    """What the client makes of a server that answers with `reply`."""

    async def run() -> Answer:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await Pending(port, "/x", {"a": 1}, timeout_s=5, wanted_tokens=2).wait()

    return asyncio.run(run())


PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TWO = b'data: {"choices":[{"text":"a","token_ids":[1]}]}\n\ndata: {"choices":[{"text":"b","token_ids":[2]}]}\n\n'
END = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    "reply",
    [PLAIN + TWO + END, CHUNKED + chunk(TWO[:30]) + chunk(TWO[30:]) + chunk(END) + b"0\r\n\r\n"],
)
def test_both_ways_to_frame_a_stream(reply: bytes) -> None:
    answer = serve_once(reply)
    assert (answer.outcome, answer.token_ids, answer.text) == ("done", [1, 2], "ab")
    assert answer.first_ms is not None
    assert answer.latency_ms >= answer.first_ms


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 429 Too Many\r\n\r\nlater", "429"),
        (PLAIN + TWO, "ended before"),
        (PLAIN + END, "0 tokens, not 2"),
    ],
)
def test_what_is_not_an_answer(reply: bytes, error: str) -> None:
    answer = serve_once(reply)
    assert answer.outcome == "error"
    assert error in answer.error


def test_a_shorter_rest_of_a_typed_text_is_counted_as_such() -> None:
    one = b'data: {"choices":[{"text":"a","token_ids":[1],"finish_reason":"length"}]}\n\n'
    assert serve_once(PLAIN + one + END).num_missing == 1
    superseded = one.replace(b'"length"', b'"length","stop_reason":"superseded"')
    assert serve_once(PLAIN + superseded + END).outcome == "superseded"


def test_abandoning_closes_the_connection() -> None:
    async def run() -> tuple[Answer, bytes]:
        left: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        sent = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(PLAIN + TWO)
            sent.set()
            await reader.readexactly(7)
            left.set_result(await reader.read())
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            pending = Pending(server.sockets[0].getsockname()[1], "/x", {"a": 1}, timeout_s=5)
            await sent.wait()
            await asyncio.sleep(0.02)
            pending.cancel()
            answer = await pending.wait()
            return answer, await asyncio.wait_for(left, 5)

    answer, rest = asyncio.run(run())
    assert (answer.outcome, answer.num_tokens, rest) == ("cancelled", 2, b"")


def test_keystrokes_change_only_the_end_of_a_prompt(tokenizer: Tokenizer) -> None:
    for prompts in states(4, 20, tokenizer, seed=1):
        assert len(prompts) == 21
        assert max(map(len, prompts)) <= MAX_PROMPT_TOKENS
        for before, after in itertools.pairwise(prompts):
            assert after[: len(before) - 8] == before[:-8]
            assert before != after


def test_the_same_seed_gives_the_same_prompts(tokenizer: Tokenizer) -> None:
    assert states(2, 5, tokenizer, seed=3) == states(2, 5, tokenizer, seed=3)
    first, second = states(2, 5, tokenizer, seed=3), states(2, 5, tokenizer, seed=4)
    assert first != second
    users = typing(3, 4.0, tokenizer, seed=2)
    assert len(users) == 3
    for presses in users:
        assert presses
        assert all(0 <= press.at_ms <= 4000 and len(press.prompt) for press in presses)
    fresh = fresh_prompts(4, 50, tokenizer, seed=0)
    assert {len(prompt) for prompt in fresh} == {50}
    assert len({tuple(prompt[:8]) for prompt in fresh}) == 4


def a_round(latency_ms: float, cpu_s: float, *, in_time: int = 9) -> Round:
    levels = (1, 4)
    return Round(
        undisturbed_ms=[latency_ms] * 4,
        undisturbed_cpu_s=0.04,
        overlap_ms={users: [latency_ms * users] * 3 for users in levels},
        overlap_without_cancel_ms={users: [math.inf] for users in levels},
        bound_ms={users: [latency_ms * users] for users in levels},
        typing=[
            Typing(
                num_users=users, wall_s=2.0, num_keys=10, num_in_time=in_time, num_waited_for=2,
                waited_ms=[10.0, math.inf], server_cpu_s=cpu_s, client_cpu_s=0.1, late_sends_ms=1.0,
            )
            for users in levels
        ],
        prefill_tokens_per_s=[1000.0],
        decode_tokens_per_s={1: [100.0]},
        answers=[([1, 2], "ab"), ([3], "c")],
    )  # fmt: skip


def test_rounds_become_figures_and_goals() -> None:
    counted = {
        "vllm:spec_decode_num_draft_tokens_total": 8.0,
        "vllm:spec_decode_num_accepted_tokens_total": 6.0,
        "paceline_wasted_tokens_total": 5.0,
    }

    def figures(name: str, latency_ms: float, cpu_s: float):
        return summarise(
            [a_round(latency_ms, cpu_s)] * 2, engine=name, version="1", setting="s",
            peak_rss_bytes=1, server_counters=counted,
        )  # fmt: skip

    ours, peer = figures("paceline", 10.0, 0.5), figures("OpenVINO GenAI", 40.0, 2.0)
    assert ours.undisturbed_cpu_ms == pytest.approx(10)
    assert (ours.draft_acceptance, ours.server_wasted_tokens) == (0.75, 5.0)
    assert ours.typing[1].in_time_share == pytest.approx(0.9)
    assert ours.typing[1].in_time_share_of_waited == pytest.approx(0.5)
    assert math.isinf(ours.typing[1].waited_p95_ms)
    assert ours.in_time_per_cpu_s() == pytest.approx(18)
    found = goals(ours, [peer])
    assert all(goal.is_met for goal in found)
    assert not any(goal.is_met for goal in goals(peer, [ours]) if "peer" in goal.text)
    assert [goal.text.split(":")[0] for goal in goals(ours, [])] == ["one user", "4 users"]


def test_rounds_survive_json() -> None:
    one = a_round(1.0, 1.0)
    plain = msgspec.to_builtins(one, str_keys=True)
    assert msgspec.convert(plain, Round, strict=False).bound_ms == one.bound_ms


def test_agreement_by_ids_and_by_text(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.encode(text) for text in ("return None\n", "import os, sys, re, json\n")]
    other = Round(answers=[(one, "") for one in ids])
    same = Round(answers=[([], tokenizer.decode(one)) for one in ids])
    assert agreement([same], [other], tokenizer) == (1, 1)
    late = [ids[0], [*ids[1][:-1], 300]]
    assert agreement([Round(answers=[(one, "") for one in late])], [other], tokenizer) == (0.5, 1)
    assert agreement([Round()], [other], tokenizer) is None


def test_counters_grow() -> None:
    text = '# HELP a_total x\na_total{reason="x"} 2\na_total{reason="y"} 3.0\nb 7\n'
    before = counters.parse(text)
    after = counters.parse(text.replace(" 2\n", " 12\n"))
    assert counters.grown(before, after) == {"a_total": 10}
    assert counters.first_with(before, "a_to") == 5
    assert counters.first_with(before, "zzz") is None


def test_a_process_tree_is_counted_frozen_and_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'while True: pass']).wait()"
    server = Server([sys.executable, "-c", code], {}, port=9, cores=[], log=tmp_path / "log")
    try:
        wait_for(lambda: len(server.pids()) == 2 and server.cpu_s() > 0.05)
        server.pause()
        time.sleep(0.05)
        frozen_s = server.cpu_s()
        time.sleep(0.1)
        assert server.cpu_s() == frozen_s
        server.resume()
        wait_for(lambda: server.cpu_s() > frozen_s)
        assert server.peak_rss_bytes() > 1_000_000
        pids = server.pids()
    finally:
        server.stop()
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids[:1])
    assert descendants(pids[0]) == [pids[0]]


def wait_for(is_so) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_ends_says_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    server = Server(command, {}, port=9, cores=[], log=tmp_path / "log")
    with pytest.raises(ServerError, match="status 3: no such model"):
        server.wait_until_up("/", 20)
    server.stop()


@pytest.mark.parametrize("name", ["paceline", *PEERS])
def test_every_request_is_greedy_long_and_by_ids(name: str, tmp_path: Path) -> None:
    engine: Engine = PEERS[name](tmp_path, 1) if name in PEERS else Paceline(tmp_path, 1)
    model = BenchModel("m", tmp_path, tmp_path)
    names = [setting.name for setting in engine.settings]
    assert len(set(names)) == len(names)
    for setting in engine.settings:
        _, body = engine.request(model, setting, [1, 2, 3], 24, 5)
        assert body["prompt"] == [1, 2, 3]
        assert (body["temperature"], body["stream"], body["ignore_eos"]) == (0, True, True)
        assert 24 in (body.get("max_tokens"), body.get("n_predict"))


def test_the_random_model_has_62_million_weights() -> None:
    shapes = random_shapes()
    assert sum(math.prod(shape) for shape in shapes.values()) == pytest.approx(62.1e6, rel=0.01)
    assert len(shapes) == 2 + 9 * RANDOM_CONFIG["num_hidden_layers"]
