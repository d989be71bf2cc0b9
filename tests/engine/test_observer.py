"""The observer: exact figures for scripted calls, work that equals `plan.flops`, traces that nest, bounded memory."""

from __future__ import annotations

import json
import random
import threading
import tracemalloc
from collections import defaultdict
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from paceline.core.errors import ConfigError
from paceline.engine.observe.figure_names import (
    FIRST_TOKEN_S,
    REQUEST_S,
    STEP_TOKENS,
    TOKEN_S,
    VLLM_FIRST_TOKEN_S,
    VLLM_REQUEST_S,
    VLLM_STEP_TOKENS,
    VLLM_TOKEN_S,
)
from paceline.engine.observe.observer import EngineObserver, metrics_text, trace_of
from paceline.engine.observe.stats import Entry, StepStats
from paceline.engine.observe.trace import TraceConfig
from paceline.engine.observe.work import Peaks, Precision
from paceline.plan.flops import DecoderShape, Span, step_bytes, step_flops

SHAPE = DecoderShape(
    vocab_size=100,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    ffn_size=32,
)
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def step_of(number: int, started_s: float, *entries: Entry, **changes: int) -> StepStats:
    """A step of 10 ms: 1 of plan, 6 of forward, 2 of picking, 1 of commit."""
    counts = {"num_waiting": 0, "num_running": len(entries), "used_blocks": 4, "cached_blocks": 2}
    return StepStats(
        number=number,
        started_s=started_s,
        plan_s=0.001,
        forward_s=0.006,
        pick_s=0.002,
        commit_s=0.001,
        entries=entries,
        num_blocks=10,
        **(counts | changes),
    )


def read(*observers: EngineObserver) -> Figures:
    """What Prometheus' own parser reads."""
    figures: Figures = {}
    for family in text_string_to_metric_families(metrics_text(observers)):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in figures, "a sample is written twice"
            figures[key] = sample.value
    return figures


def value(figures: Figures, name: str, **labels: str) -> float:
    return figures[name, frozenset({"model_name": "m", **labels}.items())]


def count_and_sum(figures: Figures, name: str, **labels: str) -> tuple[float, float]:
    total = value(figures, f"{name}_sum", **labels)
    return value(figures, f"{name}_count", **labels), round(total, 9)


def play(observer: EngineObserver) -> None:
    """Request 1: two chunks, a draft of three with two right, then stop. Request 2: preempted, then superseded."""
    observer.queued(1, lane="interactive", prompt_tokens=20, now_s=0.0)
    observer.admitted(1, cached_tokens=8, now_s=0.1)
    observer.step(step_of(1, 0.1, (1, 8, 8, 0, 0)))
    observer.queued(2, lane="batch", prompt_tokens=5, now_s=0.105)
    observer.admitted(2, cached_tokens=0, now_s=0.11)
    observer.step(step_of(2, 0.11, (1, 16, 4, 0, 1), (2, 0, 5, 0, 1), num_batch_lane_rows=5))
    observer.preempted(2, now_s=0.12)
    observer.step(step_of(3, 0.12, (1, 20, 4, 3, 3), num_waiting=1))
    observer.admitted(2, cached_tokens=4, now_s=0.13)
    observer.finished(1, reason="stop", output_tokens=5, wasted_tokens=0, now_s=0.139)
    observer.step(step_of(4, 0.13, (1, 23, 1, 0, 1), (2, 4, 2, 0, 1)))
    observer.finished(2, reason="superseded", output_tokens=2, wasted_tokens=2, now_s=0.15)
    observer.refused("overload")


