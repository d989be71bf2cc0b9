"""The engine's thread: streams, cancellation, limits and failures, counted in steps and not in seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from paceline.core.errors import (
    EmptyPromptError,
    InputError,
    OverloadedError,
    PromptTooLongError,
)
from paceline.engine.engine import TokenEngine
from paceline.engine.errors import AdapterError, EngineClosedError, StepError
from paceline.engine.lora import LoraAdapter
from paceline.engine.params import FinishReason, SamplingParams
from paceline.engine.scheduler import Scheduler
from paceline.engine.sequence import SessionKey, SubmitOptions
from paceline.engine.stream import Token, TokenStream
from tests.engine.adapters import adapter_of
from tests.engine.executors import ScriptedExecutor, config_with, held_engine
from tests.engine.tiny import TINY, assert_greedy, naive_greedy, naive_logprobs, prompt, tiny_model

MODEL = tiny_model()


async def collect(stream: TokenStream) -> list[Token]:
    return [token async for token in stream]


def pairs(tokens: list[Token]) -> list[tuple[int, float]]:
    return [(token.token_id, token.logprob) for token in tokens]


def test_eight_sequences_of_twenty_tokens_take_twenty_steps() -> None:
    log: list[tuple[int, ...]] = []

    async def main() -> None:
        with held_engine(on_step=log.append) as (engine, start):
            prompts = [prompt(4 + 3 * i, seed=i) for i in range(8)]
            streams = [engine.submit(ids, SamplingParams(max_tokens=20)) for ids in prompts]
            start.set()
            for ids, stream in zip(prompts, streams, strict=True):
                tokens = await collect(stream)
                assert [t.token_id for t in tokens] == naive_greedy(MODEL, ids, 20)
                assert_greedy(MODEL, ids, pairs(tokens))
                assert stream.finish_reason is FinishReason.LENGTH
            assert engine.num_steps == 20 <= 40

    asyncio.run(main())
    assert log == [(1, 2, 3, 4, 5, 6, 7, 8)] * 20


def test_a_cancelled_sequence_is_in_no_later_step() -> None:
    """Cancelled on the engine's thread, right after step 5: then the count is exact."""
    log: list[tuple[int, ...]] = []
    streams: list[TokenStream] = []

    def cancel_after_step_5(sequence_ids: tuple[int, ...]) -> None:
        log.append(sequence_ids)
        if len(log) == 5:
            streams[1].cancel()

    async def main() -> list[list[Token]]:
        with held_engine(on_step=cancel_after_step_5) as (engine, start):
            streams.extend(engine.submit(prompt(6, seed=i), SamplingParams()) for i in range(3))
            start.set()
            return [await collect(stream) for stream in streams]

    tokens = asyncio.run(main())
    assert log[:5] == [(1, 2, 3)] * 5
    assert log[5:] == [(1, 3)] * 59
    assert [len(t) for t in tokens] == [64, 5, 64]
    assert streams[1].finish_reason is FinishReason.CANCELLED


def test_a_reader_that_cancels_is_in_no_step_after_the_next() -> None:
    log: list[tuple[int, ...]] = []

    async def main() -> None:
        with held_engine(on_step=log.append) as (engine, start):
            kept = engine.submit(prompt(5), SamplingParams(max_tokens=80))
            left = engine.submit(prompt(7), SamplingParams(max_tokens=80))
            start.set()
            async for _ in left:
                await left.aclose()
                num_steps_done = len(log)
                break
            await collect(kept)
            assert all(left.sequence_id not in ids for ids in log[num_steps_done + 1 :])

    asyncio.run(main())


def test_waiting_sequences_join_running_ones_and_prefill_mixes_with_decode() -> None:
    log: list[tuple[int, ...]] = []
    config = config_with(max_sequences=2, max_step_tokens=9, prefill_chunk_tokens=8)

    async def main() -> None:
        executor = ScriptedExecutor(MODEL)
        with held_engine(executor, config, on_step=log.append) as (engine, start):
            prompts = [prompt(6, seed=1), prompt(30, seed=2), prompt(5, seed=3)]
            counts = (10, 3, 4)
            streams = [
                engine.submit(ids, SamplingParams(max_tokens=count))
                for ids, count in zip(prompts, counts, strict=True)
            ]
            start.set()
            for ids, count, stream in zip(prompts, counts, streams, strict=True):
                tokens = await collect(stream)
                assert [t.token_id for t in tokens] == naive_greedy(MODEL, ids, count)

    asyncio.run(main())
    # 1 prefills 6 of 9 rows, 2 gets the other 3 and then 8 a step beside 1's decodes; 3 takes 2's slot.
    assert log == [(1, 2)] * 7 + [(1, 3)] * 3 + [(3,)]


