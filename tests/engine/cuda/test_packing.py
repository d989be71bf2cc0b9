"""The layout of a step's buffer: parts do not overlap, and say what a slow walk over the rows says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.cuda.packing import (
    ALIGNMENT,
    FEW_ROWS,
    choose_splits,
    fill,
    fill_single_rows,
    layout_of,
    logit_rows,
)
from paceline.engine.step import BLOCK_TOKENS, Rows


@st.composite
def steps(draw: st.DrawFn, max_rows: int = 70) -> list[Rows]:
    """1 to 5 sequences, each with blocks of its own and some to spare."""
    step: list[Rows] = []
    next_block = 0
    for _ in range(draw(st.integers(1, 5))):
        start, count = draw(st.integers(0, 60)), draw(st.integers(1, max_rows))
        num_blocks = -(-(start + count) // BLOCK_TOKENS) + draw(st.integers(0, 2))
        blocks = list(range(next_block, next_block + num_blocks))
        next_block += num_blocks
        ids = draw(st.lists(st.integers(0, 99), min_size=count, max_size=count))
        step.append(Rows(blocks, start, ids, draw(st.integers(0, count))))
    return step


@given(steps(), st.sampled_from([1, 9, 32]))
def test_every_row_is_in_one_tile_and_has_its_slot(step: list[Rows], many_rows: int):
    layout = layout_of(step, num_kv_heads=2, many_rows=many_rows, num_processors=4)
    buffer = np.full(layout.size, -1, dtype=np.int32)
    views = layout.views(buffer)
    fill(step, layout, views)
    flat = [(index, rows, i) for index, rows in enumerate(step) for i in range(len(rows.token_ids))]
    assert views.ids_T.tolist() == [rows.token_ids[i] for _, rows, i in flat]
    assert views.position_T.tolist() == [rows.start + i for _, rows, i in flat]
    for slot, (_, rows, i) in zip(views.slot_T.tolist(), flat, strict=True):
        block, offset = divmod(rows.start + i, BLOCK_TOKENS)
        assert slot == rows.block_ids[block] * BLOCK_TOKENS + offset
    seen: list[int] = []
    for tiles, room in ((views.few_4P, layout.few_rows), (views.many_4Q, layout.many_rows)):
        for first, count, position, table_row in tiles.T.tolist():
            assert 1 <= count <= room
            seen += range(first, first + count)
            assert flat[first][0] == flat[first + count - 1][0] == table_row
            assert views.position_T[first] == position
    assert sorted(seen) == list(range(len(flat)))
    assert views.logit_row_R.tolist() == logit_rows(step)


@given(steps())
def test_parts_are_aligned_and_apart(step: list[Rows]):
    layout = layout_of(step, num_kv_heads=1, many_rows=16, num_processors=4)
    buffer = np.zeros(layout.size, dtype=np.int32)
    for mark, view in enumerate(layout.views(buffer), start=1):
        start = (view.__array_interface__["data"][0] - buffer.__array_interface__["data"][0]) // 4
        assert start % ALIGNMENT == 0
        assert not view.any()
        view[...] = mark


@given(steps(max_rows=FEW_ROWS), st.integers(0, 9))
def test_padding_touches_the_scratch_block_only(step: list[Rows], spare: int):
    num_rows = sum(len(rows.token_ids) for rows in step)
    layout = layout_of(step, num_kv_heads=1, many_rows=1, num_processors=1)._replace(
        num_rows=num_rows + spare,
        num_logit_rows=num_rows + spare,
        num_few=num_rows + spare,
        num_tables=num_rows + spare,
        few_rows=1,
    )
    views = layout.views(np.full(layout.size, 77, dtype=np.int32))
    fill_single_rows(step, views, scratch_block=500)
    plain = layout_of(step, num_kv_heads=1, many_rows=1, num_processors=1)
    expected = plain.views(np.zeros(plain.size, dtype=np.int32))
    fill(step, plain, expected)
    assert views.slot_T[:num_rows].tolist() == expected.slot_T.tolist()
    assert set(views.slot_T[num_rows:].tolist()) <= {500 * BLOCK_TOKENS}
    for first, count, position, table_row in views.few_4P.T.tolist()[num_rows:]:
        assert (count, position, views.table_SW[table_row, 0]) == (1, 0, 500)
        assert first >= num_rows


def test_keys_are_split_until_the_device_is_busy():
    assert choose_splits(8, 2048, 132) == 16  # 128 keys a part
    assert choose_splits(8, 65_536, 132) == 32
    assert choose_splits(132, 8192, 132) == 2
    assert choose_splits(1000, 8192, 132) == 1
    assert choose_splits(1, 5, 132) == 1
