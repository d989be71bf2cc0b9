"""The forward pass of one step in plain PyTorch, on CPU or CUDA: the reference, and the fallback.

Every family of model/config.py is the same pass; what differs is None or one of two functions.
Everything but attention works on all rows at once; attention goes sequence by sequence over the
blocks of its table. In float64 and float32 the result is `CausalLm.forward`'s, to rounding.

Legend: T packed rows, R rows with logits, M model width, E = (H + 2K) D, H query heads, K key/value
heads, D head width, F feed-forward width, V vocabulary, C context; n rows of one sequence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Items

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.engine.eager.attention import cached_attention
from paceline.engine.eager.cache import KvCache
from paceline.engine.eager.lora_rows import AdapterTable
from paceline.engine.eager.packing import Layout, Packed, pack
from paceline.engine.eager.weights import (
    block_bytes,
    choose_device,
    choose_numbers,
    prepare_weights,
)
from paceline.engine.lora import LoraAdapter
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.engine.weights import NormParameters
from paceline.model.decoder import CausalLm

WARM_UP_ROWS = (1, 8, 64)
"""Row counts that take different kernels."""


class TorchRunner:
    """A model's weights, prepared, its KV cache and its adapters. An `Executor`."""

    def __init__(
        self,
        model: CausalLm,
        *,
        num_blocks: int,
        device: str = "auto",
        dtype: str = "auto",
        num_threads: int = 1,
    ) -> None:
        config = model.config
        self.device = choose_device(device)
        self.numbers = choose_numbers(dtype, self.device)
        self.context_tokens, self.vocab_size = config.context_tokens, config.vocab_size
        self.num_blocks = num_blocks
        self.block_bytes = block_bytes(config, dtype, device)
        self.num_threads = num_threads if self.device.type == "cpu" else 1
        self.device_line = f"torch {dtype} on {self.device.type}, {self.num_threads} thread(s)"
        self._config = config
        self._weights = prepare_weights(model, self.numbers, self.device)
        self.weight_bytes = self._weights.num_bytes
        self._cache = KvCache(config, num_blocks, self.numbers.narrow, self.device)
        self._adapters = AdapterTable(config, self.numbers.narrow, self.device)

    @torch.inference_mode()
    def forward(self, step: Items[Rows]) -> Tensor:
        """Return logits_RV in the order of the step; float64 if the runner computes in float64.

        Raises:
            AdapterError: a row names an adapter that is not loaded. Nothing was computed.
        """
        packed = pack(step, self._cache, self.device, self._config.sliding_window_tokens)
        self._adapters.check(packed.full.adapter_rows)
        hidden_TM = F.embedding(packed.ids_T, self._weights.embedding_VM).to(self.numbers.wide)
        cos_THD, sin_THD = self._rotation(packed.position_T)
        for index in range(self._config.num_layers - 1):
            q_THD = self._project(index, packed, hidden_TM, cos_THD, sin_THD)
            hidden_TM = self._mix(index, packed.full, q_THD, hidden_TM)
        q_THD = self._project(self._config.num_layers - 1, packed, hidden_TM, cos_THD, sin_THD)
        return self._finish(packed, q_THD, hidden_TM)

    def _finish(self, packed: Packed, q_THD: Tensor, hidden_TM: Tensor) -> Tensor:
        """The rest of the last layer and the head, for the rows whose logits are asked."""
        if not packed.trimmed.spans:
            return hidden_TM.new_empty(0, self.vocab_size)
        if packed.trimmed_R is not None:
            q_THD, hidden_TM = q_THD[packed.trimmed_R], hidden_TM[packed.trimmed_R]
        hidden_RM = self._mix(self._config.num_layers - 1, packed.trimmed, q_THD, hidden_TM)
        if packed.order_R is not None:
            hidden_RM = hidden_RM[packed.order_R]
        normed_RM = self._norm(hidden_RM, self._weights.norm)
        return self._weights.head(normed_RM).to(self.numbers.wide)

    def _rotation(self, position_T: Tensor) -> tuple[Tensor, Tensor]:
        """RoPE's tables for queries and keys of the step; the queries' carry 1/sqrt(D)."""
        H, K = self._config.num_heads, self._config.num_kv_heads
        scale_H1 = torch.ones(H + K, 1, dtype=self.numbers.wide, device=self.device)
        scale_H1[:H] = 1.0 / math.sqrt(self._config.head_dim)
        cos_T1D = self._weights.cos_CD[position_T].unsqueeze(1)
        sin_T1D = self._weights.sin_CD[position_T].unsqueeze(1)
        return cos_T1D * scale_H1, sin_T1D * scale_H1

    def _project(
        self, index: int, packed: Packed, hidden_TM: Tensor, cos_THD: Tensor, sin_THD: Tensor
    ) -> Tensor:
        """Norm, fused projection, QK-norm, RoPE; stores keys and values, returns scaled q_THD."""
        H, K, D = self._config.num_heads, self._config.num_kv_heads, self._config.head_dim
        layer = self._weights.layers[index]
        normed_TM = self._norm(hidden_TM, layer.attention_norm)
        fused_TE = layer.qkv(normed_TM)
        self._adapters.add(index, "qkv", packed.full.adapter_rows, normed_TM, fused_TE)
        fused = fused_TE.view(-1, H + 2 * K, D)
        qk = fused[:, : H + K].to(self.numbers.wide)
        if layer.qk_norm_HD is not None:
            qk = F.rms_norm(qk, (D,), None, self._config.norm_eps) * layer.qk_norm_HD
        fused[:, : H + K] = torch.addcmul(qk * cos_THD, qk.roll(D // 2, -1), sin_THD)
        self._cache.write(index, packed.physical_T, fused[:, H:])
        return fused[:, :H]

    def _mix(self, index: int, layout: Layout, q_THD: Tensor, hidden_TM: Tensor) -> Tensor:
        """Attention and feed-forward, added to the residual stream in place."""
        layer, adapters = self._weights.layers[index], layout.adapter_rows
        heads_TA = self._attend(index, layout, q_THD)
        out_TM = layer.out(heads_TA)
        hidden_TM += self._adapters.add(index, "out", adapters, heads_TA, out_TM)
        normed_TM = self._norm(hidden_TM, layer.ffn_norm)
        inner_TF = layer.ffn_in(normed_TM)
        self._adapters.add(index, "ffn_in", adapters, normed_TM, inner_TF)
        inner_TF = self._activate(inner_TF)
        out_TM = layer.ffn_out(inner_TF)
        hidden_TM += self._adapters.add(index, "ffn_out", adapters, inner_TF, out_TM)
        return hidden_TM

    def _attend(self, index: int, layout: Layout, q_THD: Tensor) -> Tensor:
        """Each sequence over its own keys."""
        K, window = self._config.num_kv_heads, self._config.sliding_window_tokens
        outs: list[Tensor] = []
        for span in layout.spans:
            kv_JND = self._cache.read(index, span.located)[:, : span.num_keys]
            q_nHD = q_THD[span.first : span.last]
            outs.append(cached_attention(q_nHD, kv_JND[:K], kv_JND[K:], window=window))
        return torch.cat(outs) if len(outs) > 1 else outs[0]

    def _activate(self, inner_TF: Tensor) -> Tensor:
        if self._config.ffn == "gelu_tanh":
            return F.gelu(inner_TF, approximate="tanh")
        gate_TF, up_TF = inner_TF.chunk(2, dim=-1)
        return F.silu(gate_TF).mul_(up_TF)

    def _norm(self, x_TM: Tensor, norm: NormParameters) -> Tensor:
        shape, eps = x_TM.shape[-1:], self._config.norm_eps
        if self._config.norm == "layer":
            return F.layer_norm(x_TM, shape, norm.weight_M, norm.bias_M, eps)
        return F.rms_norm(x_TM, shape, norm.weight_M, eps)

    @torch.inference_mode()
    def copy_blocks(self, pairs: Items[tuple[int, int]]) -> None:
        """Copy whole blocks (source, destination); all are read before one is written."""
        if pairs:
            self._cache.copy_blocks(pairs)

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        """Put an adapter into a row (1 or more) of the table; None empties the row.

        Raises:
            AdapterError: it does not fit this model.
        """
        self._adapters.set(adapter, lora)

    def warm_up(self) -> None:
        """Set the thread count of the calling thread and run a step of each kind. No block is in use."""
        if self.device.type == "cpu":
            torch.set_num_threads(self.num_threads)
        most = min(self.context_tokens, self.num_blocks * BLOCK_TOKENS)
        for num_rows in WARM_UP_ROWS:
            ids = [0] * min(num_rows, most)
            self.forward([Rows(range(self.num_blocks), 0, ids, 1)])
