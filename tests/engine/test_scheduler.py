"""Who goes first: lanes, deadlines, shares of users, sessions, and what each gives up for the others."""

from __future__ import annotations

import math

import pytest

from paceline.core.errors import OverloadedError
from paceline.engine.config import SchedulerConfig
from paceline.engine.eager.runner import TorchRunner
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.planner import Chunk
from paceline.engine.sequence import Lane, SessionKey, SubmitOptions
from tests.engine.drive import Drive, Recorder
from tests.engine.tiny import naive_greedy, prompt, tiny_model

MODEL = tiny_model()
BATCH = SubmitOptions(lane=Lane.BATCH)


def drive_with(*, num_blocks: int = 60, max_draft_tokens: int = 0, **limits: int) -> Drive:
    runner = TorchRunner(MODEL, num_blocks=num_blocks, device="cpu", dtype="float32")
    config = SchedulerConfig(**{"max_step_tokens": 64, "prefill_chunk_tokens": 32} | limits)
    return Drive(runner, config, max_draft_tokens=max_draft_tokens)


def rows_of(drive: Drive, recorder: Recorder) -> list[int]:
    """In each step so far, how many rows this request had."""
    return [rows_of_step(chunks, recorder) for chunks in drive.steps]


def rows_of_step(chunks: list[Chunk], recorder: Recorder) -> int:
    return sum(len(c.rows.token_ids) for c in chunks if c.sequence.listener is recorder)


def for_tokens(count: int) -> SamplingParams:
    return SamplingParams(max_tokens=count)


def test_the_batch_lane_yields_within_one_step_and_goes_on_afterwards() -> None:
    drive = drive_with()
    slow = drive.add(prompt(90), for_tokens(4), BATCH)
    drive.step()
    quick = drive.add(prompt(5, seed=1), for_tokens(3))
    drive.run()
    assert rows_of(drive, slow) == [32, 0, 0, 0, 32, 26, 1, 1, 1]
    assert rows_of(drive, quick) == [0, 5, 1, 1, 0, 0, 0, 0, 0]
    assert slow.ids == naive_greedy(MODEL, prompt(90), 4)


def test_the_batch_lane_may_be_given_some_rows_of_every_step() -> None:
    drive = drive_with(batch_lane_tokens=7)
    slow = drive.add(prompt(40), for_tokens(1), BATCH)
    drive.add(prompt(5, seed=1), for_tokens(4))
    drive.run()
    assert rows_of(drive, slow)[:5] == [7, 7, 7, 7, 12]


def test_an_interactive_request_takes_the_slot_and_the_blocks_of_a_batch_one() -> None:
    drive = drive_with(max_sequences=1, num_blocks=6)
    slow = drive.add(prompt(80), for_tokens(8), BATCH)
    for _ in range(4):
        drive.step()
    quick = drive.add(prompt(60, seed=1), for_tokens(2))
    drive.run()
    assert drive.counts.num_preemptions == 1
    assert quick.ids == naive_greedy(MODEL, prompt(60, seed=1), 2)
    assert slow.ids == naive_greedy(MODEL, prompt(80), 8)
    assert rows_of(drive, quick)[4] == 32, "it ran in the step after it came"


def test_the_earlier_deadline_goes_first() -> None:
    drive = drive_with(max_sequences=1)
    late = drive.add(prompt(4), for_tokens(2), SubmitOptions(deadline_s=90.0))
    soon = drive.add(prompt(5, seed=1), for_tokens(2), SubmitOptions(deadline_s=50.0))
    drive.run()
    assert rows_of(drive, soon) == [5, 1, 0, 0]
    assert rows_of(drive, late) == [0, 0, 4, 1]


def test_work_past_its_deadline_is_dropped_queued_or_running() -> None:
    drive = drive_with(max_sequences=1)
    running = drive.add(prompt(4), for_tokens(20), SubmitOptions(deadline_s=2.5))
    queued = drive.add(prompt(5, seed=1), for_tokens(20), SubmitOptions(deadline_s=2.6))
    drive.run()
    assert running.reasons == queued.reasons == [FinishReason.DEADLINE]
    assert running.ids == naive_greedy(MODEL, prompt(4), 3)
    assert queued.ids == []
    assert sum(rows_of(drive, queued)) == 0


def test_a_flood_of_one_user_does_not_starve_another() -> None:
    drive = drive_with(max_sequences=4, fair_quantum_tokens=16)
    flood = [
        drive.add(prompt(30, seed=i), for_tokens(30), SubmitOptions(user="flood"))
        for i in range(20)
    ]
    for _ in range(6):
        drive.step()
    lone = drive.add(prompt(30, seed=77), for_tokens(5), SubmitOptions(user="lone"))
    num_before = len(drive.steps)
    while not lone.reasons:
        drive.step()
    assert len(drive.steps) - num_before == 5, "it got a slot at once and a row in every step"
    assert lone.ids == naive_greedy(MODEL, prompt(30, seed=77), 5)
    drive.run()
    for i, recorder in enumerate(flood):
        assert recorder.ids == naive_greedy(MODEL, prompt(30, seed=i), 30)


