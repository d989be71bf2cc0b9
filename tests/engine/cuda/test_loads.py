"""Whatever the load: the engine on CudaRunner writes what one-at-a-time greedy decoding writes, in float32.

On a CPU the runner computes with the eager operators; steps that graphs would replay are padded.
"""

from __future__ import annotations

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from paceline.engine.config import SchedulerConfig
from paceline.engine.cuda.runner import CudaRunner
from tests.engine.adapters import merged
from tests.engine.arrivals import ADAPTERS, ARRIVALS, Arrival, split
from tests.engine.drive import Counts, Drive
from tests.engine.test_steps import CONFIGS, run_load
from tests.engine.tiny import assert_greedy, tiny_model

LEAST = 20
"""How often each thing that the property is about must really have happened."""
MODEL = tiny_model()
TWINS = {0: MODEL} | {adapter: merged(MODEL, lora) for adapter, lora in ADAPTERS.items()}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OPERATORS = "triton" if torch.cuda.is_available() else "eager"


def test_any_load_gives_what_one_at_a_time_gives() -> None:
    total, num_replayed = Counts(), 0

    @given(
        arrivals=ARRIVALS,
        config=CONFIGS,
        num_blocks=st.integers(6, 11),
        max_draft_tokens=st.sampled_from([0, 4, 9]),
    )
    @settings(max_examples=40, derandomize=True, phases=[Phase.explicit, Phase.generate])
    def check(
        arrivals: list[Arrival], config: SchedulerConfig, num_blocks: int, max_draft_tokens: int
    ) -> None:
        nonlocal num_replayed
        runner = CudaRunner(
            MODEL,
            num_blocks=num_blocks,
            dtype="float32",
            device=DEVICE,
            operators=OPERATORS,
            buckets=(4, 16),
        )
        runner.warm_up()
        for adapter, lora in ADAPTERS.items():
            runner.set_adapter(adapter, lora)
        drive = Drive(runner, config, max_draft_tokens=max_draft_tokens)
        recorders = run_load(drive, arrivals)
        for index, arrival in enumerate(arrivals):
            prompt_ids, targets = split(arrival)
            if not targets:
                assert_greedy(TWINS[arrival.adapter], prompt_ids, recorders[index].pairs)
        assert drive.scheduler.pool.num_busy == 0, "leaked blocks"
        num_replayed += sum(runner.replays([c.rows for c in step]) for step in drive.steps if step)
        total.add(drive.counts)

    check()
    assert total.num_partial_hits >= LEAST
    assert total.num_preemptions >= LEAST
    assert total.num_rejected_drafts >= LEAST
    assert num_replayed >= LEAST
