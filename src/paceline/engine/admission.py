"""Who is turned away when the queue is full. No torch, no threads, no clock.

What may wait goes before what may not: an interactive request takes the place of a batch job, never the
other way round. Within a lane the user who fills the queue goes first, so that a flood refuses itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from paceline.engine.sequence import Sequence, SubmitOptions


def displaced_by(options: SubmitOptions, waiting: Iterable[Sequence]) -> Sequence | None:
    """The queued sequence that a new one with `options` may take the place of; None: it is refused.

    It is the newest of the user with most of the lane; one that has already produced output (it was
    preempted) goes last.
    """
    lanes = [s for s in waiting if s.options.lane >= options.lane]
    lower = [s for s in lanes if s.options.lane > options.lane]
    candidates = lower or lanes
    counts = Counter(s.options.user for s in candidates)
    if not counts:
        return None
    greediest, most = counts.most_common(1)[0]
    if not lower and most <= counts[options.user] + 1:
        return None
    return max(
        (s for s in candidates if s.options.user == greediest),
        key=lambda s: (not s.num_admissions, s.sequence_id),
    )
