"""The native executor under any load: ids and log-probabilities are the very bits of a request alone.

Int8 products are exact and every sum has one order, so nothing that the engine does to be fast (batches,
chunks, cache hits, preemption, supersession, drafts) may move even the last bit.
"""

from __future__ import annotations

import functools

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from paceline.engine.config import SchedulerConfig
from paceline.engine.native.runner import NativeRunner
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.sequence import SubmitOptions
from tests.engine.arrivals import ADAPTERS, ARRIVALS, Arrival, split
from tests.engine.drive import Counts, Drive
from tests.engine.native_models import model_of
from tests.engine.test_steps import CONFIGS, LEAST, run_load
from tests.engine.tiny import prompt

MODEL = model_of("qwen3")


def native_runner(num_blocks: int, num_threads: int = 1) -> NativeRunner:
    """The small model with its adapters."""
    runner = NativeRunner(MODEL, num_blocks=num_blocks, num_threads=num_threads)
    for adapter, lora in ADAPTERS.items():
        runner.set_adapter(adapter, lora)
    return runner


ALONE = native_runner(8)


@functools.lru_cache(maxsize=4096)
def alone(
    document: int, prompt_tokens: int, max_tokens: int, adapter: int = 0
) -> tuple[tuple[int, float], ...]:
    """One request in an empty engine, one row a step: no chunks of rows, no cache, no drafts."""
    config = SchedulerConfig(max_sequences=1, max_step_tokens=1, prefill_chunk_tokens=1)
    drive = Drive(ALONE, config)
    recorder = drive.add(
        prompt(prompt_tokens, seed=document),
        SamplingParams(max_tokens=max_tokens),
        SubmitOptions(adapter=adapter),
    )
    drive.run()
    return tuple(recorder.pairs)


def assert_same_bits(
    arrival: Arrival, pairs: list[tuple[int, float]], reason: FinishReason
) -> None:
    ids, _ = split(arrival)
    expected = alone(arrival.document, len(ids), arrival.max_tokens, arrival.adapter)
    assert tuple(pairs) == expected[: len(pairs)]
    assert reason is not FinishReason.LENGTH or len(pairs) == len(expected)


def test_any_load_gives_the_bits_of_a_request_alone() -> None:
    total = Counts()

    @given(
        arrivals=ARRIVALS,
        config=CONFIGS,
        num_blocks=st.integers(6, 11),
        max_draft_tokens=st.sampled_from([0, 1, 4, 9]),
        num_threads=st.sampled_from([1, 2]),
    )
    @settings(max_examples=150, derandomize=True, phases=[Phase.explicit, Phase.generate])
    def check(
        arrivals: list[Arrival],
        config: SchedulerConfig,
        num_blocks: int,
        max_draft_tokens: int,
        num_threads: int,
    ) -> None:
        runner = native_runner(num_blocks, num_threads)
        drive = Drive(runner, config, max_draft_tokens=max_draft_tokens)
        recorders = run_load(drive, arrivals)
        for index, arrival in enumerate(arrivals):
            if not split(arrival)[1]:
                recorder = recorders[index]
                assert_same_bits(arrival, recorder.pairs, recorder.reasons[0])
        assert drive.scheduler.pool.num_busy == 0, "leaked blocks"
        total.add(drive.counts)

    check()
    counts = (total.num_partial_hits, total.num_preemptions, total.num_rejected_drafts)
    assert min(counts) >= LEAST
    assert total.reasons[FinishReason.SUPERSEDED] >= LEAST
