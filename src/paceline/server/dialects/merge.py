"""Several streams read at once, as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from paceline.complete.generation import open_stream
from paceline.generate.types import TextChunk

Item = tuple[int, TextChunk | Exception | None]
"""What a stream brought, by its index: a chunk, a failure, or its end."""


async def merge_streams(
    streams: Sequence[AsyncIterator[TextChunk]],
) -> AsyncGenerator[tuple[int, TextChunk]]:
    """Yield (index, chunk) as chunks come; the order within each stream is kept.

    All streams start before the first is awaited, so that a generator can compute them together. Reading
    stops while nobody takes what was read. The first failure of any stream is raised and ends the others;
    so does closing.
    """
    if len(streams) == 1:
        async with open_stream(streams[0]) as only:
            async for chunk in only:
                yield 0, chunk
        return
    queue: asyncio.Queue[Item] = asyncio.Queue(maxsize=len(streams))
    readers = [
        asyncio.create_task(_read(index, stream, queue)) for index, stream in enumerate(streams)
    ]
    num_open = len(streams)
    try:
        while num_open:
            index, item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                num_open -= 1
            else:
                yield index, item
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(index: int, stream: AsyncIterator[TextChunk], queue: asyncio.Queue[Item]) -> None:
    end: Exception | None = None
    try:
        async with open_stream(stream):
            async for chunk in stream:
                await queue.put((index, chunk))
    except Exception as error:
        end = error
    await queue.put((index, end))
