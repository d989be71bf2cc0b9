"""Rounds to figures, and figures to the goals of the issue: met or not, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.keystrokes import counters, stats
from benchmarks.keystrokes.measure import IN_TIME_MS, Capacity, Round, Typing

OVERLAP_GOAL_ONE_USER = 1.2
OVERLAP_GOAL_BOUND = 1.25
OVERLAP_GOAL_PEERS = 3.0
CPU_GOAL_PEERS = 2.0
PREFILL_GOAL = 0.8


class Latency(msgspec.Struct, frozen=True):
    """Two percentiles, in ms, of `num` answers."""

    p50: float
    p95: float
    num: int


class TypingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Simulated people, one number of users."""

    in_time_share: float
    """Of all keystrokes."""
    in_time_share_of_waited: float
    """Of the keystrokes after which the user stopped for 300 ms or more."""
    waited_p95_ms: float
    in_time_per_s: float
    in_time_per_cpu_s: float
    client_cpu_share: float
    """Of one core."""


class CapacityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Users without pauses."""

    latency: Latency
    completions_per_s: float
    in_time_per_cpu_s: float


class Figures(msgspec.Struct, kw_only=True):
    """One engine on one model."""

    engine: str
    version: str
    setting: str
    undisturbed: Latency
    undisturbed_cpu_ms: float
    overlap: dict[int, Latency]
    overlap_without_cancel: dict[int, Latency]
    bound: dict[int, Latency]
    typing: dict[int, TypingFigures]
    capacity: dict[int, CapacityFigures]
    completions_per_s_in_time: float
    """The most of `capacity` at p95 <= 300 ms; 0 if no level holds that."""
    prefill_tokens_per_s: float
    decode_tokens_per_s: dict[int, float]
    peak_rss_bytes: int
    abandoned_tokens: int
    server_wasted_tokens: float | None
    """The engine's own count, where it has one."""
    draft_acceptance: float | None
    missing_tokens: tuple[int, float]
    """(answers shortened by type-through, tokens that each lacks on average)."""
    agreement: tuple[float, float] | None = None
    """(identical answers, answers with the same first 8 tokens), against paceline."""
    errors: list[str]

    def in_time_per_cpu_s(self) -> float:
        """The best level of typing."""
        return max((level.in_time_per_cpu_s for level in self.typing.values()), default=0.0)


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the issue."""

    text: str
    measured: str
    is_met: bool


def latency(values: Sequence[float]) -> Latency:
    """Percentiles of a sample."""
    return Latency(stats.p50(values), stats.p95(values), len(values))


def summarise(
    rounds: Sequence[Round],
    *,
    engine: str,
    version: str,
    setting: str,
    peak_rss_bytes: int,
    server_counters: Mapping[str, float],
) -> Figures:
    """Figures of all rounds of one engine together."""
    undisturbed = [value for one in rounds for value in one.undisturbed_ms]
    cpu_s = sum(one.undisturbed_cpu_s for one in rounds)
    levels = _capacity(rounds)
    held = [level.completions_per_s for level in levels.values() if level.latency.p95 <= IN_TIME_MS]
    drafted = counters.first_with(server_counters, "spec_decode_num_draft_tokens")
    accepted = counters.first_with(server_counters, "spec_decode_num_accepted_tokens_total")
    return Figures(
        engine=engine,
        version=version,
        setting=setting,
        undisturbed=latency(undisturbed),
        undisturbed_cpu_ms=cpu_s / max(len(undisturbed), 1) * 1000,
        overlap=_by_users([one.overlap_ms for one in rounds]),
        overlap_without_cancel=_by_users([one.overlap_without_cancel_ms for one in rounds]),
        bound=_by_users([one.bound_ms for one in rounds]),
        typing=_typing(rounds),
        capacity=levels,
        completions_per_s_in_time=max(held, default=0.0),
        prefill_tokens_per_s=stats.p50(
            [rate for one in rounds for rate in one.prefill_tokens_per_s]
        ),
        decode_tokens_per_s={
            batch: max(rate for one in rounds for rate in one.decode_tokens_per_s[batch])
            for batch in rounds[0].decode_tokens_per_s
        },
        peak_rss_bytes=peak_rss_bytes,
        abandoned_tokens=sum(one.abandoned_tokens for one in rounds),
        server_wasted_tokens=counters.first_with(server_counters, "wasted_tokens"),
        draft_acceptance=accepted / drafted if drafted and accepted is not None else None,
        missing_tokens=_missing([lack for one in rounds for lack in one.missing_tokens]),
        errors=[error for one in rounds for error in one.errors],
    )


def goals(ours: Figures, peers: Sequence[Figures]) -> list[Goal]:
    """The issue's goals; those that compare are left out without a peer."""
    found = [_one_user_goal(ours), *_bound_goals(ours)]
    if not peers:
        return found
    for users, level in sorted(ours.overlap.items()):
        best = min(peers, key=lambda peer: peer.overlap[users].p95)
        ratio = _ratio(best.overlap[users].p95, level.p95)
        found.append(
            Goal(
                text=f"p95 under overlap, {users} user{'s' * (users > 1)}: at least {OVERLAP_GOAL_PEERS:g}x better than the best peer",
                measured=f"{ratio:.2f}x ({_ms(level.p95)}; {best.engine} {_ms(best.overlap[users].p95)})",
                is_met=ratio >= OVERLAP_GOAL_PEERS,
            )
        )
    return [*found, *_peer_goals(ours, peers)]


