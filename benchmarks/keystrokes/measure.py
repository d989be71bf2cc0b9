"""The scenarios. Each asks one running engine for completions and keeps what happened, unsummarised.

    undisturbed   the next keystroke after the previous answer is complete
    overlap       10 keystrokes 60 ms apart; the user waits for the answer to the last ("survivor")
    batch bound   N users press one key at the same moment and nobody presses another
    typing        simulated people; an answer counts if it is there within 300 ms and before the next key
    capacity      N users who press the next key as soon as they have their answer
    prefill       prompts that share nothing with what was asked before
    decode        N long answers at once

Latencies are in milliseconds, from before the connection is opened until the last byte. An answer that
did not come is `inf`.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.keystrokes.engines import Engine, Setting
from benchmarks.keystrokes.http_client import Answer, Pending
from benchmarks.keystrokes.models import BenchModel
from benchmarks.keystrokes.processes import Server
from benchmarks.keystrokes.workload import (
    Keypress,
    States,
    fresh_prompts,
    long_states,
    states,
    typing,
)
from paceline.tokenizer.bpe import Tokenizer

IN_TIME_MS = 300.0
ANSWER_TOKENS = 24
KEY_GAP_S = 0.060
BURST_KEYS = 10
PREFILL_TOKENS = 900
DECODE_TOKENS = 48
TIMEOUT_S = 10.0
CAPACITY_KEYS = 480
"""States prepared for one level of `capacity`, all users together: more than an engine gets through."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each scenario one round holds."""

    undisturbed_keys: int = 20
    user_levels: tuple[int, ...] = (1, 4, 16)
    bursts: tuple[int, ...] = (6, 2, 1)
    """For each of `user_levels`, with cancelling."""
    bursts_without_cancel: tuple[int, ...] = (2, 1, 1)
    bound_repeats: tuple[int, ...] = (6, 4, 2)
    typing_s: float = 5.0
    capacity_levels: tuple[int, ...] = (1, 4, 8, 16)
    capacity_s: float = 1.5
    prefill_prompts: int = 3
    decode_batches: tuple[int, ...] = (1, 4, 8, 16)


class Typing(msgspec.Struct, kw_only=True):
    """What became of the keystrokes of some users."""

    num_users: int
    wall_s: float
    num_keys: int
    num_in_time: int
    num_waited_for: int
    """Keystrokes after which the user stopped for at least 300 ms."""
    waited_ms: list[float]
    """One for each of these."""
    server_cpu_s: float
    client_cpu_s: float
    late_sends_ms: float
    """How late the client itself was at worst."""


class Capacity(msgspec.Struct, kw_only=True):
    """Users without pauses."""

    num_users: int
    wall_s: float
    latencies_ms: list[float]
    server_cpu_s: float


class Round(msgspec.Struct, kw_only=True):
    """Everything that one round of one engine gave."""

    undisturbed_ms: list[float] = []
    undisturbed_cpu_s: float = 0.0
    overlap_ms: dict[int, list[float]] = {}
    overlap_without_cancel_ms: dict[int, list[float]] = {}
    bound_ms: dict[int, list[float]] = {}
    typing: list[Typing] = []
    capacity: list[Capacity] = []
    prefill_tokens_per_s: list[float] = []
    decode_tokens_per_s: dict[int, list[float]] = {}
    abandoned_tokens: int = 0
    """Tokens that reached the client on requests that it had abandoned: a lower bound of what was wasted."""
    missing_tokens: list[int] = []
    """Of each answer that is shorter than asked for, by how much: see http_client.Pending."""
    answers: list[tuple[list[int], str]] = []
    """Ids (where the engine sends them) and text of the undisturbed keystrokes, for the comparison."""
    errors: list[str] = []