def test_a_full_queue_refuses_the_greediest_user_s_newest() -> None:
    drive = drive_with(max_sequences=1, max_queued=5)
    flood = [
        drive.add(prompt(3, seed=i), for_tokens(2), SubmitOptions(user="flood")) for i in range(6)
    ]
    with pytest.raises(OverloadedError):
        drive.add(prompt(3), for_tokens(2), SubmitOptions(user="flood"))
    lone = drive.add(prompt(4), for_tokens(2), SubmitOptions(user="lone"))
    assert isinstance(flood[-1].error, OverloadedError)
    assert flood[-1].error.retry_after_ms > 0
    assert not any(recorder.reasons for recorder in flood[:-1])
    drive.run()
    assert lone.reasons == [FinishReason.LENGTH]


def test_ten_thousand_requests_at_once_are_bounded() -> None:
    drive = drive_with(max_sequences=4, max_queued=16)
    num_refused = 0
    recorders: list[Recorder] = []
    for i in range(10_000):
        try:
            options = SubmitOptions(user=f"user {i % 50}")
            recorders.append(drive.add(prompt(3, seed=i % 9), for_tokens(1), options))
        except OverloadedError:
            num_refused += 1
    assert len(drive.scheduler.waiting) <= 20
    drive.run()
    answered = [r for r in recorders if r.reasons == [FinishReason.LENGTH]]
    assert len(answered) == 20
    assert num_refused + sum(isinstance(r.error, OverloadedError) for r in recorders) == 9980


def test_a_newer_request_supersedes_and_inherits_to_the_token() -> None:
    drive = drive_with()
    document = SubmitOptions(session=SessionKey("editor", "file"))
    old = drive.add(prompt(50), for_tokens(30), document)
    for _ in range(4):
        drive.step()
    other = drive.add(
        prompt(5, seed=3), for_tokens(9), SubmitOptions(session=SessionKey("b", "file"))
    )
    new = drive.add([*prompt(50), *old.ids[:2], 7], for_tokens(5), document)
    chunks = drive.step()
    assert old.reasons == [FinishReason.SUPERSEDED]
    rows = next(c.rows for c in chunks if c.sequence.listener is new)
    assert (rows.start, rows.token_ids) == (52, [7]), "only what was typed is computed"
    drive.run()
    assert new.ids == naive_greedy(MODEL, [*prompt(50), *old.ids[:2], 7], 5)
    assert other.reasons == [FinishReason.LENGTH]


def test_a_queued_request_that_is_superseded_is_never_computed() -> None:
    drive = drive_with(max_sequences=1)
    drive.add(prompt(4), for_tokens(3))
    document = SubmitOptions(session=SessionKey("editor", "file"))
    old = [drive.add(prompt(30 + i, seed=2), for_tokens(3), document) for i in range(5)]
    drive.run()
    assert [r.reasons for r in old[:-1]] == [[FinishReason.SUPERSEDED]] * 4
    assert all(sum(rows_of(drive, recorder)) == 0 for recorder in old[:-1])
    assert old[-1].ids == naive_greedy(MODEL, prompt(34, seed=2), 3)


def test_copies_of_one_prompt_compute_it_once() -> None:
    drive = drive_with(max_step_tokens=256, prefill_chunk_tokens=128)
    samples = [
        drive.add(prompt(80), SamplingParams(max_tokens=4, temperature=1.0, seed=i))
        for i in range(6)
    ]
    drive.run()
    assert sum(len(c.rows.token_ids) for c in drive.steps[0]) == 80
    assert sum(len(c.rows.token_ids) for c in drive.steps[1]) <= 1 + 5 * 16
    assert len({tuple(recorder.ids) for recorder in samples}) > 1


def test_a_right_guess_is_one_step_and_a_wrong_one_costs_no_token() -> None:
    expected = naive_greedy(MODEL, prompt(20), 9)
    for guess, num_steps in ((expected, 1), ([(i + 1) % 300 for i in expected], 9)):
        drive = drive_with(max_draft_tokens=8)
        options = SubmitOptions(guesses=(tuple(guess),))
        recorder = drive.add(prompt(20), for_tokens(9), options)
        drive.run()
        assert recorder.ids == expected
        if guess == expected:
            assert len(drive.steps) == num_steps, "prompt, drafts and answer in one step"
        else:
            assert len(drive.steps) <= num_steps


def test_drafts_never_take_the_rows_of_others() -> None:
    drive = drive_with(max_sequences=8, max_step_tokens=10, max_draft_tokens=8)
    recorders = [
        drive.add(
            prompt(6, seed=i),
            for_tokens(40),
            SubmitOptions(guesses=((9,) * 40,)),
        )
        for i in range(8)
    ]
    most = 0
    while drive.scheduler.has_work:
        decoding = [s for s in drive.scheduler.running.values() if s.num_uncomputed == 1]
        most = max(most, len(decoding))
        planned = {id(chunk.sequence) for chunk in drive.step()}
        assert all(id(sequence) in planned for sequence in decoding)
    assert most > 1
    for i, recorder in enumerate(recorders):
        assert recorder.ids == naive_greedy(MODEL, prompt(6, seed=i), 40)


def test_everything_pinned_still_ends() -> None:
    """Six sequences that need six blocks each share six blocks."""
    drive = drive_with(num_blocks=6, max_sequences=6)
    recorders = [drive.add(prompt(60, seed=i), for_tokens(30)) for i in range(6)]
    drive.run()
    for i, recorder in enumerate(recorders):
        assert recorder.ids == naive_greedy(MODEL, prompt(60, seed=i), 30)
    assert drive.counts.num_preemptions > 0
    assert drive.scheduler.pool.num_busy == 0


def test_deadlines_default_to_never() -> None:
    assert SubmitOptions().deadline_s == math.inf