def test_scripted_calls_give_exact_figures() -> None:
    observer = EngineObserver("m", block_bytes=1000)
    play(observer)
    figures = read(observer)
    for name, expected in {
        "vllm:prompt_tokens_total": 25,
        "vllm:generation_tokens_total": 7,
        "vllm:num_preemptions_total": 1,
        "vllm:prefix_cache_queries_total": 25,
        "vllm:prefix_cache_hits_total": 8,
        "vllm:spec_decode_num_drafts_total": 1,
        "vllm:spec_decode_num_draft_tokens_total": 3,
        "vllm:spec_decode_num_accepted_tokens_total": 2,
        "vllm:num_requests_running": 0,
        "vllm:num_requests_waiting": 0,
        "vllm:kv_cache_usage_perc": 0,
        "paceline_batch_lane_rows_total": 5,
    }.items():
        assert value(figures, name) == expected, name
    assert value(figures, "vllm:request_success_total", finished_reason="stop") == 1
    assert value(figures, "vllm:request_success_total", finished_reason="abort") == 1
    assert value(figures, "paceline_requests_finished_total", reason="superseded") == 1
    assert value(figures, "paceline_requests_finished_total", reason="deadline") == 0
    assert value(figures, "paceline_wasted_tokens_total", reason="superseded") == 2
    assert value(figures, "paceline_requests_refused_total", reason="overload") == 1
    assert value(figures, "paceline_kv_bytes", state="cached") == 2000
    assert value(figures, "paceline_step_rows_total", kind="mixed") == 3
    for kind, num_steps in {"prefill": 2, "decode": 0, "verify": 1, "mixed": 1}.items():
        expected = (num_steps, num_steps * 0.01)
        assert count_and_sum(figures, "paceline_step_seconds", kind=kind) == expected, kind
    forward = value(figures, "paceline_step_phase_seconds_total", phase="forward")
    assert forward == pytest.approx(0.024)
    assert count_and_sum(figures, "vllm:iteration_tokens_total") == (4, 24)


def test_all_memory_is_free_before_the_first_step() -> None:
    observer = EngineObserver("m", num_blocks=7, block_bytes=1000)
    figures = read(observer)
    assert value(figures, "paceline_kv_bytes", state="free") == 7000
    assert value(figures, "paceline_kv_bytes", state="used") == 0
    assert value(figures, "vllm:kv_cache_usage_perc") == 0


@pytest.mark.parametrize("is_step_first", [True, False])
def test_no_request_is_shorter_than_its_parts(is_step_first: bool) -> None:
    """The engine notices a finish within the step, before the end of it."""
    observer = EngineObserver("m")
    observer.queued(1, lane="interactive", prompt_tokens=1, now_s=0.0)
    observer.admitted(1, cached_tokens=0, now_s=0.0)
    last = step_of(1, 0.0, (1, 0, 1, 0, 1))
    if is_step_first:
        observer.step(last)
    observer.finished(1, reason="stop", output_tokens=1, wasted_tokens=0, now_s=0.009)
    if not is_step_first:
        observer.step(last)
    figures = read(observer)
    for name in ("e2e_request_latency", "request_inference_time"):
        assert count_and_sum(figures, f"vllm:{name}_seconds", lane="interactive") == (1, 0.01)


def test_times_of_requests() -> None:
    observer = EngineObserver("m")
    play(observer)
    figures = read(observer)
    times = {  # of request 1: tokens at 0.12, 0.13, 0.14
        "vllm:time_to_first_token_seconds": (1, 0.12),
        "vllm:inter_token_latency_seconds": (2, 0.02),
        "vllm:request_time_per_output_token_seconds": (1, 0.005),
        "vllm:e2e_request_latency_seconds": (1, 0.14),
        "vllm:request_queue_time_seconds": (1, 0.1),
        "vllm:request_prefill_time_seconds": (1, 0.02),
        "vllm:request_decode_time_seconds": (1, 0.02),
        "vllm:request_inference_time_seconds": (1, 0.04),
        "vllm:request_prompt_tokens": (1, 20),
        "vllm:request_generation_tokens": (1, 5),
    }
    for name, expected in times.items():
        assert count_and_sum(figures, name, lane="interactive") == expected, name
    assert count_and_sum(figures, "vllm:time_to_first_token_seconds", lane="batch") == (1, 0.015)
    assert count_and_sum(figures, "vllm:e2e_request_latency_seconds", lane="batch") == (0, 0)
    below = value(figures, "vllm:e2e_request_latency_seconds_bucket", lane="interactive", le="0.1")
    above = value(figures, "vllm:e2e_request_latency_seconds_bucket", lane="interactive", le="0.15")
    assert (below, above) == (0, 1)


