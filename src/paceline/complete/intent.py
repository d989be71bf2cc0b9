"""Is the user in acceleration or in exploration, and so: how much is offered? Every answer has reasons.

Each fact that holds adds its weight, in log-odds; the sum decides. A veto decides alone.

Source: Barke, James, Polikarpova 2023 (OOPSLA), "Grounded Copilot": the two modes of users. In
acceleration they know what comes next and long offers break their flow; in exploration they wrote
what they want (a comment, a signature) or stopped to think, and read whole blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from paceline.complete.history import Recent
from paceline.complete.modes import Mode
from paceline.complete.rhythm import PAUSE_MS, Pace
from paceline.complete.scene import Scene
from paceline.core.errors import ConfigError
from paceline.core.types import Document

Intent = Literal["acceleration", "exploration"]

MAX_LINES = 8_000
"""From here on a file is generated or data, and a single line is offered, as Copilot does."""
MAX_CHARS = 2_000_000
"""More than MAX_LINES lines of code ever have; further is not counted."""
MIN_STEADY_KEYS = 6
"""Keystrokes in a row, without a pause, that make steady typing."""
MAX_COUNTED = 3
"""Statements, or rejections in a row, beyond which more make no difference."""
PRIOR_SHARE = 0.3
"""Share of shown completions that users take, before anything is known (Ziegler et al. 2022: 0.2 to 0.35)."""
PRIOR_COUNT = 4
"""That share counts like so many outcomes."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and why."""

    mode: Mode
    intent: Intent
    score: float
    """0 to 1: how sure it is that more than a line is wanted; compared with the threshold."""
    reasons: tuple[str, ...]
    """Names of the facts that counted, strongest first: `empty_block_start`, `typing_steadily`, ..."""


class IntentWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each fact adds to the log-odds that more than a line is wanted.

    Those of the place and the pace are fitted: logistic regression on 1,230 moments at the start of a
    statement or block, in real edits of the `tune` half of recipe replay-python, labelled by whether the
    edit went on to another line of the block (docs/completion.md has the figures on the other half).
    The others cannot be had from edits, and are ours: each is said.
    """

    base: float = 2.9
    statement_start: float = -2.6
    """On a line of its own; else the cursor stands behind what opens a block, whose body must follow."""
    empty_block_start: float = -0.1
    after_documentation: float = 1.1
    new_function: float = 0.4
    """The innermost block is a function without a statement."""
    top_level: float = -0.3
    in_class: float = 0.9
    """Directly: members come in series."""
    in_branch: float = -0.6
    """Directly in a branch, a handler or a `with`: such blocks are short."""
    statement_before: float = 0.4
    """Each complete statement of the block above the cursor: who is writing a block goes on."""
    statement_after: float = -0.15
    """Each statement of the block below the cursor: there is less room for a body."""
    paused: float = 0.3
    """The user stopped for more than a second where a statement or a block begins."""
    typing_steadily: float = 0.4
    code_before: float = -5.0
    """The line has code already that opens no block: finish that statement, no more (ours)."""
    in_brackets: float = -1.0
    """Ours."""
    invoked: float = 2.4
    """Ours."""
    experience: float = 3.0
    """Times the share of several lines taken less the share of single lines taken, lately (ours)."""
    rejected_in_a_row: float = -0.25
    """Each of the last completions, if all were rejected: less is easier to ignore (ours)."""
    prose: float = -2.0
    """Text or data, where a block means little (ours)."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) for weight in msgspec.structs.astuple(self)):
            raise ConfigError("Every weight of the intent must be a finite number.")


BRANCHES = frozenset({"if", "else", "try", "except", "with"})
DEFAULT_WEIGHTS = IntentWeights()


def decide(
    scene: Scene,
    pace: Pace,
    recent: Recent,
    *,
    multi_line_threshold: float,
    weights: IntentWeights = DEFAULT_WEIGHTS,
) -> Decision:
    """Choose the mode for a request whose client named none.

    Args:
        multi_line_threshold: 0 to 1, the user's own setting; higher gives single lines more often, 1 always.
    """
    vetoes = tuple(_vetoes(scene, multi_line_threshold))
    if vetoes:
        return Decision(mode="single_line", intent="acceleration", score=0.0, reasons=vetoes)
    facts = [*_facts_of_place(scene, weights), *_facts_of_user(scene, pace, recent, weights)]
    counted = [(name, weight) for name, weight in facts if weight]
    counted.sort(key=lambda fact: -abs(fact[1]))
    score = _sigmoid(weights.base + sum(weight for _, weight in counted))
    names = tuple(name for name, _ in counted)
    intent = _intent(names)
    mode: Mode = "multi_line" if intent == "exploration" else "block_body"
    return Decision(
        mode=mode if score >= multi_line_threshold else "single_line",
        intent=intent,
        score=score,
        reasons=names,
    )