class Target:
    """One running engine."""

    def __init__(self, engine: Engine, model: BenchModel, setting: Setting, server: Server) -> None:
        self.engine, self.model, self.setting, self.server = engine, model, setting, server
        self.errors: list[str] = []
        self.abandoned_tokens = 0
        self.missing_tokens: list[int] = []

    def start(
        self, prompt: Sequence[int], user: int, *, max_tokens: int = ANSWER_TOKENS
    ) -> Pending:
        """Send a request."""
        path, body = self.engine.request(self.model, self.setting, prompt, max_tokens, user)
        return Pending(self.server.port, path, body, timeout_s=TIMEOUT_S, wanted_tokens=max_tokens)

    async def ask(
        self, prompt: Sequence[int], user: int = 0, *, max_tokens: int = ANSWER_TOKENS
    ) -> Answer:
        """Send a request and wait."""
        return self.note(await self.start(prompt, user, max_tokens=max_tokens).wait())

    def note(self, answer: Answer) -> Answer:
        """Keep errors and the tokens of abandoned answers."""
        if answer.outcome == "error" and len(self.errors) < 20:
            self.errors.append(answer.error)
        if answer.outcome == "cancelled":
            self.abandoned_tokens += answer.num_tokens
        if answer.num_missing:
            self.missing_tokens.append(answer.num_missing)
        return answer

    def hand_over(self, result: Round) -> None:
        """Move what was noted into a round."""
        result.errors, self.errors = self.errors, []
        result.abandoned_tokens, self.abandoned_tokens = self.abandoned_tokens, 0
        result.missing_tokens, self.missing_tokens = self.missing_tokens, []


def latency_of(answer: Answer) -> float:
    """Milliseconds, or inf if it is not complete."""
    return answer.latency_ms if answer.outcome == "done" else math.inf


async def undisturbed(target: Target, prompts: Sequence[list[int]], result: Round) -> None:
    """One after the other; the first is not counted."""
    await target.ask(prompts[0])
    cpu_s = target.server.cpu_s()
    for prompt in prompts[1:]:
        answer = await target.ask(prompt)
        result.undisturbed_ms.append(latency_of(answer))
        result.answers.append((answer.token_ids, answer.text))
    result.undisturbed_cpu_s += target.server.cpu_s() - cpu_s


async def overlap(
    target: Target, users: Sequence[Sequence[list[int]]], *, is_cancelled: bool
) -> list[float]:
    """Latencies of the survivors of one burst of each user; `users` holds BURST_KEYS + 1 states each."""
    await together(target, [one[0] for one in users])
    return await asyncio.gather(
        *(
            _burst(target, user, one[1:], is_cancelled=is_cancelled)
            for user, one in enumerate(users)
        )
    )


async def _burst(
    target: Target, user: int, prompts: Sequence[list[int]], *, is_cancelled: bool
) -> float:
    """Users start within one gap of each other, evenly spread."""
    start_s = time.perf_counter() + KEY_GAP_S * (user * 0.618 % 1)
    older: list[Pending] = []
    for index, prompt in enumerate(prompts):
        await sleep_until(start_s + index * KEY_GAP_S)
        if older and is_cancelled:
            older[-1].cancel()
        older.append(target.start(prompt, user))
    survivor = target.note(await older.pop().wait())
    if survivor.outcome == "superseded":
        target.errors.append("the newest request of a user was superseded")
    for pending in older:
        target.note(await pending.wait())
    return latency_of(survivor)


async def together(
    target: Target, prompts: Sequence[list[int]], *, max_tokens: int = ANSWER_TOKENS
) -> list[Answer]:
    """One request of each user at the same moment."""
    pending = [
        target.start(prompt, user, max_tokens=max_tokens) for user, prompt in enumerate(prompts)
    ]
    return [target.note(await one.wait()) for one in pending]


