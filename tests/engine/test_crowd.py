"""A crowd: who is refused, that nobody waits for ever, and that planning stays cheap."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from paceline.core.errors import OverloadedError
from paceline.engine.config import SchedulerConfig
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.planner import StepPlan
from paceline.engine.sampler import Picked
from paceline.engine.scheduler import Scheduler
from paceline.engine.sequence import Lane, Sequence, SessionKey, SubmitOptions
from paceline.engine.speculation import SpeculationConfig, SpeculationPolicy
from tests.engine.drive import Recorder, assert_copies_may_be_made_in_any_order
from tests.engine.test_scheduler import drive_with, for_tokens
from tests.engine.tiny import prompt

BATCH = SubmitOptions(lane=Lane.BATCH)


MAX_LINES = 100_000
"""Of Python, in one plan of 288 requests for one long document; some 25 ns each."""


def counting_lines(work: Callable[[], StepPlan]) -> tuple[StepPlan, int]:
    """What `work` returns, and how many lines of Python it took: a measure of time that is always the same."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return work(), count
    finally:
        sys.settrace(before)


def bare_scheduler(config: SchedulerConfig, num_blocks: int = 8192) -> Scheduler:
    """Without a model: for what happens before and between steps."""
    policy = SpeculationPolicy(SpeculationConfig(is_enabled=False))
    return Scheduler(config, num_blocks=num_blocks, context_tokens=4096, policy=policy)


def queued(
    scheduler: Scheduler,
    number: int,
    ids: list[int],
    options: SubmitOptions,
    in_place_of: Sequence | None = None,
) -> Sequence:
    sequence = Sequence(number, ids, SamplingParams(max_tokens=8), Recorder(), options=options)
    scheduler.add(sequence, in_place_of=in_place_of)
    return sequence


def test_a_queue_full_of_batch_jobs_refuses_no_keystroke() -> None:
    """Not even one of the same, or of no, user."""
    drive = drive_with(max_sequences=2, max_queued=4)
    jobs = [drive.add(prompt(3, seed=i), for_tokens(2), BATCH) for i in range(6)]
    drive.step()
    keystroke = drive.add(prompt(3, seed=9), for_tokens(2))
    assert isinstance(jobs[-1].error, OverloadedError), "the newest job made room"
    drive.run()
    assert keystroke.reasons == [FinishReason.LENGTH]
    assert all(job.reasons == [FinishReason.LENGTH] for job in jobs[:-1])


def test_a_batch_job_takes_the_place_of_no_keystroke() -> None:
    drive = drive_with(max_sequences=1, max_queued=5)
    for i in range(6):
        drive.add(prompt(3, seed=i), for_tokens(2), SubmitOptions(user="busy"))
    with pytest.raises(OverloadedError):
        drive.add(prompt(3), for_tokens(2), SubmitOptions(user="other", lane=Lane.BATCH))


def test_who_has_produced_output_is_refused_last() -> None:
    drive = drive_with(max_sequences=1, max_queued=3)
    job = SubmitOptions(user="jobs", lane=Lane.BATCH)
    fresh = [drive.add(prompt(4, seed=i), for_tokens(9), job) for i in range(3)]
    drive.step()
    drive.add(prompt(3, seed=7), for_tokens(3), SubmitOptions(user="typist"))
    drive.step()
    assert fresh[0].tokens, "it ran and was preempted; it is the last of the queue"
    assert list(drive.scheduler.waiting)[-1] == 1
    drive.add(prompt(3, seed=8), for_tokens(3), SubmitOptions(user="second"))
    assert isinstance(fresh[2].error, OverloadedError)
    drive.run()
    assert fresh[0].reasons == [FinishReason.LENGTH]


def test_a_newer_keystroke_has_the_place_of_the_older_in_a_full_queue() -> None:
    scheduler = bare_scheduler(SchedulerConfig(max_sequences=1, max_queued=1))
    session = SubmitOptions(session=SessionKey("editor", "file"))
    queued(scheduler, 1, [1, 2], SubmitOptions())
    older = queued(scheduler, 2, [1, 2, 3], session)
    newer = queued(scheduler, 3, [1, 2, 3, 4], session, in_place_of=older)
    assert older.finish_reason is FinishReason.SUPERSEDED
    assert list(scheduler.waiting.values()) == [scheduler.waiting[1], newer]
    scheduler.check()


