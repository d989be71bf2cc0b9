"""CudaRunner: computes steps on one NVIDIA GPU. The third executor behind engine/step.py.

    up to 64 rows, no adapter    graphs.py: padded to a bucket, one replay
    everything else              the same computation, launched kernel by kernel

One layer is 4 matrix products and 5 kernels (6 where keys are split):
add+norm, [qkv], rope+store, attention, [out], add+norm, [ffn in], activation, [ffn out].

It has never run on a GPU (docs/cuda.md). With device="cpu" it computes the same with the reference
operators, or with the kernels in Triton's interpreter, and records nothing: that is for tests.

Legend: T packed rows, R rows with logits, M model width, E = (H + 2K) D, A = H D, K key/value heads,
D head width, L layers, N blocks, B positions of a block, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.core.errors import ConfigError
from paceline.engine.cuda.choose import OperatorKind, load_operators
from paceline.engine.cuda.graphs import BUCKETS, StepGraphs
from paceline.engine.cuda.operators import LayerCache, Operators, Tiles
from paceline.engine.cuda.packing import FEW_ROWS, Layout, StepViews, fill, layout_of
from paceline.engine.cuda.transfer import HostBuffer
from paceline.engine.cuda.weights import place_weights
from paceline.engine.eager.lora_rows import AdapterTable
from paceline.engine.lora import LoraAdapter
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.engine.weights import gather_parameters
from paceline.model.decoder import CausalLm

DTYPES = ("auto", "bfloat16", "float32", "fp8")
TILE_ROWS = 64
"""Query rows times heads per key head of a prefill tile: four times what tensor cores need."""


def choose_dtype(name: str, device: torch.device) -> tuple[torch.dtype, bool]:
    """Return (dtype of activations and cache, are the layers' weights fp8).

    Raises:
        ConfigError: no such dtype.
    """
    if name not in DTYPES:
        raise ConfigError(f"engine.dtype is {name!r}; on CUDA it must be one of {DTYPES}.")
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return (torch.float32 if name == "float32" else torch.bfloat16), name == "fp8"


def dtype_name(dtype: torch.dtype, is_fp8: bool) -> str:
    """In words, for `device_line`."""
    return "fp8" if is_fp8 else str(dtype).removeprefix("torch.")


AdapterSlices = tuple[tuple[int, slice], ...]


def adapter_slices(step: Items[Rows]) -> AdapterSlices:
    """Runs of packed rows that share an adapter; in plain PyTorch, two products for each run and matrix."""
    runs: list[tuple[int, slice]] = []
    end = 0
    for rows in step:
        start, end = end, end + len(rows.token_ids)
        if runs and runs[-1][0] == rows.adapter:
            start = runs.pop()[1].start
        runs.append((rows.adapter, slice(start, end)))
    return tuple(run for run in runs if run[0])


class CudaRunner:
    """A model's weights and KV blocks on one device; an engine.step.Executor."""

    num_threads = 1

    def __init__(
        self,
        model: CausalLm,
        *,
        num_blocks: int,
        dtype: str = "auto",
        device: str = "cuda",
        operators: OperatorKind | Operators = "auto",
        buckets: Items[int] = BUCKETS,
    ) -> None:
        """Copy the model to the device and allocate the cache; one block more, for padding rows.

        Args:
            operators: see choose.load_operators; or a tuple of your own.
            buckets: numbers of rows that graphs are recorded for; empty records none.

        Raises:
            ConfigError: the device, dtype or operators cannot be had here.
        """
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError("engine.device is 'cuda', and PyTorch finds no GPU; use 'cpu'.")
        self._dtype, is_fp8 = choose_dtype(dtype, self.device)
        self._operators = (
            load_operators(operators, self.device) if isinstance(operators, str) else operators
        )
        self.likeliest = self._operators.pick
        """The sampler's Likeliest: greedy id and log-probability in one pass over the vocabulary."""
        self._config = config = model.config
        self.context_tokens, self.vocab_size = config.context_tokens, config.vocab_size
        self.num_blocks = num_blocks
        self.weights = place_weights(
            gather_parameters(model), self._dtype, self.device, is_fp8=is_fp8
        )
        self.weight_bytes = self.weights.num_bytes
        self.device_line = f"cuda {dtype_name(self._dtype, is_fp8)} on {self._device_name()}"
        shape = (num_blocks + 1, config.num_kv_heads, BLOCK_TOKENS, config.head_dim)
        self._cache_L2NKBD = torch.zeros(
            config.num_layers, 2, *shape, dtype=self._dtype, device=self.device
        )
        per_block = self._cache_L2NKBD[:, :, 0]
        self.block_bytes = per_block.numel() * per_block.element_size()
        self._layer_caches = [LayerCache(kv[0], kv[1]) for kv in self._cache_L2NKBD]
        self._adapters = AdapterTable(config, self._dtype, self.device)
        self._head_gives_float32 = self._can_head_give_float32()
        is_cuda = self.device.type == "cuda"
        self._num_processors = (
            torch.cuda.get_device_properties(self.device).multi_processor_count if is_cuda else 4
        )
        self._host = HostBuffer(4096, self.device)
        self._graphs = StepGraphs(
            self.compute,
            self.device,
            buckets=buckets,
            table_width=-(-config.context_tokens // BLOCK_TOKENS),
            num_kv_heads=config.num_kv_heads,
            num_processors=self._num_processors,
            scratch_block=num_blocks,
        )

    def _device_name(self) -> str:
        is_cuda = self.device.type == "cuda"
        return torch.cuda.get_device_name(self.device) if is_cuda else self.device.type

    def _can_head_give_float32(self) -> bool:
        """Can a bfloat16 product give float32, unrounded? (CUDA, torch 2.8 or newer.)"""
        if self.device.type != "cuda" or self._dtype == torch.float32:
            return False
        try:
            probe = torch.zeros(16, 16, dtype=self._dtype, device=self.device)
            torch.mm(probe, probe, out_dtype=torch.float32)
        except (TypeError, RuntimeError):
            return False
        return True

    @torch.inference_mode()
    def forward(self, step: Items[Rows]) -> Tensor:
        """See Executor.forward. The logits are on the device; they are there when this returns.

        So the time of a step is the step's. Whoever samples would wait for it anyway.
        """
        self._check(step)
        bucket = self._graphs.bucket_for(step)
        if bucket is None:
            logits_RV = self._launch(step)
        else:
            logits_RV = self._graphs.replay(step, bucket)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return logits_RV

    def _launch(self, step: Items[Rows]) -> Tensor:
        """Compute a step kernel by kernel."""
        layout = layout_of(
            step,
            num_kv_heads=self._config.num_kv_heads,
            many_rows=self._many_rows,
            num_processors=self._num_processors,
        )
        fill(step, layout, layout.views(self._host.take(layout.size)))
        buffer = torch.empty(layout.size, dtype=torch.int32, device=self.device)
        self._host.send(buffer, layout.size)
        adapters = adapter_slices(step)
        self._adapters.check(adapters)
        return self.compute(layout.views(buffer), layout, adapters)

    def replays(self, step: Items[Rows]) -> bool:
        """Would `forward` replay this step from a graph?"""
        return self._graphs.bucket_for(step) is not None

    @property
    def _many_rows(self) -> int:
        """Rows of a prefill tile."""
        return max(1, TILE_ROWS // (self._config.num_heads // self._config.num_kv_heads))

    def _check(self, step: Items[Rows]) -> None:
        """Stop here what would be a wild write on the device, where it ends the process."""
        for rows in step:
            assert rows.token_ids, "a sequence without rows is in the step"
            assert min(rows.token_ids) >= 0, "a token id is negative"
            assert max(rows.token_ids) < self.vocab_size, "a token id is not in the vocabulary"
            assert rows.end <= self.context_tokens, "a row lies behind the context"
            blocks = rows.block_ids[: -(-rows.end // BLOCK_TOKENS)]
            assert len(blocks) * BLOCK_TOKENS >= rows.end, "a row has no block"
            assert min(blocks) >= 0, "a block id is negative"
            assert max(blocks) < self.num_blocks, "a block id is not in the cache"

    def compute(
        self, views: StepViews[Tensor], layout: Layout, adapters: AdapterSlices = ()
    ) -> Tensor:
        """The forward pass of packed rows, on the device alone: nothing in it waits for the host."""
        ops, config, add = self._operators, self._config, self._adapters.add
        few = Tiles(views.few_4P, views.table_SW, layout.few_rows, layout.num_splits)
        many = Tiles(views.many_4Q, views.table_SW, layout.many_rows, 1)
        residual_TM = F.embedding(views.ids_T, self.weights.embedding_VM)
        x_TM: Tensor | None = None
        for index, layer in enumerate(self.weights.layers):
            cache = self._layer_caches[index]
            hidden_TM = ops.add_norm(x_TM, residual_TM, layer.attention_norm)
            qkv_TE = add(index, "qkv", adapters, hidden_TM, layer.qkv(hidden_TM))
            q_THD = ops.rotate_and_store(
                qkv_TE, layer.rotation, views.position_T, views.slot_T, cache
            )
            out_TA = torch.empty_like(q_THD).flatten(1)
            for tiles in (few, many):
                ops.attend(q_THD, cache, tiles, config.sliding_window_tokens, out_TA)
            x_TM = add(index, "out", adapters, out_TA, layer.out(out_TA))
            hidden_TM = ops.add_norm(x_TM, residual_TM, layer.ffn_norm)
            in_TF = add(index, "ffn_in", adapters, hidden_TM, layer.ffn_in(hidden_TM))
            active_TF = ops.activate(in_TF, is_gated=config.ffn == "gated_silu")
            x_TM = add(index, "ffn_out", adapters, active_TF, layer.ffn_out(active_TF))
        hidden_TM = ops.add_norm(x_TM, residual_TM, self.weights.norm)
        return self._logits(hidden_TM.index_select(0, views.logit_row_R))

    def _logits(self, hidden_RM: Tensor) -> Tensor:
        head_MV = self.weights.head_VM.T
        if self._head_gives_float32:
            return torch.mm(hidden_RM, head_MV, out_dtype=torch.float32)
        return (hidden_RM @ head_MV).float()

    def copy_blocks(self, pairs: Items[tuple[int, int]]) -> None:
        """See Executor.copy_blocks. All sources are read before a destination is written."""
        if pairs:
            source, target = torch.tensor(pairs, device=self.device).T
            self._cache_L2NKBD[:, :, target] = self._cache_L2NKBD[:, :, source]

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        """See Executor.set_adapter."""
        self._adapters.set(adapter, lora)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Compile the kernels of large steps and record the graphs."""
        for count in {1, 2, 4, FEW_ROWS, min(FEW_ROWS + 1, self.context_tokens)}:
            blocks = [0] * -(-count // BLOCK_TOKENS)
            self.forward([Rows(blocks, 0, [0] * count, 1)])
        self._graphs.record()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