@pytest.mark.parametrize("is_step_first", [True, False])
def test_a_finish_may_come_before_its_step(is_step_first: bool) -> None:
    observer = EngineObserver("m")
    observer.queued(1, lane="interactive", prompt_tokens=1, now_s=0.0)
    observer.admitted(1, cached_tokens=0, now_s=0.0)
    last = step_of(1, 0.0, (1, 0, 1, 0, 1))
    if is_step_first:
        observer.step(last)
    observer.finished(1, reason="length", output_tokens=1, wasted_tokens=0, now_s=0.01)
    if not is_step_first:
        observer.step(last)
    figures = read(observer)
    for name in ("time_to_first_token", "e2e_request_latency", "request_prefill_time"):
        counted = count_and_sum(figures, f"vllm:{name}_seconds", lane="interactive")
        assert counted == (1, 0.01), name


def test_what_is_unknown_is_ignored_and_gauges_follow_the_queue() -> None:
    observer = EngineObserver("m")
    observer.admitted(9, cached_tokens=1, now_s=0.0)
    observer.preempted(9, now_s=0.0)
    observer.finished(9, reason="stop", output_tokens=0, wasted_tokens=0, now_s=0.0)
    observer.step(step_of(1, 0.0, (9, 0, 1, 0, 1)))
    for sequence_id in (1, 2, 3):
        observer.queued(sequence_id, lane="interactive", prompt_tokens=5, now_s=1.0)
    observer.admitted(1, cached_tokens=0, now_s=1.0)
    figures = read(observer)
    assert value(figures, "vllm:num_requests_running") == 1
    assert value(figures, "vllm:num_requests_waiting") == 2
    assert value(figures, "vllm:kv_cache_usage_perc") == 0.4
    observer.preempted(1, now_s=1.1)
    figures = read(observer)
    assert value(figures, "vllm:num_requests_running") == 0
    assert value(figures, "vllm:num_requests_waiting") == 3
    assert value(figures, "vllm:kv_cache_usage_perc") == 0
    assert value(figures, "paceline_requests_finished_total", reason="stop") == 0


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([(1, 0, 16, 0, 0)], "prefill"),
        ([(1, 9, 1, 0, 1), (2, 9, 1, 0, 1)], "decode"),
        ([(1, 9, 4, 3, 1)], "verify"),
        ([(1, 9, 4, 3, 1), (2, 9, 1, 0, 1)], "verify"),
        ([(1, 0, 16, 0, 0), (2, 9, 1, 0, 1)], "mixed"),
        ([(1, 0, 16, 0, 0), (2, 9, 2, 1, 1)], "mixed"),
    ],
)
def test_kinds_of_steps(entries: list[Entry], kind: str) -> None:
    assert step_of(1, 0.0, *entries).kind == kind


def test_bounds_contain_those_of_vllm() -> None:
    assert set(VLLM_FIRST_TOKEN_S) <= set(FIRST_TOKEN_S)
    assert set(VLLM_TOKEN_S) <= set(TOKEN_S)
    assert set(VLLM_REQUEST_S) <= set(REQUEST_S)
    assert set(VLLM_STEP_TOKENS) <= set(STEP_TOKENS)


