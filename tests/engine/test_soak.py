"""An engine in its own thread under many clients at once: nothing leaks, nobody waits for ever."""

from __future__ import annotations

import asyncio
import random

import pytest

from paceline.core.errors import OverloadedError
from paceline.engine.config import EngineConfig, SchedulerConfig
from paceline.engine.engine import TokenEngine
from paceline.engine.native.runner import NativeRunner
from paceline.engine.observe.observer import EngineObserver, metrics_text
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.sequence import Lane, SessionKey, SubmitOptions
from tests.engine.test_native_loads import MODEL, alone
from tests.engine.tiny import prompt

CONFIG = EngineConfig(
    num_threads=1, scheduler=SchedulerConfig(max_sequences=6, max_queued=40, max_step_tokens=64)
)


async def one_client(engine: TokenEngine, rng: random.Random) -> FinishReason | None:
    """Ask, read some of the answer or none of it, and stay, leave, or cancel."""
    document, length = rng.randint(0, 2), rng.randint(1, 80)
    max_tokens = rng.randint(1, 12)
    options = SubmitOptions(
        lane=rng.choice([Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BATCH]),
        user=rng.choice("abc"),
        session=rng.choice([None, SessionKey("s", str(document))]),
        deadline_s=engine.now_s() + rng.choice([1e-4, 60.0, 60.0]),
    )
    try:
        stream = engine.submit(
            prompt(length, seed=document), SamplingParams(max_tokens=max_tokens), options
        )
    except OverloadedError:
        return None
    behaviour = rng.choice(["read", "read", "cancel", "ignore"])
    if behaviour == "ignore":  # never reads, never cancels
        return None
    if behaviour == "cancel" and rng.random() < 0.7:
        stream.cancel()  # before its first step, unless the engine was quicker
    tokens: list[tuple[int, float]] = []
    try:
        async for token in stream:
            tokens.append((token.token_id, token.logprob))
            if behaviour == "cancel" and rng.random() < 0.4:
                stream.cancel()
    except OverloadedError:  # taken out of the queue for a user who had less of it
        return None
    assert tuple(tokens) == alone(document, length, max_tokens)[: len(tokens)]
    return stream.finish_reason


@pytest.mark.slow
def test_a_soak_with_random_cancels_leaks_nothing() -> None:
    rng = random.Random(0)
    observer = EngineObserver("soak")
    failures: list[BaseException] = []

    def check(sequence_ids: tuple[int, ...]) -> None:
        try:
            engine.check()
        except AssertionError as error:
            failures.append(error)
            raise

    async def main() -> list[FinishReason | None]:
        reasons: list[FinishReason | None] = []
        for _ in range(60):
            wave = [one_client(engine, rng) for _ in range(25)]
            reasons += await asyncio.gather(*wave)
        while engine.num_waiting_or_running:  # noqa: ASYNC110 - what nobody reads ends silently
            await asyncio.sleep(0.01)
        return reasons

    runner = NativeRunner(MODEL, num_blocks=24)
    engine = TokenEngine(runner, CONFIG, on_step=check, observer=observer)
    try:
        reasons = asyncio.run(main())
        engine.check()
        assert not failures
        assert engine.num_busy_blocks == 0
        for reason in (FinishReason.LENGTH, FinishReason.CANCELLED, FinishReason.SUPERSEDED):
            assert reasons.count(reason) >= 20, reason
        text = metrics_text([observer])
        assert "vllm:num_requests_running" in text
    finally:
        engine.close()
