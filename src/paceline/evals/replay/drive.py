"""One trace typed through the brain: at each key it is asked, the simulated user reacts, and all is counted.

    key ─▶ what is on screen goes on or not ─▶ the brain answers ─▶ the user takes it, or types on
     ▲                                                                    │
     └────── the accepted part need not be typed: its keys are left out ◀─┘

Time is virtual: gaps between keys are the trace's, latencies are the brain's own, measured. An answer that
comes after the next key is shown only if that key agrees with it. Reading delays the next key.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from paceline.complete.gate_features import GateFeatures
from paceline.complete.request import CompleteRequest, Completion
from paceline.complete.service import Service
from paceline.complete.trace import RequestTrace
from paceline.core.types import Cursor
from paceline.evals.replay.clock import ReplayClock
from paceline.evals.replay.tally import Tally
from paceline.generate.types import Session
from paceline.prompt.context.types import EditorContext
from paceline.traces.moments import Moment, moments
from paceline.traces.types import Trace
from paceline.traces.user import GhostText, Reaction, UserConfig, react

ELSEWHERE = frozenset({"jump", "paste", "delete"})
"""Keystrokes after which nobody waits for a completion."""


class Windows(NamedTuple):
    """Which keys of a trace are asked about: `num_on`, then `num_off` not, and so on, at most `max_keys`.

    Long edits are typed for hours; windows over all of them say more than the first minutes of each.
    """

    num_on: int = 60
    num_off: int | None = None
    """None: as many as spread `max_keys` over the whole trace, see `over`."""
    max_keys: int = 250
    phase: int = 0
    """Where in the pattern the trace begins."""
    is_sliced_only: bool = False
    """Ask only at cursors of the slice, and for `num_on` keys after each."""

    def over(self, num_keys: int, rng: random.Random) -> Windows:
        """These windows for a trace of `num_keys`, beginning anywhere in the pattern. A short one is covered whole."""
        num_off = self.num_off
        if num_off is None:
            num_off = max(math.ceil(self.num_on * (num_keys / self.max_keys - 1)), 0)
        return self._replace(num_off=num_off, phase=rng.randrange(self.num_on + num_off))

    def has(self, index: int) -> bool:
        """Is the key of that index asked about?"""
        return (index + self.phase) % (self.num_on + (self.num_off or 0)) < self.num_on


class Screen(msgspec.Struct):
    """The ghost text that is on screen."""

    text: str
    num_replaced_chars: int
    shown_at_ms: float
    request_id: str
    num_read_chars: int = 0
    is_seen: bool = False


class _Accepted(NamedTuple):
    """Text that was accepted, whose keys are still to come in the trace."""

    edit_index: int
    num_typed: int
    """Where it ends, as moments count."""
    rest: Moment
    """The state in which it left the document."""


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One shown completion, as the gate saw it, and whether the user would keep some of it."""

    features: GateFeatures
    is_kept: bool
    num_kept_chars: int
    num_chars: int
    saved_ms: float
    cost_ms: float


