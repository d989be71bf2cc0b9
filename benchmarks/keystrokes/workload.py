"""Traces to prompts: the ids that an editor plug-in would have sent after each keystroke.

    <|fim_prefix|><|fim_suffix|> suffix <|fim_middle|> prefix          (suffix first, see prompt/fim.py)

A prompt holds a window of the file. The window's start stays where it is while the cursor moves on
(until it would overflow), as every plug-in should do: else each keystroke shifts all tokens and no
engine can reuse anything. All engines get the same ids.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import NamedTuple

from paceline.core.types import Cursor
from paceline.prompt.fim import FimIds, arrange, encode_start, fim_ids
from paceline.tokenizer.bpe import Tokenizer
from paceline.traces.simulate import TraceConfig, simulate
from paceline.traces.sources import FILES, standard_library
from paceline.traces.types import Keystroke, Trace, replay

MAX_PROMPT_TOKENS = 920
"""Leaves room for the longest answer in the shipped model's 1,024."""
SUFFIX_TOKENS = 220
FRESH_PREFIX_TOKENS = 620
"""What a new window holds before the cursor; it may grow until the prompt is full."""
MAX_CHARS_PER_TOKEN = 5
"""More text than that is not tried for a new window."""


States = list[list[list[int]]]
"""Prompts of each user, one state after the other."""


class Keypress(NamedTuple):
    """One request: when it is sent, and its prompt."""

    at_ms: float
    kind: str
    prompt: list[int]


class Window:
    """The part of a document that prompts show. One per document."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: FimIds = fim_ids(tokenizer)
        self._start: int | None = None

    def prompt(self, cursor: Cursor) -> list[int]:
        """Prompt ids, at most MAX_PROMPT_TOKENS."""
        suffix = encode_start(cursor.suffix, self._tokenizer, SUFFIX_TOKENS)
        room = MAX_PROMPT_TOKENS - 3 - len(suffix)
        prefix = self._prefix_ids(cursor, room)
        return arrange(prefix, suffix, self._ids, "spm")

    def forget(self) -> None:
        """The cursor jumps: choose the window anew."""
        self._start = None

    def _prefix_ids(self, cursor: Cursor, room: int) -> list[int]:
        if self._start is not None and self._start <= cursor.offset:
            ids = self._tokenizer.encode(cursor.prefix[self._start :])
            if len(ids) <= room:
                return ids
        guess = max(cursor.offset - FRESH_PREFIX_TOKENS * MAX_CHARS_PER_TOKEN, 0)
        self._start = cursor.prefix.rfind("\n", 0, guess) + 1
        ids = self._tokenizer.encode(cursor.prefix[self._start :])
        while len(ids) > min(FRESH_PREFIX_TOKENS, room):
            excess = len(ids) - FRESH_PREFIX_TOKENS
            self._start = cursor.prefix.index("\n", self._start + excess) + 1
            ids = self._tokenizer.encode(cursor.prefix[self._start :])
        return ids


def keypresses(
    trace: Trace, tokenizer: Tokenizer, *, from_ms: float = 0.0, until_ms: float = math.inf
) -> Iterator[Keypress]:
    """The requests of a part of a trace. A jump moves the window and asks for nothing."""
    window = Window(tokenizer)
    for keystroke, cursor in replay(trace):
        if keystroke.at_ms > until_ms:
            return
        if keystroke.kind == "jump":
            window.forget()
        elif keystroke.at_ms >= from_ms:
            yield Keypress(keystroke.at_ms, keystroke.kind, window.prompt(cursor))


def traces(num_users: int, *, seed: int) -> list[Trace]:
    """One trace of each user, in files of their own."""
    config = TraceConfig(num_holes=4, max_hole_lines=6, min_hole_chars=60)
    files = standard_library(min(num_users, len(FILES)), seed=seed)
    return [simulate(document, seed, config) for document in files]


def typing(
    num_users: int, duration_s: float, tokenizer: Tokenizer, *, seed: int
) -> list[list[Keypress]]:
    """What each user types within `duration_s`, times from 0; the first entry is to be asked before."""
    rng = random.Random(seed)
    users: list[list[Keypress]] = []
    for trace in traces(num_users, seed=seed):
        latest_ms = max(trace.duration_ms - duration_s * 1000, 0)
        times = [one.at_ms for one in trace.keystrokes if one.kind != "jump"]
        start_ms = rng.choice([at_ms for at_ms in times if at_ms <= latest_ms] or times[:1])
        found = keypresses(
            trace, tokenizer, from_ms=start_ms, until_ms=start_ms + duration_s * 1000
        )
        users.append([press._replace(at_ms=press.at_ms - start_ms) for press in found])
    return users


def states(num_users: int, num_keys: int, tokenizer: Tokenizer, *, seed: int) -> States:
    """Prompts of each user: `num_keys + 1` states that follow each other without a jump."""
    users: States = []
    for trace in traces(num_users, seed=seed):
        run = _run_without_jump(trace, num_keys + 1)
        found = keypresses(trace, tokenizer, from_ms=run[0].at_ms, until_ms=run[-1].at_ms)
        users.append([press.prompt for press in found])
    return users


def long_states(num_users: int, num_keys: int, tokenizer: Tokenizer, *, seed: int) -> States:
    """As `states`, from the start of each trace and with its jumps; a short trace gives fewer."""
    return [
        [press.prompt for press in itertools.islice(keypresses(trace, tokenizer), num_keys + 1)]
        for trace in traces(num_users, seed=seed)
    ]


def fresh_prompts(
    count: int, num_tokens: int, tokenizer: Tokenizer, *, seed: int
) -> list[list[int]]:
    """Prompts that share no start with any other: pieces of files, from places chosen by `seed`."""
    rng = random.Random(seed)
    ids = [
        token
        for document in standard_library(8, seed=seed)
        for token in tokenizer.encode(document.text)
    ]
    starts = rng.sample(range(len(ids) - num_tokens), count)
    return [ids[start : start + num_tokens] for start in starts]


def _run_without_jump(trace: Trace, length: int) -> list[Keystroke]:
    """The first `length` keystrokes in a row that are not jumps.

    Raises:
        ValueError: the trace has no such run.
    """
    run: list[Keystroke] = []
    for keystroke in trace.keystrokes:
        run = [] if keystroke.kind == "jump" else [*run, keystroke]
        if len(run) == length:
            return run
    raise ValueError(f"{trace.document.path} has no {length} keystrokes without a jump")
