"""Which setting of a peer is its best. Kept in the work folder, by model, version and machine.

A setting's score is the geometric mean of four latencies: the undisturbed median, the median survivor of
overlapping keystrokes with 1 and with 4 users (older requests cancelled), and a cold prompt of 900 tokens.
The best few are measured anew, now also with 16 users, and the least mean of these five latencies wins (a
survivor that is not there in time counts as the time-out). These are the cases of the goals, so each peer
gets the setting that serves them best.
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import msgspec

from benchmarks.keystrokes import stats
from benchmarks.keystrokes.engines import Engine, Setting
from benchmarks.keystrokes.measure import (
    BURST_KEYS,
    PREFILL_TOKENS,
    TIMEOUT_S,
    Round,
    Target,
    overlap,
    prefill,
    settle,
    undisturbed,
)
from benchmarks.keystrokes.models import BenchModel
from benchmarks.keystrokes.processes import Server, ServerError, free_port
from benchmarks.keystrokes.workload import fresh_prompts, states
from paceline.tokenizer.bpe import Tokenizer

SEED = 7
UNDISTURBED_KEYS = 12
NUM_FINALISTS = 4


class Tried(msgspec.Struct, kw_only=True):
    """One line of a sweep."""

    setting: str
    score_ms: float | None = None
    undisturbed_ms: float | None = None
    survivor_1_user_ms: float | None = None
    survivor_4_users_ms: float | None = None
    survivor_16_users_ms: float | None = None
    """Of finalists only; part of their score."""
    prefill_tokens_per_s: float | None = None
    failure: str = ""


class Swept(msgspec.Struct, kw_only=True):
    """A sweep's result."""

    version: str
    threads: int
    tried: list[Tried]


def sweep(
    engine: Engine,
    model: BenchModel,
    *,
    cores: list[int],
    nice: int = 0,
    is_repeated: bool = False,
) -> tuple[Setting, Swept]:
    """The best setting and all lines; a line is measured only if it is not on file.

    Raises:
        ServerError: no setting ran.
    """
    path = engine.work / "sweeps" / f"{model.name}-{engine.name}.json"
    known = {} if is_repeated else _read(path, engine)
    tokenizer = model.tokenizer()

    def tried(setting: Setting, *, is_final: bool) -> Tried:
        line = known.get(setting.name)
        if line is None or (is_final and line.survivor_16_users_ms is None):
            line = _try(
                engine, model, setting, tokenizer, cores=cores, nice=nice, is_final=is_final
            )
            known[setting.name] = line
            _write(path, engine, list(known.values()))
        return line

    lines = [tried(setting, is_final=False) for setting in engine.settings]
    ran = sorted(
        (line for line in lines if line.score_ms is not None), key=lambda line: line.score_ms or 0
    )
    by_name = {setting.name: setting for setting in engine.settings}
    for line in ran[:NUM_FINALISTS]:
        tried(by_name[line.setting], is_final=True)
    final = [known[setting.name] for setting in engine.settings]
    best = best_of(final)
    if best is None:
        raise ServerError(f"no setting ran; the last said: {lines[-1].failure}")
    swept = Swept(version=engine.version(), threads=engine.threads, tried=final)
    return by_name[best], swept


def best_of(tried: list[Tried]) -> str | None:
    """The name of the finalist with the least score; None if none ran."""
    ran = [one for one in tried if one.survivor_16_users_ms is not None]
    return min(ran, key=lambda one: one.score_ms or math.inf).setting if ran else None


def _write(path: Path, engine: Engine, tried: list[Tried]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    swept = Swept(version=engine.version(), threads=engine.threads, tried=tried)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(swept)))


def _read(path: Path, engine: Engine) -> dict[str, Tried]:
    """What is on file for the same version and threads, by name of the setting."""
    if not path.exists():
        return {}
    found = msgspec.json.decode(path.read_bytes(), type=Swept)
    is_same = (found.version, found.threads) == (engine.version(), engine.threads)
    return {one.setting: one for one in found.tried} if is_same else {}


