"""What the gate looks at: numbers about a completion, its place and its user. No text leaves here."""

from __future__ import annotations

import math

import msgspec

from paceline.complete.history import Recent
from paceline.complete.rhythm import Pace
from paceline.complete.scene import Scene
from paceline.core.types import Candidate

BASE_ACCEPTED = 0.3
"""Share of shown completions that is taken, all in all (facts/clients.md section 4: 22 to 35 %)."""
TYPICAL_GAP_MS = 240.0
"""Mean of all people who type (traces/rhythm.py): what is assumed of somebody unknown."""
MIN_SUM_LOGPROB, MIN_MEAN_LOGPROB = -80.0, -8.0
"""What is less likely is equally hopeless."""
_OPERATORS = frozenset("=+-*/%<>&|^~!?,:")
_OPEN_BRACKETS = frozenset("([{")


class GateFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate looks at, all numbers; counts and lengths as log(1 + x). No text."""

    has_logprob: float = 0.0
    mean_logprob: float = 0.0
    """Natural, per token; 0 if unknown."""
    sum_logprob: float = 0.0
    log_chars: float = 0.0
    log_lines: float = 0.0
    log_tokens: float = 0.0
    is_block_body: float = 0.0
    is_multi_line: float = 0.0
    is_invoked: float = 0.0
    log_gap: float = 0.0
    """Of the user's median gap between keys, over that of people in general."""
    is_after_pause: float = 0.0
    log_recent_keys: float = 0.0
    is_deleting: float = 0.0
    is_in_comment: float = 0.0
    is_in_string: float = 0.0
    is_statement_start: float = 0.0
    is_empty_block_start: float = 0.0
    is_in_word: float = 0.0
    """Does a name end at the cursor?"""
    is_after_newline: float = 0.0
    """Only white space before the cursor on its line."""
    is_after_operator: float = 0.0
    is_after_dot: float = 0.0
    is_after_open_bracket: float = 0.0
    has_code_after: float = 0.0
    """On the cursor's line, closing brackets aside."""
    accepted_share: float = 0.0
    """Of the last shown in this document, minus BASE_ACCEPTED; 0 without any."""
    log_rejected_in_a_row: float = 0.0
    log_unknown_names: float = 0.0
    log_unknown_modules: float = 0.0
    log_other_flags: float = 0.0
    log_changing_steps: float = 0.0
    """Post-processing steps that changed the text."""
    is_replacing: float = 0.0
    is_cut: float = 0.0
    """Did tokens or time run out before the end?"""
    log_typed_since: float = 0.0
    """Characters typed into this completion since it was first shown: it was right so far."""


FEATURE_NAMES: tuple[str, ...] = GateFeatures.__struct_fields__


def features_of(
    scene: Scene,
    candidate: Candidate,
    *,
    pace: Pace | None = None,
    recent: Recent | None = None,
    num_changing_steps: int = 0,
    num_typed_since: int = 0,
) -> GateFeatures:
    """The features of `candidate`, as it would be shown at `scene`."""
    pace, recent, place = pace or Pace(), recent or Recent(), scene.place
    before, text, num_tokens = scene.line_before, candidate.text, candidate.num_tokens
    logprob = candidate.logprob if num_tokens else 0.0
    stripped = before.rstrip()
    last, last_typed = stripped[-1:], before[-1:]
    kinds = [flag.partition(":")[0] for flag in candidate.flags]
    num_modules = sum("module" in kind or "import" in kind for kind in kinds)
    num_names = sum(kind.startswith("unknown_") for kind in kinds) - num_modules
    high_gap_ms = pace.high_gap_ms or 2 * TYPICAL_GAP_MS
    return GateFeatures(
        has_logprob=float(num_tokens > 0),
        mean_logprob=max(logprob / max(num_tokens, 1), MIN_MEAN_LOGPROB),
        sum_logprob=max(logprob, MIN_SUM_LOGPROB),
        log_chars=math.log1p(len(text)),
        log_lines=math.log1p(text.strip("\r\n").count("\n")),
        log_tokens=math.log1p(max(num_tokens, 0)),
        is_block_body=float(scene.mode == "block_body"),
        is_multi_line=float(scene.mode == "multi_line"),
        is_invoked=float(scene.trigger == "invoked"),
        log_gap=math.log(max(pace.median_gap_ms or TYPICAL_GAP_MS, 1.0) / TYPICAL_GAP_MS),
        is_after_pause=float((pace.last_gap_ms or 0.0) > high_gap_ms),
        log_recent_keys=math.log1p(max(pace.num_recent, 0)),
        is_deleting=float(pace.is_deleting),
        is_in_comment=float(place.is_in_comment or place.is_in_docstring),
        is_in_string=float(place.is_in_string and not place.is_in_docstring),
        is_statement_start=float(place.is_statement_start),
        is_empty_block_start=float(place.is_empty_block_start),
        is_in_word=float(last_typed.isalnum() or last_typed == "_"),
        is_after_newline=float(not stripped),
        is_after_operator=float(last in _OPERATORS and bool(last)),
        is_after_dot=float(last_typed == "."),
        is_after_open_bracket=float(last in _OPEN_BRACKETS and bool(last)),
        has_code_after=float(bool(scene.line_after.lstrip(" \t)]}\"'`;:,"))),
        accepted_share=_accepted_share(recent),
        log_rejected_in_a_row=math.log1p(max(recent.num_rejected_in_a_row, 0)),
        log_unknown_names=math.log1p(max(num_names, 0)),
        log_unknown_modules=math.log1p(num_modules),
        log_other_flags=math.log1p(len(kinds) - num_modules - num_names),
        log_changing_steps=math.log1p(max(num_changing_steps, 0)),
        is_replacing=float(candidate.num_replaced_chars > 0),
        is_cut=float(candidate.finish_reason in ("length", "deadline")),
        log_typed_since=math.log1p(max(num_typed_since, 0)),
    )


def _accepted_share(recent: Recent) -> float:
    num_shown = recent.num_single_line + recent.num_multi_line
    if num_shown <= 0:
        return 0.0
    num_accepted = (
        recent.num_single_line * recent.accepted_single_line
        + recent.num_multi_line * recent.accepted_multi_line
    )
    return num_accepted / num_shown - BASE_ACCEPTED