def _vetoes(scene: Scene, threshold: float) -> Iterator[str]:
    """Why it is a single line, whatever else holds."""
    place = scene.place
    if threshold >= 1:
        yield "threshold"
    if place.is_in_comment:
        yield "in_comment"
    if place.is_in_docstring:
        yield "in_docstring"
    elif place.is_in_string:
        yield "in_string"
    if scene.line_after:
        yield "mid_line"
    if _is_long(scene.cursor.document):
        yield "long_file"


def _facts_of_place(scene: Scene, weights: IntentWeights) -> Iterator[tuple[str, float]]:
    """Where the cursor stands."""
    place = scene.place
    is_opening = place.is_empty_block_start or place.is_after_documentation
    if place.is_empty_block_start:
        yield "empty_block_start", weights.empty_block_start
    if place.is_after_documentation:
        yield "after_documentation", weights.after_documentation
    is_new = place.is_empty_block_start or (is_opening and place.num_statements_before == 0)
    if is_new and place.blocks[:1] == ("function",):
        yield "new_function", weights.new_function
    if place.blocks[:1] in ((), ("module",)):
        yield "top_level", weights.top_level
    elif place.blocks[0] == "class":
        yield "in_class", weights.in_class
    elif place.blocks[0] in BRANCHES:
        yield "in_branch", weights.in_branch
    if place.is_statement_start:
        yield "statement_start", weights.statement_start
    elif scene.line_before.strip() and not place.is_empty_block_start:
        yield "code_before", weights.code_before
    if place.open_brackets and not place.is_empty_block_start:
        yield "in_brackets", weights.in_brackets
    if not is_opening:
        yield "statements_before", weights.statement_before * _few(place.num_statements_before)
    yield "statements_after", weights.statement_after * _few(place.num_statements_after)
    if not scene.language.is_code:
        yield "prose", weights.prose


def _facts_of_user(
    scene: Scene, pace: Pace, recent: Recent, weights: IntentWeights
) -> Iterator[tuple[str, float]]:
    """What the user does, asks, and took lately."""
    place = scene.place
    is_at_start = place.is_statement_start or place.is_empty_block_start
    is_pause = pace.last_gap_ms is not None and pace.last_gap_ms > PAUSE_MS
    if scene.trigger == "invoked":
        yield "invoked", weights.invoked
    if is_pause and is_at_start:
        yield "paused", weights.paused
    if not is_pause and pace.num_recent >= MIN_STEADY_KEYS:
        yield "typing_steadily", weights.typing_steadily
    several = _share(recent.accepted_multi_line, recent.num_multi_line)
    single = _share(recent.accepted_single_line, recent.num_single_line)
    if several != single:
        name = "takes_blocks" if several > single else "takes_lines"
        yield name, weights.experience * (several - single)
    rejected = weights.rejected_in_a_row * _few(recent.num_rejected_in_a_row)
    yield "rejected_in_a_row", rejected


def _intent(names: tuple[str, ...]) -> Intent:
    """Exploration: the user asked, said in words what is wanted, or thinks at the start of a function."""
    is_thinking = "paused" in names and "new_function" in names
    is_exploring = is_thinking or "invoked" in names or "after_documentation" in names
    return "exploration" if is_exploring else "acceleration"


def _share(share: float, count: int) -> float:
    """The share that is likely, given `count` outcomes and what is known of all users."""
    return (share * count + PRIOR_SHARE * PRIOR_COUNT) / (count + PRIOR_COUNT)


def _few(count: int) -> int:
    return min(max(count, 0), MAX_COUNTED)


def _is_long(document: Document) -> bool:
    text = document.text
    return len(text) > MAX_CHARS or text.count("\n") >= MAX_LINES


def _sigmoid(log_odds: float) -> float:
    if log_odds >= 0:
        return 1 / (1 + math.exp(-min(log_odds, 700.0)))
    odds = math.exp(max(log_odds, -700.0))
    return odds / (1 + odds)