@pytest.mark.parametrize("window", [None, 7])
def test_work_equals_the_slow_twin(window: int | None) -> None:
    shape = SHAPE if window is None else DecoderShape(**as_fields(SHAPE, window))
    precision = Precision(lambda num_rows: 1.0 if num_rows <= 4 else 2.0, bytes_per_kv_number=2.0)
    peaks = Peaks(flops_per_s=1e6, bytes_per_s=1e7)
    observer = EngineObserver("m", shape, precision=precision, peaks=peaks)
    rng = random.Random(1)
    work: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for number in range(200):
        entries = [random_entry(rng, index) for index in range(rng.randint(1, 4))]
        stats = step_of(number, number / 10, *entries)
        observer.step(stats)
        spans = [Span(start, rows) for _, start, rows, _, _ in entries]
        logits = sum(d + 1 for _, _, rows, d, new in entries if new or rows == d + 1)
        totals = work[stats.kind]
        totals[0] += step_flops(shape, spans, logits)
        totals[1] += step_bytes(
            shape,
            spans,
            logits,
            bytes_per_weight=1.0 if stats.num_rows <= 4 else 2.0,
            bytes_per_kv_number=2.0,
        )
        totals[2] += stats.seconds
    figures = read(observer)
    assert set(work) == {"prefill", "decode", "verify", "mixed"}
    for kind, (flops, moved, seconds) in work.items():
        for name, expected in {
            "paceline_step_flops_total": flops,
            "paceline_step_bytes_total": moved,
            "paceline_flops_per_second": flops / seconds,
            "paceline_memory_bytes_per_second": moved / seconds,
            "paceline_mfu_ratio": flops / seconds / 1e6,
            "paceline_bandwidth_utilisation_ratio": moved / seconds / 1e7,
        }.items():
            assert value(figures, name, kind=kind) == pytest.approx(expected), (name, kind)


def as_fields(shape: DecoderShape, window: int) -> dict[str, Any]:
    fields = {name: getattr(shape, name) for name in shape.__struct_fields__}
    return fields | {"sliding_window_tokens": window}


def random_entry(rng: random.Random, sequence_id: int) -> Entry:
    start = rng.randint(0, 30)
    match rng.choice(["prefill", "chunk", "decode", "verify"]):
        case "prefill":
            return (sequence_id, start, rng.randint(2, 20), 0, 1)
        case "chunk":
            return (sequence_id, start, rng.randint(2, 20), 0, 0)
        case "decode":
            return (sequence_id, start, 1, 0, rng.randint(0, 1))
        case _:
            drafts = rng.randint(1, 5)
            return (sequence_id, start, drafts + 1, drafts, rng.randint(1, drafts + 1))


def test_without_peaks_and_shape_nothing_is_invented() -> None:
    known, unknown = EngineObserver("m", SHAPE), EngineObserver("m")
    for observer in (known, unknown):
        play(observer)
    names = {name for name, _ in read(known)}
    assert "paceline_flops_per_second" in names
    assert "paceline_mfu_ratio" not in names
    assert "paceline_step_flops_total" not in {name for name, _ in read(unknown)}
    with pytest.raises(ConfigError, match="positive"):
        EngineObserver("m", SHAPE, peaks=Peaks(0.0, 1.0))


def test_models_share_a_page() -> None:
    first, second = EngineObserver("m"), EngineObserver('odd "name"\\\n')
    play(first)
    text = metrics_text([first, second])
    assert text.count("# TYPE vllm:prompt_tokens_total counter") == 1
    figures = read(first, second)
    assert value(figures, "vllm:prompt_tokens_total") == 25
    other = frozenset({("model_name", 'odd "name"\\\n')})
    assert figures["vllm:prompt_tokens_total", other] == 0