class Driver:
    """Types one trace. Use once."""

    def __init__(
        self,
        service: Service,
        clock: ReplayClock,
        user: UserConfig,
        *,
        session_id: str,
        context: EditorContext = EditorContext(),
        is_sliced: Callable[[Cursor], bool] | None = None,
    ) -> None:
        """
        Args:
            context: what the editor tells beside the document.
            is_sliced: which cursors are counted in `slice` as well.
        """
        self.tally, self.slice = Tally(), Tally()
        self.rows: list[GateRow] = []
        self._service, self._clock, self._user = service, clock, user
        self._session = Session(session_id, "document")
        self._context, self._is_sliced = context, is_sliced
        self._now_ms = 0.0
        self._screen: Screen | None = None
        self._sliced_until = 0
        self._accepted: _Accepted | None = None

    async def run(self, trace: Trace, windows: Windows | None = None) -> None:
        """Type it to its end; the brain is asked in `windows`, or always."""
        previous_at_ms = 0.0
        num_covered = (
            0  # with what was spared, so that every variant covers the same part of the trace
        )
        for index, moment in enumerate(moments(trace)):
            gap_ms = moment.keystroke.at_ms - previous_at_ms
            previous_at_ms = moment.keystroke.at_ms
            if windows is not None and num_covered >= windows.max_keys:
                return
            is_asked = self._is_asked_about(index, moment, windows)
            is_spared = await self._is_spared(moment, gap_ms, is_asked=is_asked)
            if is_asked:
                num_covered += 1
                self.tally.num_spared += is_spared
                self.tally.num_chances += moment.is_opportunity
            if is_spared:
                continue
            self._now_ms += gap_ms
            self._clock.skip(gap_ms)
            if is_asked:
                await self._press(moment, _gap_after(moment))
            else:
                self._screen = None

    def _is_asked_about(self, index: int, moment: Moment, windows: Windows | None) -> bool:
        if moment.keystroke.kind in ELSEWHERE or not moment.cursor.document.text:
            return False
        if windows is not None and windows.is_sliced_only:
            is_start = moment.keystroke.kind == "newline" and moment.is_opportunity
            if is_start and self._is_sliced is not None and self._is_sliced(moment.cursor):
                self._sliced_until = index + windows.num_on
            return index < self._sliced_until
        return windows is None or windows.has(index)

    async def _is_spared(self, moment: Moment, gap_ms: float, *, is_asked: bool) -> bool:
        """Is this a key that need not be pressed, since what it types was accepted?

        Where the accepted text ends the brain is asked again, and more may be accepted.
        """
        accepted = self._accepted
        while accepted is not None and moment.edit_index == accepted.edit_index:
            if moment.num_typed < accepted.num_typed:
                return True
            self._accepted = None
            is_reached = moment.num_typed == accepted.num_typed
            if is_asked:
                await self._press(accepted.rest, _gap_after(moment) if is_reached else gap_ms)
            if is_reached:
                return True
            accepted = self._accepted
        self._accepted = None
        return False

    async def _press(self, moment: Moment, next_gap_ms: float | None) -> None:
        """One key, or an accept: ask, and see what the user takes of it."""
        num_kept = await self._ask(moment, next_gap_ms)
        if num_kept:
            rest = _after(moment, num_kept)
            self._accepted = _Accepted(moment.edit_index, rest.num_typed, rest)

    async def _ask(self, moment: Moment, next_gap_ms: float | None) -> int:
        pressed_ms = self._now_ms
        stays = self._stays(moment)
        request = CompleteRequest(
            cursor=moment.cursor,
            session=self._session,
            pressed_at_ms=pressed_ms,
            context=self._context,
        )
        completion = await self._service.complete(request)
        await self._let_it_prepare()
        trace = self._service.traces.get(completion.request_id)
        assert trace is not None
        tallies = [self.tally]
        if moment.is_opportunity and self._is_sliced is not None and self._is_sliced(moment.cursor):
            tallies.append(self.slice)
            self.slice.num_chances += 1
        for tally in tallies:
            count_answer(tally, moment, completion, trace)
        shown_at_ms = pressed_ms + completion.latency_ms
        next_at_ms = None if next_gap_ms is None else pressed_ms + next_gap_ms
        is_late = next_at_ms is not None and shown_at_ms > next_at_ms
        if not is_late:
            self._show(stays, completion, shown_at_ms, tallies)
        screen = self._screen
        if screen is None:
            return 0
        ghost = GhostText(screen.text, screen.num_replaced_chars, screen.num_read_chars)
        self._collect(moment, ghost, completion, trace)
        reaction = react(moment, ghost, screen.shown_at_ms, next_at_ms, self._user)
        return self._react(moment, screen, reaction, tallies, max(shown_at_ms, pressed_ms))

    async def _let_it_prepare(self) -> None:
        """What is asked ahead is answered while the user reads or types: its time is not the user's."""
        before_ms = self._clock.now_ms()
        await self._service.idle()
        self._clock.skip(before_ms - self._clock.now_ms())

    def _stays(self, moment: Moment) -> Screen | None:
        """What is left on screen of the ghost text, if the key agreed with it."""
        screen, self._screen = self._screen, None
        typed = moment.keystroke.inserted[
            : len(moment.keystroke.inserted) - moment.keystroke.num_chars_after
        ]
        if screen is None or not typed or not screen.text.startswith(typed):
            return None
        rest = screen.text[len(typed) :]
        if not rest:
            return None
        num_read = max(screen.num_read_chars - len(typed), 0)
        self._screen = Screen(
            rest,
            screen.num_replaced_chars,
            screen.shown_at_ms,
            screen.request_id,
            num_read,
            screen.is_seen,
        )
        return self._screen

    def _show(
        self, stays: Screen | None, completion: Completion, shown_at_ms: float, tallies: list[Tally]
    ) -> None:
        """Put the answer on screen; what agrees with what is there already is no change."""
        if stays is not None and completion.text == stays.text:
            stays.request_id = completion.request_id
            stays.num_replaced_chars = completion.num_replaced_chars
            for part in tallies[1:]:  # what a part has not seen coming is new to it
                part.num_shown += 1
                part.num_shown_chars += len(stays.text)
            return
        for tally in tallies:
            tally.num_flickers += stays is not None
        self._screen = None
        if completion.text:
            self._screen = Screen(
                completion.text, completion.num_replaced_chars, shown_at_ms, completion.request_id
            )
            for tally in tallies:
                tally.num_shown += 1
                tally.num_shown_chars += len(completion.text)
                tally.modes[completion.mode] += 1

    def _react(
        self,
        moment: Moment,
        screen: Screen,
        reaction: Reaction,
        tallies: list[Tally],
        began_ms: float,
    ) -> int:
        is_seen = reaction.num_read_chars > screen.num_read_chars and not screen.is_seen
        screen.num_read_chars = reaction.num_read_chars
        for tally in tallies:
            tally.num_seen += is_seen
            tally.cost_ms += reaction.cost_ms
            tally.saved_ms += reaction.saved_ms
            tally.num_kept_chars += reaction.num_kept_chars
            tally.num_deleted_chars += reaction.num_accepted_chars - reaction.num_kept_chars
            tally.num_accepted += reaction.kind == "accepted"
            tally.num_partly_accepted += reaction.kind == "partially_accepted"
            tally.num_rejected += reaction.kind == "rejected"
        screen.is_seen = screen.is_seen or is_seen
        if reaction.kind in ("accepted", "partially_accepted"):
            self._now_ms = (
                began_ms + self._user.notice_ms + reaction.cost_ms + self._user.accept_key_ms
            )
            self._service.record(
                screen.request_id, reaction.kind, num_chars=reaction.num_accepted_chars
            )
            self._screen = None
            return reaction.num_kept_chars
        self._now_ms += reaction.cost_ms
        return 0

    def _collect(
        self, moment: Moment, ghost: GhostText, completion: Completion, trace: RequestTrace
    ) -> None:
        """A row for the gate: what would a user do who sees it and has all the time?"""
        features = trace.candidates[0].features if trace.candidates else None
        if features is None or ghost.text != completion.text:
            return
        calm = react(moment, ghost, 0.0, None, self._user)
        self.rows.append(
            GateRow(
                features=features,
                is_kept=calm.num_kept_chars > 0,
                num_kept_chars=calm.num_kept_chars,
                num_chars=len(ghost.text),
                saved_ms=calm.saved_ms,
                cost_ms=calm.cost_ms,
            )
        )


