"""NativeRunner: the Executor whose steps are one call into C++. It knows shapes and pointers, no arithmetic.

Weights are 8-bit in groups of 64 with activations quantised to match, the KV cache is float16, the rest
is float32. Python does nothing per layer and nothing per token but put ids into an array.

Legend: R logit rows, V vocabulary, F feed-forward width, I input width and O output width of a projection.
"""

from __future__ import annotations

import ctypes
import weakref
from array import array
from collections.abc import Sequence as Items

import torch
from torch import Tensor

from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter, LoraLayer, LoraPair
from paceline.engine.native.library import STATUS, Config, Matrix, Vector, load_library
from paceline.engine.step import BLOCK_TOKENS, Rows
from paceline.engine.weights import ModelParameters, NormParameters, gather_parameters
from paceline.model.config import ModelConfig
from paceline.model.decoder import CausalLm


class NativeRunner:
    """Computes steps of one model on the CPU.

    The logits of a row are the same bits whatever else is in its step, however its sequence was cut
    into steps, and for any number of threads.
    """

    def __init__(
        self,
        model: CausalLm,
        *,
        num_blocks: int,
        num_threads: int = 1,
        library: ctypes.CDLL | None = None,
    ) -> None:
        """Quantise the weights of `model`, which is not needed afterwards.

        Args:
            model: any family that `model` knows.
            num_blocks: size of the KV cache.
            num_threads: with 1, no thread is made.
            library: from load_library; None means the one for this processor.

        Raises:
            NativeUnavailableError: the library cannot be built or used.
        """
        assert num_blocks >= 1, "num_blocks must be at least 1"
        assert num_threads >= 1, "num_threads must be at least 1"
        parameters = gather_parameters(model)
        config = parameters.config
        self._config = config
        self._library = library or load_library()
        self._model = self._library.pl_create(
            ctypes.byref(_native_config(config, num_blocks, num_threads))
        )
        if not self._model:
            raise MemoryError(
                f"There is not enough memory for the weights and a KV cache of {num_blocks} blocks; make the cache smaller."
            )
        self._destroy = weakref.finalize(self, self._library.pl_destroy, self._model)
        self._fill(parameters)
        self.context_tokens = config.context_tokens
        self.vocab_size = config.vocab_size
        self.num_blocks = num_blocks
        self.num_threads = num_threads
        self.device_line = f"native int8, {num_threads} thread{'s' * (num_threads > 1)}"
        self.block_bytes: int = self._library.pl_block_bytes(self._model)
        self.bytes_per_token_kv = self.block_bytes // BLOCK_TOKENS
        self.weight_bytes: int = self._library.pl_weight_bytes(self._model)
        """Matrices and the embedding, as they are held."""

    def forward(self, step: Items[Rows]) -> Tensor:
        """Return logits_RV in the order of the step, in a tensor of their own.

        Raises:
            ValueError: the step names ids, blocks, positions or adapters that do not exist; nothing was computed.
        """
        packed = _pack(step)
        logits_RV = torch.empty(sum(rows.num_logit_rows for rows in step), self.vocab_size)
        address, length = packed.buffer_info()
        self._must(
            self._library.pl_forward(
                self._model, len(step), address, length, logits_RV.data_ptr(), self.vocab_size
            )
        )
        return logits_RV

    def copy_blocks(self, pairs: Items[tuple[int, int]]) -> None:
        """Copy whole blocks (source, destination), before the next forward."""
        flat = array("i", [block for pair in pairs for block in pair])
        self._must(self._library.pl_copy_blocks(self._model, flat.buffer_info()[0], len(flat) // 2))

    def set_adapter(self, adapter: int, lora: LoraAdapter | None) -> None:
        """Put an adapter into row `adapter` (1 or more) of the table; None empties the row.

        Raises:
            AdapterError: it does not fit this model.
        """
        assert adapter >= 1, "row 0 is the base model"
        if lora is not None:
            _check_adapter(lora, self._config)
        self._library.pl_remove_adapter(self._model, adapter)
        if lora is None:
            return
        for i, layer in enumerate(lora.layers):
            for which, pair in _pairs(layer):
                # Rank 0 reserves the row even if nothing is adapted.
                a_RI, b_OR = (
                    (pair.a_RI.float().contiguous(), pair.b_OR.float().contiguous())
                    if pair
                    else (torch.empty(0), torch.empty(0))
                )
                rank = pair.a_RI.shape[0] if pair else 0
                self._must(
                    self._library.pl_set_low_rank(
                        self._model, adapter, i, which, rank, a_RI.data_ptr(), b_OR.data_ptr()
                    )
                )

    def warm_up(self) -> None:
        """Touch the weights and the working memory; block 0 onwards are overwritten."""
        count = min(self.context_tokens, self.num_blocks * BLOCK_TOKENS, 8 * BLOCK_TOKENS)
        self.forward([Rows(range(self.num_blocks), 0, [0] * count, 1)])

    def close(self) -> None:
        """Free memory and threads; the executor must not be used any more."""
        self._destroy()

    def _must(self, status: int) -> None:
        if status == 6:
            raise MemoryError("There is not enough memory for this step.")
        if status:
            raise ValueError(f"The native executor refused a call: {STATUS[status]}.")

    def _fill(self, parameters: ModelParameters) -> None:
        for i, layer in enumerate(parameters.layers):
            self._set_matrix(i, Matrix.QKV, layer.qkv_EM)
            self._set_matrix(i, Matrix.OUT, layer.out_MA)
            self._set_matrix(i, Matrix.FFN_IN, layer.ffn_in_FM)
            self._set_matrix(i, Matrix.FFN_OUT, layer.ffn_out_MF)
            self._set_norm(i, Vector.ATTENTION_NORM, layer.attention_norm)
            self._set_norm(i, Vector.FFN_NORM, layer.ffn_norm)
            self._set_vector(i, Vector.QKV_BIAS, layer.qkv_bias_E)
            self._set_vector(i, Vector.Q_NORM, layer.q_norm_D)
            self._set_vector(i, Vector.K_NORM, layer.k_norm_D)
            self._set_vector(i, Vector.OUT_BIAS, layer.out_bias_M)
            self._set_vector(i, Vector.FFN_IN_BIAS, layer.ffn_in_bias_F)
            self._set_vector(i, Vector.FFN_OUT_BIAS, layer.ffn_out_bias_M)
        self._set_norm(0, Vector.NORM, parameters.norm)
        self._set_matrix(0, Matrix.HEAD, parameters.head_VM)
        self._set_matrix(0, Matrix.EMBEDDING, parameters.embedding_VM)
        cos_CD, sin_CD = parameters.cos_CD.contiguous(), parameters.sin_CD.contiguous()
        assert cos_CD.shape == (self._config.context_tokens, self._config.head_dim)
        self._library.pl_set_rope(self._model, cos_CD.data_ptr(), sin_CD.data_ptr())

    def _set_matrix(self, layer: int, which: Matrix, values: Tensor) -> None:
        values = values.contiguous()
        self._library.pl_set_matrix(self._model, layer, which, values.data_ptr())

    def _set_norm(self, layer: int, which: Vector, norm: NormParameters) -> None:
        self._set_vector(layer, which, norm.weight_M)
        self._set_vector(layer, Vector(which + 1), norm.bias_M)

    def _set_vector(self, layer: int, which: Vector, values: Tensor | None) -> None:
        if values is not None:
            values = values.contiguous()
            self._must(self._library.pl_set_vector(self._model, layer, which, values.data_ptr()))


def _native_config(config: ModelConfig, num_blocks: int, num_threads: int) -> Config:
    return Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        ffn_size=config.ffn_size,
        context_tokens=config.context_tokens,
        num_blocks=num_blocks,
        num_threads=num_threads,
        is_gated=config.ffn == "gated_silu",
        window_tokens=config.sliding_window_tokens or 0,
        norm_eps=config.norm_eps,
    )


def _pack(step: Items[Rows]) -> array[int]:
    """The array that pl_forward reads: five integers a sequence, all ids, all block tables."""
    packed = array("i")
    tables: list[Items[int]] = []
    try:
        for rows in step:
            table = rows.block_ids[: -(-rows.end // BLOCK_TOKENS)]
            tables.append(table)
            packed.extend(
                (rows.start, len(rows.token_ids), rows.num_logit_rows, rows.adapter, len(table))
            )
        for rows in step:
            packed.extend(rows.token_ids)
        for table in tables:
            packed.extend(table)
    except OverflowError as cause:
        raise ValueError("The native executor refused a call: a number needs 64 bits.") from cause
    return packed


def _pairs(layer: LoraLayer) -> tuple[tuple[Matrix, LoraPair | None], ...]:
    return (
        (Matrix.QKV, layer.qkv),
        (Matrix.OUT, layer.out),
        (Matrix.FFN_IN, layer.ffn_in),
        (Matrix.FFN_OUT, layer.ffn_out),
    )


def _check_adapter(lora: LoraAdapter, config: ModelConfig) -> None:
    if len(lora.layers) != config.num_layers:
        raise AdapterError(
            f"Adapter {lora.name!r} has {len(lora.layers)} layers but the model has {config.num_layers}; load the model it was trained for."
        )
    q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    ffn_in = config.ffn_size * (2 if config.ffn == "gated_silu" else 1)
    shapes = {
        Matrix.QKV: (config.hidden_size, q + 2 * kv),
        Matrix.OUT: (q, config.hidden_size),
        Matrix.FFN_IN: (config.hidden_size, ffn_in),
        Matrix.FFN_OUT: (config.ffn_size, config.hidden_size),
    }
    for i, layer in enumerate(lora.layers):
        for which, pair in _pairs(layer):
            if pair is None:
                continue
            num_in, num_out = shapes[which]
            rank = pair.a_RI.shape[0]
            if pair.a_RI.shape != (rank, num_in) or pair.b_OR.shape != (num_out, rank):
                raise AdapterError(
                    f"Adapter {lora.name!r}, layer {i}, {which.name.lower()}: A is {list(pair.a_RI.shape)} and B is {list(pair.b_OR.shape)} "
                    f"but the model needs [{rank}, {num_in}] and [{num_out}, {rank}]; load the model it was trained for."
                )