def slices_of(trace: dict[str, Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Slices by track, after the checks that hold for each event: whole numbers of nanoseconds, nested."""
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in json.loads(json.dumps(trace))["traceEvents"]:
        assert event["ph"] in {"M", "X", "i", "C"}
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            tracks[event["pid"], event["tid"]].append(event)
    for events in tracks.values():
        open_until: list[int] = []
        for event in sorted(events, key=lambda e: (e["ts"], -e["dur"])):
            start = round(event["ts"] * 1000)
            end = start + round(event["dur"] * 1000)
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], f"{event} sticks out"
            open_until.append(end)
    return tracks


def test_a_trace_tells_who_did_what() -> None:
    observer = EngineObserver("m")
    play(observer)
    tracks = slices_of(trace_of([observer], seconds=10))
    steps = [event["name"] for event in tracks[1, 0]]
    assert steps[:5] == ["prefill", "plan", "forward", "pick", "commit"]
    assert [event["dur"] for event in tracks[1, 0][:5]] == [10000, 1000, 6000, 2000, 1000]
    first, second = tracks[2, 1], tracks[2, 2]
    names = ["request 1", "queued", "prefill", "prefill", "verify", "decode"]
    assert [event["name"] for event in first] == names
    assert first[0]["args"] == {
        "lane": "interactive",
        "prompt_tokens": 20,
        "cached_tokens": 8,
        "finish_reason": "stop",
        "output_tokens": 5,
    }
    assert first[4]["args"]["accepted_drafts"] == 2
    assert [event["name"] for event in second] == [
        *("request 2", "queued", "prefill", "preempted", "prefill")
    ]
    assert second[0]["ts"] + second[0]["dur"] == 150_000


def test_a_trace_shows_only_the_last_seconds() -> None:
    observer = EngineObserver("m")
    for number in range(100):
        observer.step(step_of(number, float(number), (1, number, 1, 0, 1)))
    tracks = slices_of(trace_of([observer], seconds=9.5))
    assert [e["args"]["number"] for e in tracks[1, 0] if e["name"] == "decode"] == [*range(90, 100)]
    assert trace_of([EngineObserver("m")], seconds=1)["traceEvents"] == []


def test_random_histories_nest() -> None:
    """Whatever order finishes, steps and preemptions come in, slices neither overlap nor run backwards."""
    rng = random.Random(2)
    observer = EngineObserver("m")
    now_s, live, waiting, next_id = 0.0, list[int](), list[int](), 0
    for number in range(300):
        now_s += rng.random() / 100
        if rng.random() < 0.5:
            next_id += 1
            observer.queued(next_id, lane="interactive", prompt_tokens=9, now_s=now_s)
            waiting.append(next_id)
        if waiting and rng.random() < 0.5:
            live.append(waiting.pop())
            observer.admitted(live[-1], cached_tokens=3, now_s=now_s + rng.random() / 500)
        if live:
            entries = [(i, *random_entry(rng, i)[1:]) for i in live]
            ends = [live.pop(rng.randrange(len(live)))] if rng.random() < 0.5 else []
            for sequence_id in ends:
                if rng.random() < 0.3:
                    observer.preempted(sequence_id, now_s=now_s)
                    waiting.append(sequence_id)
                    entries = [e for e in entries if e[0] != sequence_id]
                else:
                    at_s = now_s + 0.009
                    observer.finished(
                        sequence_id, reason="stop", output_tokens=1, wasted_tokens=0, now_s=at_s
                    )
            if entries:
                observer.step(step_of(number, now_s, *entries))
            now_s += 0.01
    tracks = slices_of(trace_of([observer], seconds=1.5))
    names = {event["name"] for events in tracks.values() for event in events}
    assert {"queued", "preempted", "prefill", "verify", "decode", "commit"} <= names


def test_the_ring_stays_within_its_limits() -> None:
    config = TraceConfig(max_records=3000, max_bytes=1_000_000)
    observer = EngineObserver("m", trace=config)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2000):
        entries = [(number + 1000 + index, number + 500, 300, 299, 298) for index in range(4)]
        observer.step(step_of(number, number / 7, *entries))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before <= 1_100_000
    for number in range(100_000):
        observer.step(step_of(number, number / 100, (1, 1, 1, 0, 1)))
    records = observer.records()
    assert len(records) == 1_000_000 // 820
    assert isinstance(records[-1], StepStats)
    assert records[-1].number == 99_999
    none = EngineObserver("m", trace=TraceConfig(max_records=0))
    play(none)
    assert none.records() == []
    with pytest.raises(ConfigError, match=r"trace\.max_records"):
        TraceConfig(max_records=-1)


def test_readers_see_whole_steps() -> None:
    """While another thread writes, counts that one step changes together never disagree."""
    observer = EngineObserver("m")
    is_done = threading.Event()

    def write() -> None:
        for number in range(20_000):
            observer.step(step_of(number, number / 100, (1, 1, 1, 0, 1)))
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    num_reads = 0
    while not is_done.is_set() and num_reads < 20:
        samples = {family.name: family.samples for family in observer.families()}
        num_tokens = samples["vllm:generation_tokens_total"][0].value
        assert samples["vllm:iteration_tokens_total"][-1].value == num_tokens
        num_reads += 1
    writer.join()
    assert num_reads