def test_max_queued_bounds_the_queue() -> None:
    config = config_with(max_sequences=2, max_queued=3, retry_after_ms=70)

    async def main() -> None:
        with held_engine(ScriptedExecutor(MODEL), config) as (engine, start):
            params = SamplingParams(max_tokens=2)
            streams = [engine.submit(prompt(3), params) for _ in range(5)]
            with pytest.raises(OverloadedError) as caught:
                engine.submit(prompt(3), params)
            assert caught.value.retry_after_ms == 70
            start.set()
            assert [len(await collect(stream)) for stream in streams] == [2] * 5
            assert len(await collect(engine.submit(prompt(3), params))) == 2

    asyncio.run(main())


def test_a_cancelled_waiting_sequence_is_never_computed() -> None:
    log: list[tuple[int, ...]] = []
    config = config_with(max_sequences=1)

    async def main() -> None:
        executor = ScriptedExecutor(MODEL)
        with held_engine(executor, config, on_step=log.append) as (engine, start):
            streams = [engine.submit(prompt(3), SamplingParams(max_tokens=3)) for _ in range(3)]
            streams[1].cancel()
            start.set()
            assert [len(await collect(stream)) for stream in streams] == [3, 0, 3]

    asyncio.run(main())
    assert log == [(1,)] * 3 + [(3,)] * 3


def test_the_window_ends_a_sequence() -> None:
    async def main() -> None:
        with held_engine() as (engine, start):
            start.set()
            ids = prompt(TINY.context_tokens - 5)
            stream = engine.submit(ids, SamplingParams(max_tokens=50))
            assert len(await collect(stream)) == 5
            assert stream.finish_reason is FinishReason.LENGTH
            with pytest.raises(PromptTooLongError) as caught:
                engine.submit(prompt(TINY.context_tokens), SamplingParams(max_tokens=7))
            error = caught.value
            assert (error.prompt_tokens, error.max_tokens, error.context_tokens) == (96, 7, 96)

    asyncio.run(main())


def test_stop_ids_end_a_sequence_and_are_not_reported() -> None:
    async def main() -> None:
        with held_engine() as (engine, start):
            start.set()
            greedy = naive_greedy(MODEL, prompt(9), 20)
            stop = greedy[4]
            assert stop not in greedy[:4]
            stream = engine.submit(prompt(9), SamplingParams(stop_ids=frozenset({stop})))
            assert [t.token_id for t in await collect(stream)] == greedy[:4]
            assert stream.finish_reason is FinishReason.STOP
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    asyncio.run(main())


@pytest.mark.parametrize("ids", [[], [0, TINY.vocab_size], [-1]])
def test_unusable_prompts_are_refused(ids: list[int]) -> None:
    async def main() -> None:
        with held_engine() as (engine, start):
            start.set()
            with pytest.raises(InputError) as caught:
                engine.submit(ids, SamplingParams())
            assert isinstance(caught.value, EmptyPromptError) == (not ids)
            with pytest.raises(InputError):
                engine.score(ids, [1, 2])

    asyncio.run(main())


def test_a_failing_step_ends_its_sequences_and_nothing_else() -> None:
    config = config_with(max_sequences=2)

    async def main() -> None:
        executor = ScriptedExecutor(MODEL, failing=[3])
        with held_engine(executor, config) as (engine, start):
            streams = [engine.submit(prompt(5, seed=i), SamplingParams()) for i in range(2)]
            waiting = engine.submit(prompt(8), SamplingParams(max_tokens=10))
            start.set()
            for stream in streams:
                tokens: list[Token] = []
                with pytest.raises(StepError, match="injected failure"):
                    async for token in stream:
                        tokens.append(token)
                assert len(tokens) == 2
                assert stream.finish_reason is FinishReason.ERROR
            ids = [t.token_id for t in await collect(waiting)]
            assert ids == naive_greedy(MODEL, prompt(8), 10)
            after = engine.submit(prompt(5), SamplingParams(max_tokens=10))
            assert [t.token_id for t in await collect(after)] == naive_greedy(MODEL, prompt(5), 10)

    asyncio.run(main())


