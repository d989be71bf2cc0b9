"""States, limits and settings: what is refused, and that nothing ends twice."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from paceline.core.errors import ConfigError, InputError
from paceline.engine.config import EngineConfig, SchedulerConfig
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.sequence import Phase, Sequence
from paceline.engine.threads import MAX_THREADS, free_threads, physical_cores
from tests.engine.drive import Recorder


def test_a_sequence_lives_once() -> None:
    recorder = Recorder()
    sequence = Sequence(1, [5, 6], SamplingParams(), recorder)
    assert sequence.phase is Phase.WAITING
    sequence.admit()
    sequence.check(10, 16)
    with pytest.raises(AssertionError):
        sequence.admit()
    sequence.preempt()
    sequence.admit()
    sequence.finish(FinishReason.STOP)
    sequence.check(10, 16)
    with pytest.raises(AssertionError, match="finished twice"):
        sequence.finish(FinishReason.LENGTH)
    assert recorder.reasons == [FinishReason.STOP]


def test_rows_that_need_logits() -> None:
    drawn = Sequence(1, [1, 2, 3, 4], SamplingParams(), Recorder())
    assert [drawn.num_logit_rows(end) for end in (1, 3, 4)] == [0, 0, 1]
    # ids 1 2 | 3 4 5 : rows of 2, 3 and 4 predict 3, 4 and 5, so 5 itself is never fed.
    scored = Sequence(1, [1, 2, 3, 4], SamplingParams(), Recorder(), targets=[3, 4, 5])
    assert [scored.num_logit_rows(end) for end in (1, 2, 3, 4)] == [0, 1, 2, 3]
    scored.num_computed = 3
    assert scored.num_logit_rows(4) == 1


@pytest.mark.parametrize(
    "params", [{"max_tokens": 0}, {"temperature": -0.1}, {"temperature": float("nan")}]
)
def test_unusable_params(params: dict[str, float]) -> None:
    with pytest.raises(InputError):
        msgspec.convert(params, SamplingParams)


@pytest.mark.parametrize(("executor", "device"), [("native", "cuda"), ("cuda", "cpu")])
def test_an_executor_for_another_device_is_refused(executor: str, device: str) -> None:
    with pytest.raises(ConfigError, match=device):
        msgspec.convert({"executor": executor, "device": device}, EngineConfig)


@pytest.mark.parametrize(
    "field", [f for f in SchedulerConfig.__struct_fields__ if f != "batch_lane_tokens"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_limits_must_be_positive(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=field):
        SchedulerConfig(**{field: value})


@pytest.mark.parametrize("field", ["kv_cache_bytes", "num_threads"])
def test_sizes_must_be_positive(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        msgspec.structs.replace(EngineConfig(), **{field: 0})


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="max_step_tokens"):
        SchedulerConfig(max_sequences=9, max_step_tokens=8)
    with pytest.raises(ConfigError, match="dtype"):
        EngineConfig(executor="native", dtype="float32")
    with pytest.raises(ConfigError, match="batch_lane_tokens"):
        SchedulerConfig(batch_lane_tokens=-1)


def test_unknown_settings_are_refused() -> None:
    for settings in ({"max_batch": 3}, {"dtype": "int3"}, {"device": "tpu"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(settings, EngineConfig)


def test_threads() -> None:
    assert 1 <= free_threads() <= MAX_THREADS
    assert physical_cores({10**9, 10**9 + 1}) == 2


def test_the_config_is_free_of_torch() -> None:
    code = "import sys, paceline.engine.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
