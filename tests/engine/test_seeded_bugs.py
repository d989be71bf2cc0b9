"""Are the checks worth anything? Bugs that somebody could write are seeded, and each must be noticed.

A bug is a change to the source of one function. What notices it is what the other tests use: the
invariants after each step, the limits of each step, and the bits of a request alone.
"""

from __future__ import annotations

import inspect
import random
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from paceline.engine import (
    block_pool,
    fairness,
    planner,
    prefix_cache,
    sampler,
    scheduler,
    sequence,
)
from paceline.engine.config import SchedulerConfig
from paceline.engine.params import FinishReason
from paceline.engine.sequence import Lane
from tests.engine.arrivals import Arrival
from tests.engine.drive import Drive
from tests.engine.test_native_loads import assert_same_bits, native_runner
from tests.engine.test_steps import assert_steps_keep_their_limits, run_load
from tests.engine.tiny import TINY

NUM_LOADS = 60


class Bug(NamedTuple):
    """`old` stands once in the source of `owner.name`; `new` is the bug."""

    owner: Any
    name: str
    old: str
    new: str


BUGS = {
    "a block is never free again": Bug(
        block_pool.BlockPool, "release", "if not self._num_holders[block_id]:", "if False:"
    ),
    "a sequence keeps a block when it leaves": Bug(
        scheduler.Scheduler,
        "_release",
        "for block_id in sequence.block_ids:",
        "for block_id in sequence.block_ids[1:]:",
    ),
    "a partial hit claims a token too many": Bug(
        prefix_cache.PrefixCache,
        "match",
        "return Match(block_ids, best.block_id, count)",
        "return Match(block_ids, best.block_id, min(count + 1, len(rest)))",
    ),
    "the block of a partial hit is not copied": Bug(
        scheduler.Scheduler, "admit", "copies.append(", "list().append("
    ),
    "rejected drafts count as computed": Bug(
        scheduler.Scheduler, "commit", "max(len(picked) - 1, 0)", "chunk.num_draft_rows"
    ),
    "a wrong draft does not end the walk": Bug(
        sampler, "_walk", " or token_id != drafts[offset]", ""
    ),
    "a cache hit is not held": Bug(
        scheduler.Scheduler,
        "admit",
        "for block_id in match.block_ids:\n        self.pool.retain(block_id)",
        "pass",
    ),
    "a duplicate block is kept beside the tree's": Bug(
        prefix_cache.PrefixCache, "insert", "block_ids[index] = child.block_id", "pass"
    ),
    "a block is shared before its last position is computed": Bug(
        scheduler.Scheduler,
        "_remember",
        "sequence.num_computed // BLOCK_TOKENS",
        "len(sequence.token_ids) // BLOCK_TOKENS",
    ),
    "adapters share what is cached": Bug(
        prefix_cache.PrefixCache, "match", "self._roots.get(adapter)", "self._roots.get(0)"
    ),
    "blocks for drafts are not reserved": Bug(
        planner.Planner,
        "_add",
        "if draft and not self._scheduler.grow(sequence, end + len(draft.ids)):",
        "if False:",
    ),
    "a superseded sequence goes on": Bug(
        scheduler.Scheduler, "purge", "elif sequence.is_superseded:", "elif False:"
    ),
    "the batch lane does not yield": Bug(
        planner.Planner,
        "plan",
        "self._config.batch_lane_tokens if self._chunks else",
        "self._config.max_step_tokens if self._chunks else",
    ),
    "a whole prompt may come from the cache": Bug(
        sequence.Sequence,
        "first_logit_row",
        "return len(self.token_ids) - 1",
        "return len(self.token_ids)",
    ),
    "a preempted sequence forgets to start over": Bug(
        sequence.Sequence, "preempt", "Phase.WAITING, 0, 0", "Phase.WAITING, self.num_computed, 0"
    ),
    "a user who left is still counted": Bug(
        fairness.FairShare, "leave", "del self._served[user]", "pass"
    ),
    "work past its deadline goes on": Bug(
        scheduler.Scheduler, "purge", "elif now_s > sequence.options.deadline_s:", "elif False:"
    ),
}