def test_weights_that_are_not_numbers_fail_the_request_with_a_reason() -> None:
    broken = tiny_model()
    with torch.no_grad():
        broken.get_parameter("model.norm.weight").fill_(float("nan"))

    async def main() -> None:
        with held_engine(ScriptedExecutor(broken)) as (engine, start):
            start.set()
            with pytest.raises(StepError, match="weights may be damaged"):
                await collect(engine.submit(prompt(5), SamplingParams()))
            assert engine.num_steps == 1

    asyncio.run(main())


def test_a_defect_of_the_engine_reaches_everyone_who_waits() -> None:
    def defect(sequence_ids: tuple[int, ...]) -> None:
        raise KeyError("defect")

    async def main() -> None:
        with held_engine(on_step=defect) as (engine, start):
            streams = [engine.submit(prompt(4), SamplingParams()) for _ in range(2)]
            start.set()
            for stream in streams:
                with pytest.raises(StepError, match="defect"):
                    await collect(stream)
            with pytest.raises(EngineClosedError):
                engine.submit(prompt(4), SamplingParams())

    asyncio.run(main())


def test_a_broken_scheduler_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot even take its sequences out."""

    def defect(*arguments: object, **others: object) -> None:
        raise KeyError("defect")

    async def main() -> None:
        with held_engine(on_step=defect) as (engine, start):
            streams = [engine.submit(prompt(4), SamplingParams(max_tokens=20)) for _ in range(2)]
            monkeypatch.setattr(Scheduler, "_release", defect)
            start.set()
            for stream in streams:
                with pytest.raises(StepError, match="defect"):
                    await asyncio.wait_for(collect(stream), 10)

    asyncio.run(main())


def test_a_keystroke_takes_the_place_of_its_session_s_older_one_in_a_full_queue() -> None:
    async def main() -> None:
        with held_engine(config=config_with(max_sequences=1, max_queued=1)) as (engine, start):
            options = SubmitOptions(session=SessionKey("editor", "file"))
            engine.submit(prompt(4), SamplingParams(max_tokens=1))
            older = engine.submit(prompt(5), SamplingParams(max_tokens=2), options)
            engine.refuse_if_full(options)
            newer = engine.submit(prompt(6), SamplingParams(max_tokens=2), options)
            with pytest.raises(OverloadedError):
                engine.refuse_if_full(SubmitOptions())
            start.set()
            assert not await collect(older)
            assert older.finish_reason is FinishReason.SUPERSEDED
            assert len(await collect(newer)) == 2

    asyncio.run(main())


def test_an_adapter_that_does_not_fit_leaves_the_one_of_its_name() -> None:
    def named(name: str) -> LoraAdapter:
        return replace(adapter_of(TINY, seed=1), name=name)

    with held_engine() as (engine, start):
        start.set()
        row = engine.load_adapter(named("style"))
        with pytest.raises(AdapterError):
            engine.load_adapter(LoraAdapter("style", ()))
        assert engine.load_adapter(named("other")) != row
        assert engine.load_adapter(named("style")) not in (row, 2)

        async def main() -> None:
            with pytest.raises(InputError, match="not loaded"):
                engine.submit(prompt(4), SamplingParams(), SubmitOptions(adapter=row))

        asyncio.run(main())


def test_close_ends_open_streams_as_cancelled() -> None:
    def close_after_step_2(sequence_ids: tuple[int, ...]) -> None:
        if engine.num_steps == 2:
            engine.close()  # on the engine's own thread, so it cannot wait for itself

    with held_engine(on_step=close_after_step_2) as (engine, start):

        async def main() -> None:
            streams = [engine.submit(prompt(4), SamplingParams()) for _ in range(10)]
            start.set()
            assert [len(await collect(stream)) for stream in streams] == [2] * 8 + [0] * 2
            assert {s.finish_reason for s in streams} == {FinishReason.CANCELLED}
            with pytest.raises(EngineClosedError):
                engine.submit(prompt(4), SamplingParams())
            with pytest.raises(EngineClosedError):
                engine.score(prompt(4), [1])
            engine.close()

        asyncio.run(main())


def test_scores_are_the_naive_log_probabilities_and_disturb_no_stream() -> None:
    async def main() -> None:
        config = config_with(max_sequences=8, max_step_tokens=10, prefill_chunk_tokens=10)
        with held_engine(ScriptedExecutor(MODEL), config) as (engine, start):
            start.set()
            stream = engine.submit(prompt(8, seed=4), SamplingParams(max_tokens=40))
            ids = prompt(70, seed=5)
            scores = [
                asyncio.to_thread(engine.score, ids[:length], ids[length:])
                for length in (1, 30, 69)
            ]
            for length, score in zip((1, 30, 69), await asyncio.gather(*scores), strict=True):
                assert score == pytest.approx(
                    naive_logprobs(MODEL, ids[:length], ids[length:]), abs=1e-4
                )
            assert_greedy(MODEL, prompt(8, seed=4), pairs(await collect(stream)))
            assert engine.score(ids, []) == []
            assert len(engine.score(prompt(90), prompt(6))) == 6
            with pytest.raises(PromptTooLongError):
                engine.score(prompt(90), prompt(7))

    asyncio.run(main())


def test_a_failing_step_reaches_a_blocked_score() -> None:
    with held_engine(ScriptedExecutor(MODEL, failing=[1])) as (engine, start):
        start.set()
        with pytest.raises(StepError, match="injected failure"):
            engine.score([1, 2], [3])
        assert len(engine.score([1, 2], [3])) == 1


def test_several_event_loops_share_one_engine() -> None:
    results: dict[int, list[int]] = {}

    def client(engine: TokenEngine, number: int) -> None:
        async def main() -> None:
            async def one(seed: int) -> None:
                stream = engine.submit(prompt(6, seed=seed), SamplingParams(max_tokens=6))
                results[seed] = [t.token_id for t in await collect(stream)]

            await asyncio.gather(*(one(10 * number + i) for i in range(4)))

        asyncio.run(main())

    with held_engine() as (engine, start):
        clients = [threading.Thread(target=client, args=(engine, n)) for n in range(3)]
        for thread in clients:
            thread.start()
        start.set()
        for thread in clients:
            thread.join()
    assert len(results) == 12
    for seed, ids in results.items():
        assert ids == naive_greedy(MODEL, prompt(6, seed=seed), 6)


def test_a_stream_whose_loop_is_gone_is_cancelled() -> None:
    async def leave(engine: TokenEngine) -> None:
        engine.submit(prompt(4), SamplingParams(max_tokens=80))

    with held_engine() as (engine, start):
        asyncio.run(leave(engine))
        start.set()
        assert len(engine.score([1, 2], [3])) == 1
        engine.close()
        assert engine.num_steps < 80


def test_who_was_promised_a_copied_block_by_a_failed_step_starts_over() -> None:
    """The copy fails; the sequence that had no row in that step yet must not read the block."""

    class FailingCopies(ScriptedExecutor):
        def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
            if self.is_failing:
                self.is_failing = False
                raise RuntimeError("injected failure")
            super().copy_blocks(pairs)

        is_failing = False

    async def main() -> None:
        executor = FailingCopies(MODEL)
        config = config_with(max_sequences=8, max_step_tokens=8, prefill_chunk_tokens=8)
        with held_engine(executor, config) as (engine, start):
            start.set()
            await collect(engine.submit(prompt(40), SamplingParams(max_tokens=2)))
            executor.is_failing = True
            asks = [[*prompt(37), i] for i in (1, 2)]
            streams = [engine.submit(ids, SamplingParams(max_tokens=4)) for ids in asks]
            answers: list[list[int] | None] = []
            for stream in streams:
                try:
                    answers.append([token.token_id for token in await collect(stream)])
                except StepError:
                    answers.append(None)
            assert None in answers
            for ids, answer in zip(asks, answers, strict=True):
                assert answer in (None, naive_greedy(MODEL, ids, 4))

    asyncio.run(main())
