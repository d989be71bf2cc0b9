"""The benchmark of many typists, small: nothing hangs, breaks or is refused, in any dialect."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.typists.crowd import Crowd, run_crowd
from benchmarks.typists.main import REAL, SCRIPTED, is_well, print_table, serving

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("module", "num_typists", "num_idle"),
    [(SCRIPTED, 24, 100), (REAL, 6, 0)],
    ids=["scripted", "shipped"],
)
def test_a_crowd_is_answered(
    module: tuple[str, ...], num_typists: int, num_idle: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def type_together(port: int) -> Crowd:
        return await run_crowd(
            port, num_typists=num_typists, seconds=4, keys_per_s=2, num_idle=num_idle
        )

    with serving(*module) as (process, port):
        crowd = asyncio.run(type_together(port))
        assert process.poll() is None
    print_table(crowd)
    assert is_well(crowd), capsys.readouterr().out
    for dialect, tally in crowd.tallies.items():
        assert tally.statuses[200] >= 2, dialect
        assert not tally.statuses[429], dialect
