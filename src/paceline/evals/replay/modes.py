"""How well the mode is chosen: at moments of real edits, against what the user then went on to type.

A moment is labelled `wants_more` if the real edit goes on for at least one more line in the cursor's block
(traces/labels.py). Offering several lines there is right, elsewhere wrong; always offering a single line is
never wrong, and never finds one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from paceline.complete.history import Recent
from paceline.complete.intent import Decision, decide
from paceline.complete.rhythm import Pace, Rhythm
from paceline.complete.scene import Scene
from paceline.core.progress import Progress
from paceline.evals.intervals import Interval, wilson
from paceline.syntax.tree import TreeCache
from paceline.traces.labels import label_of
from paceline.traces.moments import moments
from paceline.traces.types import Trace

ALL, LINE_STARTS = "all", "line starts"
"""Groups of moments; the mode matters at the start of a statement, and below what opens a block."""


class LabelledMoment(NamedTuple):
    """One decision, and what was right."""

    decision: Decision
    wants_more: bool
    is_line_start: bool
    """At the start of a statement, or at the end of a line that opens a block: where the choice matters."""


class ModeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one group of moments, at one threshold."""

    group: str
    threshold: float
    num_moments: int
    num_wanting_more: int
    num_offered: int
    """Moments at which several lines would be offered."""
    num_right: int
    precision: Interval | None
    recall: Interval | None
    accuracy: Interval | None
    accuracy_of_single_line: float | None
    """Of always offering a single line."""


def labelled_moments(trace: Trace) -> Iterator[LabelledMoment]:
    """Decide at each opportunity of `trace`, with the rhythm of its keys; thresholds come later."""
    rhythm, trees = Rhythm(), TreeCache()
    for moment in moments(trace):
        key = moment.keystroke
        pace: Pace = rhythm.press(
            key.at_ms, num_inserted=len(key.inserted), num_deleted=key.num_deleted_chars
        )
        if not moment.is_opportunity or key.kind == "jump":
            continue
        cursor = moment.cursor
        scene = Scene(cursor)
        document, language = cursor.document, scene.language
        tree = trees.tree(document.path, document.text, language, around=cursor.offset)
        scene = Scene(cursor, parse_document=lambda tree=tree: tree)
        decision = decide(scene, pace, Recent(), multi_line_threshold=0.5)
        place = scene.place
        yield LabelledMoment(
            decision,
            label_of(moment).wants_more,
            place.is_statement_start or place.is_empty_block_start,
        )


def sample_moments(
    traces: Sequence[Trace], per_trace: int, *, seed: int, progress: Progress
) -> dict[str, list[LabelledMoment]]:
    """At most `per_trace` moments of each trace, so that no long edit rules; those where lines start apart."""
    found: dict[str, list[LabelledMoment]] = {ALL: [], LINE_STARTS: []}
    with progress.task("modes", total=len(traces), unit="traces") as task:
        for number, trace in enumerate(traces):
            members = list(labelled_moments(trace))
            groups = {ALL: members, LINE_STARTS: [one for one in members if one.is_line_start]}
            for name, group in groups.items():
                rng = random.Random(f"{seed}:{number}")
                found[name] += rng.sample(group, min(per_trace, len(group)))
            task.advance(1)
    return found


def mode_figures(
    labelled: Sequence[LabelledMoment], threshold: float, *, group: str = ALL
) -> ModeFigures:
    """Precision and recall of offering several lines, with 95 % intervals (Wilson)."""
    counts = Counter((one.decision.score >= threshold, one.wants_more) for one in labelled)
    right, false = counts[True, True], counts[True, False]
    wanting = right + counts[False, True]
    num = len(labelled)
    num_same = right + counts[False, False]
    return ModeFigures(
        group=group,
        threshold=threshold,
        num_moments=num,
        num_wanting_more=wanting,
        num_offered=right + false,
        num_right=right,
        precision=wilson(right, right + false) if right + false else None,
        recall=wilson(right, wanting) if wanting else None,
        accuracy=wilson(num_same, num) if num else None,
        accuracy_of_single_line=(num - wanting) / num if num else None,
    )