async def type_along(target: Target, users: Sequence[Sequence[Keypress]]) -> Typing:
    """Replay; each keystroke closes the connection of the unfinished request before it."""
    await together(target, [presses[0].prompt for presses in users])
    cpu_s, client_s, start_s = target.server.cpu_s(), time.process_time(), time.perf_counter()
    runs = await asyncio.gather(
        *(_type(target, user, presses[1:], start_s) for user, presses in enumerate(users))
    )
    wall_s = time.perf_counter() - start_s
    keys = [key for keys, _ in runs for key in keys]
    waited = [latency for latency, gap_ms in keys if gap_ms >= IN_TIME_MS]
    return Typing(
        num_users=len(users),
        wall_s=wall_s,
        num_keys=len(keys),
        num_in_time=sum(latency <= IN_TIME_MS for latency, _ in keys),
        num_waited_for=len(waited),
        waited_ms=waited,
        server_cpu_s=target.server.cpu_s() - cpu_s,
        client_cpu_s=time.process_time() - client_s,
        late_sends_ms=max((late for _, late in runs), default=0.0),
    )


async def _type(
    target: Target, user: int, presses: Sequence[Keypress], start_s: float
) -> tuple[list[tuple[float, float]], float]:
    """(latency, gap to the next key) of each keystroke, and how late the client was at worst."""
    sent: list[Pending] = []
    late_ms = 0.0
    for press in presses:
        late_ms = max(late_ms, await sleep_until(start_s + press.at_ms / 1000))
        if sent:
            sent[-1].cancel()
        sent.append(target.start(press.prompt, user))
    if sent:
        await asyncio.sleep(IN_TIME_MS / 1000)
        sent[-1].cancel()
    times = [press.at_ms for press in presses]
    gaps = [after - at for at, after in itertools.pairwise(times)] + [IN_TIME_MS]
    answers = [target.note(await pending.wait()) for pending in sent]
    return [(latency_of(answer), gap) for answer, gap in zip(answers, gaps, strict=False)], late_ms


async def capacity(
    target: Target, users: Sequence[Sequence[list[int]]], duration_s: float
) -> Capacity:
    """Each user sends the next state as soon as the answer is there, until the time or the states end."""
    await together(target, [one[0] for one in users])
    cpu_s, start_s = target.server.cpu_s(), time.perf_counter()

    async def press(user: int, prompts: Sequence[list[int]]) -> list[float]:
        found: list[float] = []
        for prompt in prompts:
            if time.perf_counter() >= start_s + duration_s:
                break
            found.append(latency_of(await target.ask(prompt, user)))
        return found

    found = await asyncio.gather(*(press(user, one[1:]) for user, one in enumerate(users)))
    return Capacity(
        num_users=len(users),
        wall_s=time.perf_counter() - start_s,
        latencies_ms=[latency for one in found for latency in one],
        server_cpu_s=target.server.cpu_s() - cpu_s,
    )


async def prefill(target: Target, prompts: Sequence[list[int]]) -> list[float]:
    """Tokens per second of prompts that are new; an answer of one token is part of the time."""
    rates: list[float] = []
    for prompt in prompts:
        latency_ms = latency_of(await target.ask(prompt, max_tokens=1))
        rates.append(len(prompt) / latency_ms * 1000)
    return rates


async def decode(target: Target, prompts: Sequence[list[int]]) -> float:
    """Tokens per second of all answers, from the first token of the first to the last of the last."""
    await together(target, prompts, max_tokens=1)
    answers = await together(target, prompts, max_tokens=DECODE_TOKENS)
    if any(answer.outcome != "done" or answer.first_ms is None for answer in answers):
        return 0.0
    first_s = min(answer.sent_at_s + (answer.first_ms or 0) / 1000 for answer in answers)
    last_s = max(answer.sent_at_s + answer.latency_ms / 1000 for answer in answers)
    return len(answers) * (DECODE_TOKENS - 1) / (last_s - first_s)


class Work(msgspec.Struct, kw_only=True):
    """The prompts of one round: the same for every engine, and none in two scenarios."""

    plan: Plan
    warm: list[int]
    undisturbed: list[list[int]]
    overlap: dict[int, States]
    overlap_without_cancel: dict[int, States]
    bound: dict[int, States]
    typing: dict[int, list[list[Keypress]]]
    capacity: dict[int, States]
    fresh: list[list[int]]
    decode: dict[int, list[list[int]]]


