"""The forward pass of one step over token-packed rows: prompts and decodes together, no padding.

    step     a: 3 prompt rows   b: 1 decode row   c: 2 prompt rows
    rows     a0 a1 a2 b7 c4 c5                                       T = 6
    logits         a2 b7    c5  (the rows whose logits are asked)    R = 3

Everything but attention works on all T rows at once; attention goes sequence by sequence over
views of the cache.

Legend: T packed rows, R rows with logits, M model width, E = (H + 2K) D, H query heads,
K key/value heads, D head width, F feed-forward width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from itertools import accumulate
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from paceline.engine.attention import cached_attention
from paceline.engine.cache import KvCache
from paceline.engine.config import EngineConfig
from paceline.engine.scheduler import Rows
from paceline.engine.weights import LayerWeights, Weights, prepare_weights
from paceline.model.decoder import CausalLm

MANY_ROWS = 16
"""From here on a step runs in bfloat16 where float32 and bfloat16 are mixed (see `choose_dtypes`)."""


class Executor(Protocol):
    """What computes a step. The engine needs no more of a model than this."""

    context_tokens: int
    vocab_size: int
    num_slots: int

    def forward(self, step: Items[Rows]) -> Tensor:
        """Return float32 logits_RV, in the order of the step; stores keys and values in the slots."""
        ...

    def warm_up(self) -> None:
        """Pay one-time costs on the calling thread; slots must be empty."""
        ...


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_dtypes(name: str, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Return (dtype of steps with few rows, dtype of steps with MANY_ROWS or more).

    Measured on one thread of a busy AVX512-BF16 machine, 6.5 M parameters, CPU time: bfloat16 takes
    48 ms for 512 prompt rows and float32 78; one decode row takes 4.2 ms and 3.6
    (benchmarks/engine_steps.py).
    """
    if name == "auto" and device.type == "cpu":
        has_bf16 = any(
            getattr(torch.cpu, probe, bool)()
            for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
        return torch.float32, torch.bfloat16 if has_bf16 else torch.float32
    if name == "auto":
        name = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    dtype = getattr(torch, name)
    return dtype, dtype


class Runner:
    """A model's weights, prepared, and its KV cache."""

    def __init__(self, model: CausalLm, config: EngineConfig) -> None:
        self.device = choose_device(config.device)
        self.few_dtype, self.many_dtype = choose_dtypes(config.dtype, self.device)
        self.context_tokens = model.config.context_tokens
        self.vocab_size = model.config.vocab_size
        self.num_slots = config.max_sequences
        self._config = model.config
        self._weights = {
            dtype: prepare_weights(model, dtype, self.device)
            for dtype in {self.few_dtype, self.many_dtype}
        }
        self._cache = KvCache(model.config, self.num_slots, self.few_dtype, self.device)

    def _weights_for(self, num_rows: int) -> Weights:
        return self._weights[self.many_dtype if num_rows >= MANY_ROWS else self.few_dtype]

    @torch.inference_mode()
    def forward(self, step: Items[Rows]) -> Tensor:
        """Return float32 logits_RV of the rows that need them; all keys and values are cached."""
        num_rows = sum(len(rows.token_ids) for rows in step)
        weights = self._weights_for(num_rows)
        ids_T, slot_T, position_T = self._pack(step)
        hidden_TM = F.embedding(ids_T, weights.embedding_VM)
        cos_T1D = weights.cos_CD[position_T].unsqueeze(1)
        sin_T1D = weights.sin_CD[position_T].unsqueeze(1)
        for index, layer in enumerate(weights.layers):
            q_THD, k_TKD, v_TKD = self._project(layer, hidden_TM, cos_T1D, sin_T1D)
            self._cache.write(index, slot_T, position_T, k_TKD, v_TKD)
            out_TA = self._attend(index, step, q_THD)
            hidden_TM = torch.addmm(hidden_TM, out_TA, layer.out_AM)
            hidden_TM = self._feed_forward(layer, hidden_TM)
        return self._logits(step, hidden_TM)

    def _pack(self, step: Items[Rows]) -> tuple[Tensor, Tensor, Tensor]:
        """Return (ids_T, slot_T, position_T) of all rows, moved to the device in one copy."""
        ids: list[int] = []
        slots: list[int] = []
        positions: list[int] = []
        for rows in step:
            ids += rows.token_ids
            slots += [rows.slot] * len(rows.token_ids)
            positions += range(rows.start, rows.end)
        packed_3T = torch.tensor([ids, slots, positions]).to(self.device)
        return packed_3T[0], packed_3T[1], packed_3T[2]

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._config.norm_eps)

    def _project(
        self, layer: LayerWeights, hidden_TM: Tensor, cos_T1D: Tensor, sin_T1D: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Norm, fused projection, then norm and RoPE of queries and keys together."""
        H, K, D = self._config.num_heads, self._config.num_kv_heads, self._config.head_dim
        fused_TE = self._norm(hidden_TM, layer.attention_norm_M) @ layer.qkv_ME
        fused = fused_TE.view(-1, H + 2 * K, D)
        qk = F.rms_norm(fused[:, : H + K], (D,), None, self._config.norm_eps) * layer.qk_norm_HD
        swapped = qk.view(-1, H + K, 2, D // 2).flip(-2).view_as(qk)
        turned = torch.addcmul(qk * cos_T1D, swapped, sin_T1D)
        return turned[:, :H], turned[:, H:], fused[:, H + K :]

    def _attend(self, layer: int, step: Items[Rows], q_THD: Tensor) -> Tensor:
        """Attention of each sequence over its own cache; the smaller side is cast to fit the other."""
        outs: list[Tensor] = []
        first = 0
        for rows in step:
            end = first + len(rows.token_ids)
            q_nHD = q_THD[first:end]
            keys_KND, values_KND = self._cache.read(layer, rows.slot, rows.end)
            dtype = keys_KND.dtype if end - first == 1 else q_nHD.dtype
            out = cached_attention(q_nHD.to(dtype), keys_KND.to(dtype), values_KND.to(dtype))
            outs.append(out.to(q_nHD.dtype))
            first = end
        return torch.cat(outs) if len(outs) > 1 else outs[0]

    def _feed_forward(self, layer: LayerWeights, hidden_TM: Tensor) -> Tensor:
        fused_TF = self._norm(hidden_TM, layer.ffn_norm_M) @ layer.gate_up_MF
        gate_TF, up_TF = fused_TF.chunk(2, dim=-1)
        return torch.addmm(hidden_TM, F.silu(gate_TF).mul_(up_TF), layer.down_FM)

    def _logits(self, step: Items[Rows], hidden_TM: Tensor) -> Tensor:
        """Final norm and head, only for the last `num_logit_rows` rows of each sequence."""
        ends = accumulate(len(rows.token_ids) for rows in step)
        row_R = [
            row
            for rows, end in zip(step, ends, strict=True)
            for row in range(end - rows.num_logit_rows, end)
        ]
        weights = self._weights_for(len(row_R))
        hidden_RM = hidden_TM[torch.tensor(row_R, dtype=torch.long, device=self.device)]
        return (self._norm(hidden_RM.to(weights.dtype), weights.norm_M) @ weights.head_MV).float()

    def warm_up(self) -> None:
        """Run one step of each dtype, so that the first real one does not pay for kernel set-up."""
        for num_rows in (1, MANY_ROWS):
            ids = [0] * min(num_rows, self.context_tokens)
            self.forward([Rows(slot=0, start=0, token_ids=ids, num_logit_rows=1)])