def _one_user_goal(ours: Figures) -> Goal:
    ratio = ours.overlap[1].p50 / ours.undisturbed.p50
    return Goal(
        text=f"one user: surviving request at most {OVERLAP_GOAL_ONE_USER:g}x its undisturbed latency (p50)",
        measured=f"{ratio:.2f}x ({ours.overlap[1].p50:.1f} / {ours.undisturbed.p50:.1f} ms)",
        is_met=ratio <= OVERLAP_GOAL_ONE_USER,
    )


def _bound_goals(ours: Figures) -> list[Goal]:
    found: list[Goal] = []
    for users in sorted(set(ours.overlap) - {1}):
        ratio = ours.overlap[users].p50 / ours.bound[users].p50
        found.append(
            Goal(
                text=f"{users} users: surviving request at most {OVERLAP_GOAL_BOUND:g}x the {users}-row batch bound (p50)",
                measured=f"{ratio:.2f}x ({ours.overlap[users].p50:.1f} / {ours.bound[users].p50:.1f} ms)",
                is_met=ratio <= OVERLAP_GOAL_BOUND,
            )
        )
    return found


def _peer_goals(ours: Figures, peers: Sequence[Figures]) -> list[Goal]:
    found: list[Goal] = []
    frugal = max(peers, key=Figures.in_time_per_cpu_s)
    ratio = _ratio(ours.in_time_per_cpu_s(), frugal.in_time_per_cpu_s())
    found.append(
        Goal(
            text=f"answers in time per CPU-second while typing: at least {CPU_GOAL_PEERS:g}x the best peer",
            measured=f"{ratio:.2f}x ({ours.in_time_per_cpu_s():.1f}; {frugal.engine} {frugal.in_time_per_cpu_s():.1f})",
            is_met=ratio >= CPU_GOAL_PEERS,
        )
    )
    quick = min(peers, key=lambda peer: peer.undisturbed.p50)
    ratio = ours.undisturbed.p50 / quick.undisturbed.p50
    found.append(
        Goal(
            text="undisturbed p50: no worse than the best peer",
            measured=f"{ratio:.2f}x ({ours.undisturbed.p50:.1f} ms; {quick.engine} {quick.undisturbed.p50:.1f} ms)",
            is_met=ratio <= 1,
        )
    )
    for peer in peers:
        if peer.engine.startswith("OpenVINO"):
            ratio = _ratio(ours.prefill_tokens_per_s, peer.prefill_tokens_per_s)
            found.append(
                Goal(
                    text=f"cold prefill: at least {PREFILL_GOAL:g}x OpenVINO's",
                    measured=f"{ratio:.2f}x ({ours.prefill_tokens_per_s:.0f}; {peer.prefill_tokens_per_s:.0f} tokens/s)",
                    is_met=ratio >= PREFILL_GOAL,
                )
            )
    return found


def _missing(lacks: Sequence[int]) -> tuple[int, float]:
    return len(lacks), sum(lacks) / len(lacks) if lacks else 0.0


def _by_users(rounds: Sequence[Mapping[int, list[float]]]) -> dict[int, Latency]:
    return {
        users: latency([value for one in rounds for value in one[users]]) for users in rounds[0]
    }


def _typing(rounds: Sequence[Round]) -> dict[int, TypingFigures]:
    grouped: dict[int, list[Typing]] = {}
    for one in rounds:
        for level in one.typing:
            grouped.setdefault(level.num_users, []).append(level)
    return {users: _typing_figures(levels) for users, levels in grouped.items()}


def _typing_figures(levels: Sequence[Typing]) -> TypingFigures:
    waited = [value for level in levels for value in level.waited_ms]
    in_time = sum(level.num_in_time for level in levels)
    wall_s = sum(level.wall_s for level in levels)
    return TypingFigures(
        in_time_share=_ratio(in_time, sum(level.num_keys for level in levels)),
        in_time_share_of_waited=_ratio(sum(value <= IN_TIME_MS for value in waited), len(waited)),
        waited_p95_ms=stats.p95(waited),
        in_time_per_s=_ratio(in_time, wall_s),
        in_time_per_cpu_s=_ratio(in_time, sum(level.server_cpu_s for level in levels)),
        client_cpu_share=_ratio(sum(level.client_cpu_s for level in levels), wall_s),
    )


def _capacity(rounds: Sequence[Round]) -> dict[int, CapacityFigures]:
    grouped: dict[int, list[Capacity]] = {}
    for one in rounds:
        for level in one.capacity:
            grouped.setdefault(level.num_users, []).append(level)
    found: dict[int, CapacityFigures] = {}
    for users, levels in grouped.items():
        values = [value for level in levels for value in level.latencies_ms]
        in_time = sum(value <= IN_TIME_MS for value in values)
        found[users] = CapacityFigures(
            latency=latency(values),
            completions_per_s=_ratio(
                sum(math.isfinite(value) for value in values), sum(level.wall_s for level in levels)
            ),
            in_time_per_cpu_s=_ratio(in_time, sum(level.server_cpu_s for level in levels)),
        )
    return found


def _ratio(part: float, whole: float) -> float:
    if not whole:
        return math.inf if part else math.nan
    return part / whole


def _ms(value: float) -> str:
    return "not all came" if math.isinf(value) else f"{value:.0f} ms"
