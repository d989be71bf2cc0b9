"""Whatever the load: batched, cached, chunked, superseded, preempted, speculative and adapter-mixed decoding
gives what one-at-a-time greedy decoding gives, to the bit of the ids and to 1e-9 of the log-probabilities."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from paceline.engine.config import SchedulerConfig
from paceline.engine.eager.runner import TorchRunner
from paceline.engine.params import FinishReason
from paceline.engine.sequence import Lane
from tests.engine.arrivals import ADAPTERS, ARRIVALS, MODEL, Arrival, assert_right, submit
from tests.engine.drive import Counts, Drive, Recorder

LEAST = 20
"""How often each thing that the property is about must really have happened in all its examples."""
CONFIGS = st.builds(
    SchedulerConfig,
    max_sequences=st.integers(1, 5),
    max_step_tokens=st.integers(5, 70),
    prefill_chunk_tokens=st.integers(1, 40),
    batch_lane_tokens=st.sampled_from([0, 0, 3]),
    fair_quantum_tokens=st.sampled_from([1, 64]),
)


def run_load(drive: Drive, arrivals: list[Arrival]) -> dict[int, Recorder]:
    """Let the requests arrive, and some of them leave, at their steps."""
    recorders: dict[int, Recorder] = {}
    last = max(arrival.at_step for arrival in arrivals)
    step = 0
    while drive.scheduler.has_work or step <= last:
        for index, arrival in enumerate(arrivals):
            if arrival.at_step == step:
                recorders[index] = submit(drive, arrival)
            if arrival.cancel_at_step == step and index in recorders:
                recorders[index].is_cancel_requested = True
        drive.step()
        step += 1
        assert step < 2000, "it does not end"
    return recorders


def assert_steps_keep_their_limits(drive: Drive, config: SchedulerConfig) -> None:
    for chunks in drive.steps:
        assert sum(len(c.rows.token_ids) for c in chunks) <= config.max_step_tokens
        assert len(chunks) <= config.max_sequences
        for chunk in chunks:
            num_given = len(chunk.rows.token_ids) - chunk.num_draft_rows
            assert num_given <= config.prefill_chunk_tokens
        lanes = [c.sequence.options.lane for c in chunks]
        if Lane.INTERACTIVE in lanes:
            num_batch = sum(
                len(c.rows.token_ids) for c in chunks if c.sequence.options.lane is Lane.BATCH
            )
            assert num_batch <= config.batch_lane_tokens


def test_any_load_gives_what_one_at_a_time_gives() -> None:
    total = Counts()

    @given(
        arrivals=ARRIVALS,
        config=CONFIGS,
        num_blocks=st.integers(6, 11),
        max_draft_tokens=st.sampled_from([0, 1, 4, 9]),
    )
    @settings(max_examples=150, derandomize=True, phases=[Phase.explicit, Phase.generate])
    def check(
        arrivals: list[Arrival], config: SchedulerConfig, num_blocks: int, max_draft_tokens: int
    ) -> None:
        runner = TorchRunner(MODEL, num_blocks=num_blocks, device="cpu", dtype="float64")
        for adapter, lora in ADAPTERS.items():
            runner.set_adapter(adapter, lora)
        drive = Drive(runner, config, max_draft_tokens=max_draft_tokens)
        recorders = run_load(drive, arrivals)
        for index, arrival in enumerate(arrivals):
            assert_right(arrival, recorders[index])
        assert_steps_keep_their_limits(drive, config)
        assert drive.scheduler.pool.num_busy == 0, "leaked blocks"
        total.add(drive.counts)

    check()
    assert total.num_partial_hits >= LEAST
    assert total.num_cache_hits >= LEAST
    assert total.num_preemptions >= LEAST
    assert total.num_rejected_drafts >= LEAST
    assert total.num_accepted_drafts >= LEAST
    for reason in (FinishReason.SUPERSEDED, FinishReason.CANCELLED, FinishReason.DEADLINE):
        assert total.reasons[reason] >= LEAST, reason