def mutated(bug: Bug) -> Any:
    """The function or property with the bug in it."""
    attribute = inspect.getattr_static(bug.owner, bug.name)
    function: Any = attribute.fget if isinstance(attribute, property) else attribute
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(bug.old) == 1, f"{bug.name} has changed; seed the bug anew"
    space: dict[str, Any] = {}
    exec(
        "from __future__ import annotations\n" + source.replace(bug.old, bug.new),
        function.__globals__,
        space,
    )
    return space[bug.name]


def random_arrival(rng: random.Random) -> Arrival:
    return Arrival(
        at_step=rng.randint(0, 12),
        document=rng.randint(0, 1),
        prompt_tokens=rng.choice([rng.randint(1, TINY.context_tokens - 2), rng.randint(40, 70)]),
        max_tokens=rng.randint(1, 12),
        num_targets=0,
        guess=rng.choice(["right", "wrong", "late", "none"]),
        user=rng.choice("aab"),
        lane=rng.choice([Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BATCH]),
        is_session=rng.random() < 0.5,
        adapter=rng.choice([0, 0, 1, 2]),
        cancel_at_step=rng.choice([None, rng.randint(0, 20)]),
        deadline_step=rng.choice([None, None, rng.randint(0, 25)]),
    )


def run_one(seed: int) -> None:
    """One random load with all checks; raises if anything is wrong."""
    rng = random.Random(seed)
    arrivals = [random_arrival(rng) for _ in range(rng.randint(4, 10))]
    config = SchedulerConfig(
        max_sequences=rng.randint(1, 5),
        max_step_tokens=rng.randint(5, 70),
        prefill_chunk_tokens=rng.randint(1, 40),
    )
    runner = native_runner(rng.randint(6, 11))
    drive = Drive(runner, config, max_draft_tokens=rng.choice([0, 1, 4, 9]))
    recorders = run_load(drive, arrivals)
    for index, arrival in enumerate(arrivals):
        recorder = recorders[index]
        assert len(recorder.reasons) == 1
        assert_same_bits(arrival, recorder.pairs, recorder.reasons[0])
    assert_steps_keep_their_limits(drive, config)
    assert_nothing_unwanted_is_computed(drive)
    assert drive.scheduler.pool.num_busy == 0


def assert_nothing_unwanted_is_computed(drive: Drive) -> None:
    """The newest request of a session is the only one in a step; none is in a step past its deadline."""
    for step, chunks in enumerate(drive.steps):
        keys = [c.sequence.options.session for c in chunks if c.sequence.options.session]
        assert len(set(keys)) == len(keys), "two requests of one session in a step"
        assert all(step <= c.sequence.options.deadline_s for c in chunks)


def first_failure() -> int | None:
    """The first load that fails, if one does."""
    for seed in range(NUM_LOADS):
        try:
            run_one(seed)
        except Exception:
            return seed
    return None


def test_without_a_bug_every_load_passes() -> None:
    for seed in range(NUM_LOADS):
        run_one(seed)


@pytest.mark.parametrize("name", BUGS)
def test_every_seeded_bug_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS[name]
    function: Callable[..., Any] = mutated(bug)
    is_property = isinstance(inspect.getattr_static(bug.owner, bug.name), property)
    monkeypatch.setattr(bug.owner, bug.name, property(function) if is_property else function)
    assert first_failure() is not None


def test_a_session_s_older_request_ends_as_superseded() -> None:
    """The random loads above do meet what the seeded bugs break."""
    reasons = {FinishReason.SUPERSEDED, FinishReason.DEADLINE, FinishReason.CANCELLED}
    seen: set[FinishReason] = set()
    for seed in range(NUM_LOADS):
        rng = random.Random(seed)
        arrivals = [random_arrival(rng) for _ in range(8)]
        drive = Drive(native_runner(9), SchedulerConfig(max_step_tokens=40))
        for recorder in run_load(drive, arrivals).values():
            seen.update(recorder.reasons)
        if reasons <= seen:
            return
    raise AssertionError(f"only {seen}")