def _try(
    engine: Engine,
    model: BenchModel,
    setting: Setting,
    tokenizer: Tokenizer,
    *,
    cores: list[int],
    nice: int,
    is_final: bool,
) -> Tried:
    try:
        server = start(engine, model, setting, cores=cores, nice=nice)
    except ServerError as error:
        print(f"  {engine.name}: {setting.name}: {error}", flush=True)
        return Tried(setting=setting.name, failure=str(error))
    try:
        line = asyncio.run(_measure(Target(engine, model, setting, server), tokenizer, is_final))
    finally:
        server.stop()
    print(f"  {engine.name}: {describe(line)}", flush=True)
    return line


def start(
    engine: Engine,
    model: BenchModel,
    setting: Setting,
    *,
    cores: list[int],
    nice: int = 0,
) -> Server:
    """A running server.

    Raises:
        ServerError: it did not come up.
    """
    port = free_port()
    launch = engine.launch(model, setting, port)
    log = engine.work / "logs" / f"{model.name}-{engine.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    server = Server(launch.command, launch.environment, port=port, cores=cores, log=log, nice=nice)
    try:
        server.wait_until_up(launch.health_path, launch.timeout_s)
    except BaseException:
        server.stop()
        raise
    return server


async def _measure(target: Target, tokenizer: Tokenizer, is_final: bool) -> Tried:
    result = Round()
    keys = states(1, UNDISTURBED_KEYS, tokenizer, seed=SEED)[0]
    await undisturbed(target, keys, result)
    survivors: dict[int, list[float]] = {}
    for num_users, num_bursts in ((1, 3), (4, 2), *([(16, 1)] if is_final else [])):
        survivors[num_users] = []
        users = states(num_users, num_bursts * BURST_KEYS, tokenizer, seed=SEED + num_users)
        for at in range(0, num_bursts * BURST_KEYS, BURST_KEYS):
            part = [one[at : at + BURST_KEYS + 1] for one in users]
            survivors[num_users] += await overlap(target, part, is_cancelled=True)
            await settle(target, keys[0])
    fresh = fresh_prompts(3, PREFILL_TOKENS, tokenizer, seed=SEED)
    rates = await prefill(target, fresh)
    if target.errors:
        return Tried(setting=target.setting.name, failure=target.errors[0])
    undisturbed_ms, rate = stats.p50(result.undisturbed_ms), stats.p50(rates[1:])
    if not math.isfinite(undisturbed_ms) or not rate:
        return Tried(setting=target.setting.name, failure="answers did not come in time")
    middle = {users: min(stats.p50(found), TIMEOUT_S * 1000) for users, found in survivors.items()}
    return Tried(
        setting=target.setting.name,
        score_ms=stats.geometric_mean(
            [undisturbed_ms, *middle.values(), PREFILL_TOKENS / rate * 1000]
        ),
        undisturbed_ms=undisturbed_ms,
        survivor_1_user_ms=middle[1],
        survivor_4_users_ms=middle[4],
        survivor_16_users_ms=middle.get(16),
        prefill_tokens_per_s=rate,
    )


def describe(line: Tried) -> str:
    """One line of text."""
    if line.score_ms is None:
        return f"{line.setting}: {line.failure}"
    survivors = f"{line.survivor_1_user_ms:.0f} / {line.survivor_4_users_ms:.0f}"
    if line.survivor_16_users_ms is not None:
        survivors += f" / {line.survivor_16_users_ms:.0f}"
    users = "1 / 4" if line.survivor_16_users_ms is None else "finalist; 1 / 4 / 16"
    return (
        f"{line.setting}: score {line.score_ms:.0f} ms; undisturbed {line.undisturbed_ms:.0f} ms, "
        f"survivor {survivors} ms ({users} users), prefill {line.prefill_tokens_per_s:.0f} tokens/s"
    )
