"""Candidate to completion: small pure steps, in order. Every drop has a reason, every change a note.

    text at all  →  where it ends  →  indentation  →  loops  →  what is already there  →  mid-line, brackets
                 →  secrets  →  worth a look  →  turned down before  →  does it parse, do its names exist

The order is the design. First what is no code at all goes, so that no later rule reads it; then the end, so
that no rule judges text that is not wanted; then what the document has already. What is left is judged as a
whole, the dear checks last, on the text as it will be shown.

A step cuts the text, mends leading white space, widens the replace range, adds flags, or drops the
candidate; what stands before the cursor is never touched. Steps run again until none changes anything, so
`postprocess` is idempotent. A new rule is one function, one line in STEPS and its cases in tests/golden/.
"""

from __future__ import annotations

from msgspec.structs import replace

from paceline.complete.failures import INTERNAL_ERROR, report
from paceline.complete.scene import Scene
from paceline.complete.steps.brackets import cut_duplicate_closers, cut_unopened_closers
from paceline.complete.steps.broken import (
    cut_broken_text,
    cut_fences,
    cut_path_lines,
    cut_sentinels,
    mend_line_ends,
)
from paceline.complete.steps.ends import end_at_whole_statement, end_by_mode
from paceline.complete.steps.following import cut_repeated_line, drop_near_following
from paceline.complete.steps.grounded import flag_ungrounded
from paceline.complete.steps.indent import mend_indent
from paceline.complete.steps.indent_style import cut_doubled_space, mend_tabs
from paceline.complete.steps.midline import cover_closers, meet_rest
from paceline.complete.steps.parse import check_parse
from paceline.complete.steps.rejected import drop_rejected
from paceline.complete.steps.repetition import (
    cut_echo,
    cut_repeated_lines,
    drop_repeated_above,
    drop_repeated_tokens,
)
from paceline.complete.steps.secrets import drop_secrets
from paceline.complete.steps.suffix import cut_repeated_rest
from paceline.complete.steps.trivial import drop_blank, drop_trivial, trim_end
from paceline.complete.steps.types import Judged, Step, StepNote
from paceline.core.types import Candidate, Drop

MAX_ROUNDS = 8
"""Each round but the last shortens or mends the text; two or three are usual."""

MAX_CANDIDATE_CHARS = 16_000
"""More than that is not read; what is read counts as text that ran out of tokens."""

STEPS: tuple[Step, ...] = (
    mend_line_ends,
    cut_broken_text,
    cut_sentinels,
    cut_fences,
    cut_path_lines,
    cut_echo,
    cut_doubled_space,
    mend_tabs,
    mend_indent,
    end_by_mode,
    end_at_whole_statement,
    cut_repeated_lines,
    drop_repeated_tokens,
    drop_repeated_above,
    cut_repeated_rest,
    cut_repeated_line,
    drop_near_following,
    meet_rest,
    cover_closers,
    cut_duplicate_closers,
    cut_unopened_closers,
    trim_end,
    drop_blank,
    drop_trivial,
    drop_rejected,
    drop_secrets,
    check_parse,
    flag_ungrounded,
)
STEP_NAMES: tuple[str, ...] = tuple(step.__name__ for step in STEPS)
GUARDS: frozenset[str] = frozenset({drop_secrets.__name__})
"""Steps without which nothing may be shown."""


def postprocess(
    candidate: Candidate, scene: Scene, *, disabled: frozenset[str] = frozenset()
) -> Judged:
    """Apply the steps until nothing changes. Never raises: a step that does is left out, and noted.

    Args:
        disabled: names of steps to leave out, to learn what each is worth.
    """
    trail: list[StepNote] = []
    if len(candidate.text) > MAX_CANDIDATE_CHARS:
        text = candidate.text[:MAX_CANDIDATE_CHARS]
        candidate = replace(candidate, text=text, finish_reason="length")
    seen: dict[str, tuple[str, int, str]] = {}
    for _ in range(MAX_ROUNDS):
        before = _state(candidate)
        for step in STEPS:
            name = step.__name__
            if name in disabled or seen.get(name) == _state(candidate):
                continue
            seen[name] = _state(candidate)
            result, is_failed = _apply(step, candidate, scene)
            if is_failed or result != candidate:
                trail.append(_note(name, candidate, result, is_failed=is_failed))
            if isinstance(result, Drop):
                return Judged(result, tuple(trail))
            candidate = result
        if _state(candidate) == before:
            break
    return Judged(candidate, tuple(trail))


def _apply(step: Step, candidate: Candidate, scene: Scene) -> tuple[Candidate | Drop, bool]:
    """What a step makes of a candidate, and whether a bug ended it."""
    try:
        return step(candidate, scene), False
    except Exception as error:
        report(step.__name__, error)
        return (Drop(INTERNAL_ERROR) if step.__name__ in GUARDS else candidate), True


def _state(candidate: Candidate) -> tuple[str, int, str]:
    """All that a step looks at: a step that has seen it has nothing to add, as steps are pure."""
    return candidate.text, candidate.num_replaced_chars, candidate.finish_reason


def _note(
    name: str, before: Candidate, after: Candidate | Drop, *, is_failed: bool = False
) -> StepNote:
    is_dropped = isinstance(after, Drop)
    added = () if is_dropped else tuple(flag for flag in after.flags if flag not in before.flags)
    return StepNote(
        step=name,
        num_chars_before=len(before.text),
        num_chars_after=0 if is_dropped else len(after.text),
        drop_reason=after.reason if is_dropped else "",
        flags=tuple(sorted({flag.partition(":")[0] for flag in added})),
        is_failed=is_failed,
    )
