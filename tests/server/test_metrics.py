"""The routes /metrics and /debug/trace, around a generator whose observer was given a script."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from paceline.server.debug import EVENTS_PER_CHUNK, encode_in_chunks
from paceline.server.metrics import resident_bytes
from tests.fakes import FakeGenerator
from tests.server.http import client_of, error_of

METRICS = (
    "# HELP vllm:prompt_tokens_total Tokens.\n"
    "# TYPE vllm:prompt_tokens_total counter\n"
    'vllm:prompt_tokens_total{model_name="fake"} 7\n'
)


class ObservedFake(FakeGenerator):
    """A fake that also keeps figures."""

    def metrics_text(self) -> str:
        """One counter."""
        return METRICS

    def trace(self, seconds: float) -> dict[str, Any]:
        """One event that tells how many seconds were asked for."""
        return {"displayTimeUnit": "ms", "traceEvents": [{"ph": "i", "args": {"seconds": seconds}}]}


def test_metrics_hold_the_generators_and_the_process_figures() -> None:
    response = client_of(ObservedFake()).get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families["vllm:prompt_tokens"].samples[0].value == 7
    assert families["process_cpu_seconds"].samples[0].value > 0
    if resident_bytes() is not None:
        assert families["process_resident_memory_bytes"].samples[0].value > 1e6


def test_traces_ask_for_so_many_seconds() -> None:
    client = client_of(ObservedFake())
    response = client.get("/debug/trace")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["traceEvents"][0]["args"]["seconds"] == 10
    assert client.get("/debug/trace?seconds=0.5").json()["traceEvents"][0]["args"]["seconds"] == 0.5


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "inf", "-inf", "1e999", "ten", ""])
def test_bad_seconds(seconds: str) -> None:
    response = client_of(ObservedFake()).get("/debug/trace", params={"seconds": seconds})
    assert response.status_code == 400
    assert error_of(response)["param"] == "seconds"


@pytest.mark.parametrize("path", ["/metrics", "/debug/trace"])
def test_a_generator_that_counts_nothing(path: str) -> None:
    response = client_of(FakeGenerator()).get(path)
    assert response.status_code == 404
    assert "local model" in error_of(response)["message"]


@pytest.mark.parametrize("path", ["/metrics", "/debug/trace"])
def test_foreign_hosts_are_refused(path: str) -> None:
    response = client_of(ObservedFake()).get(path, headers={"host": "evil.example"})
    assert response.status_code == 400


@pytest.mark.parametrize("num_events", [0, 1, EVENTS_PER_CHUNK, 2 * EVENTS_PER_CHUNK + 1])
def test_chunks_are_the_same_json(num_events: int) -> None:
    events = [{"ts": index / 1000, "name": 'a"'} for index in range(num_events)]
    for rest in ({}, {"displayTimeUnit": "ms"}):
        trace = {"traceEvents": events, **rest}
        assert json.loads(b"".join(encode_in_chunks(trace))) == trace
