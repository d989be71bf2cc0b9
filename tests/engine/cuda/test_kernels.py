"""Each Triton kernel against its float32 reference, with odd sizes, so that every tail is masked.

In float32 they agree to 1e-5. In bfloat16 to one unit in the last place (2^-7 of the value) and 2^-7
where sums cancel: inputs are the same bfloat16 numbers, sums are float32 on both sides, and the result
is rounded once. On a CPU Triton's interpreter runs the kernels; there products of bfloat16 numbers
are float32 products (the interpreter multiplies the bits otherwise), as on tensor cores.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from paceline.engine.cuda import reference
from paceline.engine.cuda.operators import LayerCache, Norm, Operators, Rotation, Tiles

H, K, D, N = 6, 2, 24, 10
"""Query heads, key/value heads, head width, blocks: none but K is a power of two."""


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


class Source:
    """Normal numbers, the same in every run."""

    def __init__(self, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._device = device

    def __call__(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self._generator).to(self._device, dtype)

    def integers(self, numbers: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=self._device)


@pytest.fixture
def source(device: torch.device) -> Source:
    return Source(device)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    bound = 1e-5 if ours.dtype == torch.float32 else 2**-7
    torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)


@pytest.mark.parametrize("width", [1, 70, 128])
@pytest.mark.parametrize("has_x", [True, False])
@pytest.mark.parametrize("is_layer", [True, False])
def test_add_norm(
    operators: Operators,
    source: Source,
    dtype: torch.dtype,
    width: int,
    has_x: bool,
    is_layer: bool,
):
    x = source(3, width, dtype=dtype) if has_x else None
    ours, theirs = (source(3, width, dtype=dtype),) * 2
    ours, theirs = ours.clone(), theirs.clone()
    norm = Norm(source(width), source(width) if is_layer else None, 1e-5, is_layer)
    assert_close(operators.add_norm(x, ours, norm), reference.add_norm(x, theirs, norm))
    assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # 1 / (1 + inf) = 0 is meant
@pytest.mark.parametrize("is_gated", [True, False])
@pytest.mark.parametrize("width", [70, 2 * 1500])
def test_activate(
    operators: Operators, source: Source, dtype: torch.dtype, width: int, is_gated: bool
):
    x = 3 * source(3, width, dtype=dtype)
    ours = operators.activate(x, is_gated=is_gated)
    assert ours.shape == (3, width // 2 if is_gated else width)
    assert_close(ours, reference.activate(x, is_gated=is_gated))


@pytest.mark.parametrize("has_norm", [True, False])
def test_rotate_and_store(operators: Operators, source: Source, dtype: torch.dtype, has_norm: bool):
    cache = LayerCache(source(N, K, 16, D, dtype=dtype), source(N, K, 16, D, dtype=dtype))
    twin = LayerCache(*(part.clone() for part in cache))
    angle = source(50, D // 2).repeat(1, 2)
    q_norm, k_norm = (source(D), source(D)) if has_norm else (None, None)
    rotation = Rotation(angle.cos(), angle.sin(), q_norm, k_norm, 1e-6)
    qkv = source(5, (H + 2 * K) * D, dtype=dtype)
    position, slot = source.integers([0, 5, 17, 40, 1]), source.integers([0, 21, 17, 143, 1])
    ours = operators.rotate_and_store(qkv, rotation, position, slot, cache)
    assert_close(ours, reference.rotate_and_store(qkv, rotation, position, slot, twin))
    for part, expected in zip(cache, twin, strict=True):
        assert_close(part, expected)  # what was not written is as it was


TILES = [[0, 1, 4, 8], [1, 3, 4, 2], [90, 14, 0, 62], [0, 1, 0, 2]]
"""First row, rows, position, table row: decoding far in, across a block's border, a start, and
across the border of the keys that the kernel takes at once."""
TABLES = [[3, 4, 1, 8, 9, 2], [5, 3, 7, 7, 7, 7], [6, 4, 1, 9, 7, 7]]


@pytest.mark.parametrize("window", [None, 1, 20])
@pytest.mark.parametrize("num_splits", [1, 3])
def test_attend_never_looks_behind_a_sequence(
    operators: Operators, source: Source, dtype: torch.dtype, num_splits: int, window: int | None
):
    cache = LayerCache(source(N, K, 16, D, dtype=dtype), source(N, K, 16, D, dtype=dtype))
    for part in cache:
        part[[0, 7]] = torch.nan  # block 0 is nobody's; 7 is named, but behind the sequences' ends
        part[2, :, 91 % 16 :] = torch.nan
    q = source(11, H, D, dtype=dtype)
    tiles = Tiles(source.integers(TILES), source.integers(TABLES), 4, num_splits)
    ours, theirs = (torch.full((11, H * D), 7.0, dtype=dtype, device=q.device) for _ in range(2))
    operators.attend(q, cache, tiles, window, ours)
    reference.attend(q, cache, tiles, window, theirs)
    assert_close(ours, theirs)
    assert ours[10].eq(7).all(), "a row that belongs to no tile was written"


def test_attend_takes_a_prompt_in_tiles(operators: Operators, source: Source, dtype: torch.dtype):
    cache = LayerCache(source(N, 1, 16, 64, dtype=dtype), source(N, 1, 16, 64, dtype=dtype))
    q = source(70, 5, 64, dtype=dtype)
    starts = list(range(0, 70, 8))
    columns = [starts, [min(8, 70 - s) for s in starts], [3 + s for s in starts], [0] * len(starts)]
    tiles = Tiles(source.integers(columns), source.integers([[8, 3, 1, 0, 2]]), 8, 1)
    ours, theirs = (torch.zeros(70, 320, dtype=dtype, device=q.device) for _ in range(2))
    operators.attend(q, cache, tiles, None, ours)
    reference.attend(q, cache, tiles, None, theirs)
    assert_close(ours, theirs)


@pytest.mark.parametrize("vocab_size", [7, 1024, 9001])
@pytest.mark.parametrize("is_drawn", [True, False])
def test_pick(operators: Operators, source: Source, vocab_size: int, is_drawn: bool):
    logits = 5 * source(3, vocab_size)
    logits[1, : vocab_size // 2] = -torch.inf  # masked ids
    logits[2, vocab_size // 3] = logits[2, vocab_size - 1] = 50.0  # a tie: the smaller id
    tied = torch.arange(3, vocab_size, 1024)
    logits[0, tied] = 50.0  # in one lane of the kernel
    extra: tuple[Tensor, ...] = ()
    if is_drawn:
        gumbel = -(-source(3, vocab_size).sigmoid().log()).log()
        extra = (torch.tensor([1.0, 0.5, 2.0], device=logits.device), gumbel)
    (ids, logprobs), (expected, expected_logprobs) = (
        pick(logits, *extra) for pick in (operators.pick, reference.pick)
    )
    assert ids.tolist() == expected.tolist()
    assert is_drawn or ids[2] == vocab_size // 3
    assert_close(logprobs, expected_logprobs)


def test_no_rows_is_no_work(operators: Operators, device: torch.device):
    empty = torch.empty(0, 8, device=device)
    norm = Norm(torch.ones(8, device=device), None, 1e-6, False)
    assert operators.add_norm(None, empty, norm).shape == (0, 8)
    assert operators.activate(empty, is_gated=True).shape == (0, 4)
    assert operators.pick(empty)[0].shape == (0,)
