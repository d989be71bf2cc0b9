"""The event log against a slow twin, a dict, over batches, restarts and torn ends; and kill -9."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.artifacts.events import Event, EventOrigin
from paceline.telemetry.event_log import EventLog
from paceline.telemetry.segments import list_segments, read_events

NAMES = st.sampled_from("abcdefgh")
USERS = st.sampled_from(["", "ann", "bob"])
ORIGINS: st.SearchStrategy[EventOrigin] = st.sampled_from(["client", "inferred"])


class Batch(NamedTuple):
    """Sent by one client."""

    user_id: str
    origin: EventOrigin
    names: list[str]


class Restart(NamedTuple):
    """The server dies with this behind the last line, and starts again."""

    torn: bytes


BATCHES = st.builds(Batch, USERS, ORIGINS, st.lists(NAMES, max_size=4))
STEPS = st.lists(
    st.one_of(
        st.lists(BATCHES, min_size=1, max_size=3),  # at the same time
        st.builds(Restart, st.binary(max_size=9).filter(lambda tail: b"\n" not in tail)),
    ),
    max_size=8,
)
Twin = dict[tuple[str, EventOrigin, str], Event]


def events_of(batch: Batch, number: int) -> list[Event]:
    """Events that tell in which step they were sent."""
    return [
        Event(event_id=name, request_id="cmpl-1", kind="shown", num_chars=number)
        for name in batch.names
    ]


def keep(twin: Twin, batch: Batch, events: list[Event]) -> list[Event]:
    """The same as EventLog.append, in memory."""
    new: list[Event] = []
    for event in events:
        key = (batch.user_id, batch.origin, event.event_id)
        if key not in twin:
            twin[key] = event
            new.append(event)
    return new


async def send(log: EventLog, step: list[Batch], number: int) -> list[list[Event]]:
    """Append every batch of a step at once."""
    replies = await asyncio.gather(
        *(
            log.append(events_of(batch, number), user_id=batch.user_id, origin=batch.origin)
            for batch in step
        )
    )
    return [list(reply) for reply in replies]


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, max_segment_bytes=st.sampled_from([150, 400, 10_000]))
def test_the_log_keeps_what_a_dict_would(
    steps: list[list[Batch] | Restart], max_segment_bytes: int
) -> None:
    twin: Twin = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = EventLog(folder, max_segment_bytes=max_segment_bytes)
        try:
            for number, step in enumerate(steps):
                if isinstance(step, Restart):
                    log.close()
                    with list_segments(folder)[-1].open("ab") as file:
                        file.write(step.torn)
                    log = EventLog(folder, max_segment_bytes=max_segment_bytes)
                else:
                    replies = asyncio.run(send(log, step, number))
                    assert replies == [
                        keep(twin, batch, events_of(batch, number)) for batch in step
                    ]
        finally:
            log.close()
        found = {
            (stored.user_id, stored.origin, stored.event.event_id): stored.event
            for stored in read_events(folder)
        }
        assert list(found.items()) == list(twin.items())
        assert len(list(read_events(folder))) == len(twin)


APPEND_FOR_EVER = """
import asyncio, os, sys
from pathlib import Path
from paceline.artifacts.events import Event
from paceline.telemetry.event_log import EventLog

log = EventLog(Path(sys.argv[1]), max_segment_bytes=2_000)

async def client(name):
    number = 0
    while True:
        ids = [f"{name}-{number}-{part}" for part in range(3)]
        events = [Event(event_id=each, request_id="cmpl-1", kind="shown") for each in ids]
        assert len(await log.append(events)) == 3
        os.write(1, "".join(f"{each}\\n" for each in ids).encode())
        number += 1

async def main():
    await asyncio.gather(*(client(sys.argv[2] + name) for name in "abcd"))

asyncio.run(main())
"""
NUM_LIVES = 3
ENOUGH_LINES = 150


def acknowledged_in_one_life(folder: Path, name: str) -> set[str]:
    """Let a process append until it has acknowledged some events, and kill it; return those that it had."""
    command = [sys.executable, "-c", APPEND_FOR_EVER, str(folder), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(ENOUGH_LINES)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return {line.decode().strip() for line in lines if line.endswith(b"\n")}


def test_kill_9_in_the_middle_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for life in range(NUM_LIVES):
        acknowledged |= acknowledged_in_one_life(tmp_path, str(life))
    assert len(acknowledged) >= NUM_LIVES * ENOUGH_LINES

    with EventLog(tmp_path, max_segment_bytes=2_000) as log:
        again = [Event(event_id=name, request_id="cmpl-1", kind="shown") for name in acknowledged]
        assert asyncio.run(log.append(again)) == ()
    kept = [stored.event.event_id for stored in read_events(tmp_path)]
    assert acknowledged <= set(kept)
    assert len(kept) == len(set(kept))
    assert len(list_segments(tmp_path)) > 1