def test_batch_work_is_held_against_no_keystroke_of_its_user() -> None:
    drive = drive_with(max_sequences=2, batch_lane_tokens=16, fair_quantum_tokens=10)
    drive.add(prompt(5), for_tokens(60), SubmitOptions(user="typist"))
    drive.add(prompt(90, seed=3), for_tokens(4), SubmitOptions(user="evals", lane=Lane.BATCH))
    for _ in range(4):
        drive.step()
    first = drive.add(prompt(9, seed=1), for_tokens(1), SubmitOptions(user="evals"))
    second = drive.add(prompt(9, seed=2), for_tokens(1), SubmitOptions(user="other"))
    drive.step()
    assert first.tokens and not second.tokens, "who comes first goes first"


def test_short_prompts_do_not_keep_a_long_one_out() -> None:
    drive = drive_with(num_blocks=6, max_sequences=6)
    for i in range(4):
        drive.add(prompt(20, seed=i), for_tokens(4), SubmitOptions(user=f"user {i}"))
    drive.step()
    long = drive.add(prompt(80, seed=99), for_tokens(2), SubmitOptions(user="long"))
    for i in range(100, 200):
        if len(drive.scheduler.everyone) < 6:
            drive.add(prompt(20, seed=i), for_tokens(4), SubmitOptions(user=f"user {i}"))
        drive.step()
        if long.tokens:
            return
    raise AssertionError("it never ran")


def test_drafts_leave_room_for_prompts() -> None:
    drive = drive_with(max_sequences=8, max_step_tokens=40, max_draft_tokens=8)
    for i in range(4):
        guessing = SubmitOptions(guesses=((9,) * 70,), user=f"user {i}")
        drive.add(prompt(6, seed=i), for_tokens(60), guessing)
    for _ in range(3):
        drive.step()
    new = drive.add(prompt(30, seed=50), for_tokens(2), SubmitOptions(user="new"))
    drive.step()
    assert new.tokens, "its whole prompt fits beside four decoding rows"


def test_who_is_preempted_before_it_ran_leaves_no_copy_behind() -> None:
    """A flood is admitted and displaced in one plan; its blocks go to others, who copy into them too."""
    num_copies = num_displaced = 0
    for seed in range(100):
        rng = random.Random(seed)
        config = SchedulerConfig(max_sequences=3, max_step_tokens=64, prefill_chunk_tokens=32)
        scheduler = bare_scheduler(config, num_blocks=16)
        for step in range(30):
            for i in range(rng.randint(0, 3)):
                ids = [*range(rng.randint(20, 60)), *rng.choices(range(90, 99), k=3)]
                options = SubmitOptions(user=rng.choice("aaab"))
                queued(scheduler, 10 * step + i, ids, options)
            before = set(scheduler.running)
            plan = scheduler.plan()
            assert_copies_may_be_made_in_any_order(plan.copies)
            num_copies += len(plan.copies)
            num_displaced += len(before - set(scheduler.running))
            for chunk in plan.chunks:
                finish = FinishReason.LENGTH if chunk.sequence.num_output_tokens == 7 else None
                token = Picked(rng.randrange(90, 99), 0.0, (), finish)
                scheduler.commit(chunk, [token] if chunk.rows.num_logit_rows else [])
            scheduler.check()
    assert num_copies >= 20 and num_displaced >= 20, (num_copies, num_displaced)


@pytest.mark.parametrize("is_one_user", [True, False])
def test_planning_a_full_house_compares_no_prompt_twice(is_one_user: bool) -> None:
    """288 requests for one long document, of which one is computed and the others wait for it."""
    scheduler = bare_scheduler(SchedulerConfig())
    for i in range(288):
        options = SubmitOptions(user="" if is_one_user else f"user {i}")
        queued(scheduler, i, [*range(2000), *range(5 * i, 5 * i + 5)], options)
    most_lines = 0
    for _ in range(30):
        plan, num_lines = counting_lines(scheduler.plan)
        most_lines = max(most_lines, num_lines)
        for chunk in plan.chunks:
            scheduler.commit(chunk, [Picked(7, 0.0)] if chunk.rows.num_logit_rows else [])
    assert len(scheduler.running) == 32
    assert most_lines < MAX_LINES, "whole prompts are compared one id after the other"