def count_answer(tally: Tally, moment: Moment, completion: Completion, trace: RequestTrace) -> None:
    """Count one request."""
    tally.num_moments += 1
    tally.num_opportunities += moment.is_opportunity
    tally.num_asked += trace.source == "network"
    tally.num_prefetched += trace.num_prefetched
    tally.num_tokens += completion.num_tokens
    tally.sources[completion.source] += 1
    if completion.drop is not None:
        tally.drops[completion.drop.reason] += 1
    tally.latencies_ms.append(completion.latency_ms)
    tally.own_ms.append(trace.own_ms())
    for span in trace.spans:
        tally.spans_ms.setdefault(span.name, []).append(span.ms)


def _gap_after(moment: Moment) -> float | None:
    """Time to the next key; None: there is none."""
    return None if moment.next_at_ms is None else moment.next_at_ms - moment.keystroke.at_ms


def _after(moment: Moment, num_chars: int) -> Moment:
    """The moment after the first characters of the truth were accepted."""
    closed = tuple(at - num_chars for at in moment.closed if at >= num_chars)
    return replace(
        moment,
        keystroke=replace(moment.keystroke, inserted="", num_chars_after=0),
        cursor=moment.after(num_chars),
        truth=moment.truth[num_chars:],
        num_typed=moment.num_typed + num_chars,
        closed=closed,
    )