def prepare(plan: Plan, tokenizer: Tokenizer, index: int) -> Work:
    """Draw the prompts of round `index`."""
    seeds = itertools.count(1000 * (index + 1))

    def by_level(counts: Sequence[int]) -> dict[int, States]:
        pairs = zip(plan.user_levels, counts, strict=True)
        return {users: states(users, count, tokenizer, seed=next(seeds)) for users, count in pairs}

    fresh = fresh_prompts(plan.prefill_prompts + 2, PREFILL_TOKENS, tokenizer, seed=next(seeds))
    keys = states(1, plan.undisturbed_keys, tokenizer, seed=next(seeds))[0]
    return Work(
        plan=plan,
        warm=fresh.pop(),
        undisturbed=keys,
        overlap=by_level([BURST_KEYS * count for count in plan.bursts]),
        overlap_without_cancel=by_level(
            [BURST_KEYS * count for count in plan.bursts_without_cancel]
        ),
        bound=by_level(plan.bound_repeats),
        typing={
            users: typing(users, plan.typing_s, tokenizer, seed=next(seeds))
            for users in plan.user_levels
        },
        capacity={
            users: long_states(users, CAPACITY_KEYS // users, tokenizer, seed=next(seeds))
            for users in plan.capacity_levels
        },
        fresh=fresh,
        decode={
            batch: [one[0] for one in states(batch, 0, tokenizer, seed=next(seeds))]
            for batch in plan.decode_batches
        },
    )


async def measure_round(target: Target, work: Work) -> Round:
    """All scenarios."""
    result, plan = Round(), work.plan
    await target.ask(work.warm)
    await undisturbed(target, work.undisturbed, result)
    for users in plan.user_levels:
        for is_cancelled, source, into in (
            (True, work.overlap, result.overlap_ms),
            (False, work.overlap_without_cancel, result.overlap_without_cancel_ms),
        ):
            into[users] = []
            for at in range(0, len(source[users][0]) - 1, BURST_KEYS):
                part = [one[at : at + BURST_KEYS + 1] for one in source[users]]
                into[users] += await overlap(target, part, is_cancelled=is_cancelled)
                await settle(target, work.warm)
        result.bound_ms[users] = await bound(target, work.bound[users])
        result.typing.append(await type_along(target, work.typing[users]))
    for users in plan.capacity_levels:
        await settle(target, work.warm)
        result.capacity.append(await capacity(target, work.capacity[users], plan.capacity_s))
    await settle(target, work.warm)
    result.prefill_tokens_per_s = (await prefill(target, work.fresh))[1:]
    for batch, prompts in work.decode.items():
        result.decode_tokens_per_s[batch] = [await decode(target, prompts)]
    target.hand_over(result)
    return result


async def bound(target: Target, users: States) -> list[float]:
    """Latencies when all users press one key at the same moment, state after state."""
    await together(target, [one[0] for one in users])
    found: list[float] = []
    for step in range(1, len(users[0])):
        answers = await together(target, [one[step] for one in users])
        found += [latency_of(answer) for answer in answers]
    return found


async def settle(target: Target, prompt: list[int]) -> None:
    """Wait until what was abandoned has left the engine: until an answer is back to its usual time."""
    times: list[float] = []
    for _ in range(6):
        times.append(latency_of(await target.ask(prompt, user=999)))
        if len(times) > 1 and times[-1] < 1.5 * min(times[:-1]):
            return


async def sleep_until(when_s: float) -> float:
    """Sleep until `perf_counter` says so; return by how many milliseconds it was late."""
    delay_s = when_s - time.perf_counter()
    if delay_s > 0:
        await asyncio.sleep(delay_s)
    return max((time.perf_counter() - when_s) * 1000, 0.0)


def pin_client(cores: Sequence[int]) -> None:
    """Keep this process off the server's cores."""
    if cores:
        os.sched_setaffinity(0, cores)


def to_plain(result: Round) -> dict[str, Any]:
    """For the record: without the answers, which are long."""
    plain = msgspec.to_builtins(result, str_keys=True)
    plain.pop("answers")
    return plain
