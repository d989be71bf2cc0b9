"""What one step of the engine was: times, rows, blocks. Numbers only; no torch, no text.

started_s
|-- plan_s --|------ forward_s ------|-- pick_s --|-- commit_s --|  end_s
which rows    the model               ids of rows   what it means
"""

from __future__ import annotations

from typing import Literal

import msgspec

StepKind = Literal["prefill", "decode", "verify", "mixed"]
STEP_KINDS: tuple[StepKind, ...] = ("prefill", "decode", "verify", "mixed")

Entry = tuple[int, int, int, int, int]
"""(sequence_id, start, num_rows, num_draft_rows, num_new_tokens) of one sequence in a step.

`start` is the position of the first row; the last num_draft_rows of the num_rows were guesses;
num_new_tokens ids were added to the sequence, accepted guesses among them. A plain tuple, because
only such ones drop out of the garbage collector's sight, and tens of thousands are kept for traces.
"""


class StepStats(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One step, as the engine's loop saw it. Times in seconds of one monotonic clock."""

    number: int
    started_s: float
    plan_s: float
    forward_s: float
    """On an accelerator the launch; the wait is then in pick_s."""
    pick_s: float
    commit_s: float
    entries: tuple[Entry, ...]
    """One or more."""
    num_waiting: int
    num_running: int
    used_blocks: int
    """Held by running sequences."""
    cached_blocks: int
    """In the prefix cache and held by nobody: they can be taken at any time."""
    num_blocks: int
    num_batch_lane_rows: int = 0

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.plan_s + self.forward_s + self.pick_s + self.commit_s

    @property
    def end_s(self) -> float:
        """When the new tokens could be read."""
        return self.started_s + self.seconds

    @property
    def num_rows(self) -> int:
        """Rows of all sequences."""
        return sum(entry[2] for entry in self.entries)

    @property
    def kind(self) -> StepKind:
        """By what the rows cost, not by the phase of their sequences; see `entry_kind`."""
        entries = self.entries
        first = entry_kind(entries[0])
        if len(entries) == 1:
            return first
        kinds = {entry_kind(entry) for entry in entries}
        if len(kinds) == 1:
            return first
        return "mixed" if "prefill" in kinds else "verify"


def entry_kind(entry: Entry) -> StepKind:
    """prefill has several rows that are no guesses, verify has guesses, decode is a single row.

    The last row of a prompt that was cached up to there is a decode: it costs what one costs.
    """
    num_rows, num_draft_rows = entry[2], entry[3]
    if num_rows - num_draft_rows > 1:
        return "prefill"
    return "verify" if num_draft_rows else "decode"


def num_accepted_drafts(entry: Entry) -> int:
    """Guesses that became tokens: all new tokens but the one that the last good row gave.

    A sequence that stops within its guesses may be counted one short.
    """
    return min(entry[3], max(entry[4] - 1, 0))
