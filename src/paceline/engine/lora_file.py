"""Reads LoRA adapters from folders that PEFT wrote: adapter_config.json, adapter_model.safetensors.

What would change the result if it were ignored is refused (DoRA, biases, whole modules saved beside
the factors, initialisations that change the base); what concerns training only is not looked at.

Legend: R rank, I input width, O output width of a projection.

Source: PEFT 0.21, `tuners/lora/config.py`; rank and alpha patterns as `get_pattern_key` of
`utils/other.py` matches them, names only.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from paceline.engine.errors import AdapterError
from paceline.engine.lora import LoraAdapter, LoraLayer, LoraPair
from paceline.model.config import ModelConfig

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
TENSOR_NAME = re.compile(
    r"base_model\.model\.(?P<module>model\.layers\.(?P<layer>\d{1,6})\.(?P<projection>[a-z_.]+))"
    r"\.lora_(?P<factor>[AB])\.weight"
)
V = TypeVar("V", int, float)
LITERAL_NAME = re.compile(r"[\w.]+")
KEEPS_BASE = (True, False, "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base weights alone. The others (pissa, olora, corda,
loftq, ...) alter them, so that the factors do not fit the original ones."""


class PeftConfig(msgspec.Struct, kw_only=True):
    """What we read of `adapter_config.json`; other fields are ignored."""

    peft_type: str
    r: int
    lora_alpha: float
    base_model_name_or_path: str | None = None
    target_modules: list[str] | str | None = None
    use_rslora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    init_lora_weights: bool | str = True
    use_dora: bool = False
    use_qalora: bool = False
    lora_bias: bool = False
    use_bdlora: Any = None
    arrow_config: Any = None
    kasa_config: Any = None
    monteclora_config: Any = None
    layer_replication: Any = None
    trainable_token_indices: Any = None
    target_parameters: Any = None
    alora_invocation_tokens: Any = None


REFUSED = (
    "fan_in_fan_out",
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
)
"""Fields that must be unset: each adds something that the engine does not compute."""


def projection_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every projection that an adapter may change, in the order they are fused."""
    M, F, D = config.hidden_size, config.ffn_size, config.head_dim
    A, B = config.num_heads * D, config.num_kv_heads * D
    attention = {
        "self_attn.q_proj": (A, M),
        "self_attn.k_proj": (B, M),
        "self_attn.v_proj": (B, M),
        "self_attn.o_proj": (M, A),
    }
    if config.ffn == "gated_silu":
        return attention | {
            "mlp.gate_proj": (F, M),
            "mlp.up_proj": (F, M),
            "mlp.down_proj": (M, F),
        }
    return attention | {"mlp.c_fc": (F, M), "mlp.c_proj": (M, F)}


def load_adapter(
    folder: Path, config: ModelConfig, *, base_name: str | None = None, name: str | None = None
) -> LoraAdapter:
    """Read, check and fuse an adapter.

    Args:
        config: of the base model.
        base_name: if given, the last part of the base that the adapter names must equal its last part.
        name: what errors and requests call it; None is the folder's name.

    Raises:
        AdapterError: a file is missing or damaged, or the adapter is for another model or of a kind
            that is not supported; the message names the file and the tensor or field.
    """
    path = folder / CONFIG_NAME
    peft = _read_config(path)
    _check_config(path, peft)
    _check_targets(path, peft, config)
    _check_base(path, peft, base_name)
    path = folder / WEIGHTS_NAME
    pairs = _scaled_pairs(path, _read_factors(path, peft, config), peft)
    shapes = projection_shapes(config)
    layers = tuple(_fuse_layer(pairs.get(i, {}), shapes) for i in range(config.num_layers))
    return LoraAdapter(name or folder.resolve().name, layers)


def _read_config(path: Path) -> PeftConfig:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PeftConfig)
    except OSError as cause:
        raise AdapterError(
            f"{path} is missing; give the folder that PEFT's save_pretrained wrote."
        ) from cause
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise AdapterError(
            f"{path} is not a PEFT configuration ({cause}); save it again."
        ) from cause


def _check_config(path: Path, peft: PeftConfig) -> None:
    """Refuse kinds of adapters that the engine would compute wrongly."""
    refused = {
        f"peft_type {peft.peft_type!r}": peft.peft_type != "LORA",
        f"bias {peft.bias!r}": peft.bias != "none",
        f"modules_to_save {peft.modules_to_save}": bool(peft.modules_to_save),
        f"init_lora_weights {peft.init_lora_weights!r}": peft.init_lora_weights not in KEEPS_BASE,
        **{field: bool(getattr(peft, field)) for field in REFUSED},
    }
    for what, is_set in refused.items():
        if is_set:
            raise AdapterError(f"{path}: {what} is not supported; train a plain LoRA adapter.")
    ranks = [peft.r, *peft.rank_pattern.values()]
    alphas = [peft.lora_alpha, *peft.alpha_pattern.values()]
    if min(ranks) < 1 or not all(map(math.isfinite, alphas)):
        raise AdapterError(f"{path}: ranks must be at least 1 and alphas finite; save it again.")
    for key in (*peft.rank_pattern, *peft.alpha_pattern):
        if not LITERAL_NAME.fullmatch(key):
            raise AdapterError(
                f"{path}: {key!r} in rank_pattern or alpha_pattern is a regular expression, which "
                "is not supported; write out the names of the modules."
            )


def _check_targets(path: Path, peft: PeftConfig, config: ModelConfig) -> None:
    """Every listed target is a projection; an expression is judged by the tensors it produced."""
    if isinstance(peft.target_modules, str) or peft.target_modules is None:
        return
    known = projection_shapes(config)
    for target in peft.target_modules:
        if not any(f".{projection}".endswith(f".{_last(target)}") for projection in known):
            raise AdapterError(
                f"{path}: target module {target!r} cannot be adapted here; train with "
                f"{', '.join(_last(projection) for projection in known)} only."
            )


def _check_base(path: Path, peft: PeftConfig, base_name: str | None) -> None:
    made_for = peft.base_model_name_or_path
    if base_name is None or not made_for:
        return
    if Path(made_for).name.lower() != Path(base_name).name.lower():
        raise AdapterError(
            f"{path}: the adapter was trained on {made_for!r}, not on {base_name!r}; load it with its own base."
        )


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _read_factors(
    path: Path, peft: PeftConfig, config: ModelConfig
) -> dict[tuple[int, str], dict[str, Tensor]]:
    """Return {(layer, projection): {"A": a_RI, "B": b_OR}}, shapes and values checked."""
    if not path.is_file():
        raise AdapterError(
            f"{path} is missing; save the adapter with safe_serialization=True (PEFT's default)."
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as cause:
        raise AdapterError(
            f"{path} is truncated or damaged ({cause}); copy the adapter again."
        ) from cause
    shapes = projection_shapes(config)
    factors: dict[tuple[int, str], dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        match = TENSOR_NAME.fullmatch(name)
        if match is None or match["projection"] not in shapes:
            raise AdapterError(
                f"{path}: {name} adapts no projection of this model; train with "
                f"{', '.join(map(_last, shapes))} only."
            )
        layer, projection, factor = int(match["layer"]), match["projection"], match["factor"]
        if layer >= config.num_layers:
            raise AdapterError(
                f"{path}: {name} is of layer {layer}, but the model has {config.num_layers} layers; "
                "load the adapter with its own base."
            )
        num_out, num_in = shapes[projection]
        rank = _matching(peft.rank_pattern, match["module"], peft.r)
        wanted = (rank, num_in) if factor == "A" else (num_out, rank)
        _check_tensor(path, name, tensor, wanted)
        factors[layer, projection][factor] = tensor.float()
    if not factors:
        raise AdapterError(f"{path} holds no tensors; save the adapter again.")
    return factors


def _check_tensor(path: Path, name: str, tensor: Tensor, wanted: tuple[int, int]) -> None:
    if tuple(tensor.shape) != wanted:
        raise AdapterError(
            f"{path}: {name} has shape {list(tensor.shape)}, the base and the rank need "
            f"{list(wanted)}; load the adapter with its own base."
        )
    if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise AdapterError(f"{path}: {name} is not all finite numbers; train the adapter again.")


def _matching(pattern: dict[str, V], module: str, default: V) -> V:
    """The value of the first key that is the module's name or the end of it."""
    return next(
        (value for key, value in pattern.items() if f".{module}".endswith(f".{key}")), default
    )


def _scaled_pairs(
    path: Path, factors: dict[tuple[int, str], dict[str, Tensor]], peft: PeftConfig
) -> dict[int, dict[str, LoraPair]]:
    """Return {layer: {projection: pair}}, alpha / rank (or / sqrt(rank)) multiplied into B."""
    pairs: dict[int, dict[str, LoraPair]] = defaultdict(dict)
    for (layer, projection), found in factors.items():
        module = f"model.layers.{layer}.{projection}"
        for factor in "AB":
            if factor not in found:
                raise AdapterError(
                    f"{path} lacks base_model.model.{module}.lora_{factor}.weight, the other half of "
                    "its pair; save the adapter again."
                )
        rank = found["A"].shape[0]
        alpha = _matching(peft.alpha_pattern, module, peft.lora_alpha)
        scale = alpha / (math.sqrt(rank) if peft.use_rslora else rank)
        pairs[layer][projection] = LoraPair(found["A"], found["B"] * scale)
    return pairs


def _fuse_layer(pairs: dict[str, LoraPair], shapes: dict[str, tuple[int, int]]) -> LoraLayer:
    ffn_in = [name for name in ("mlp.gate_proj", "mlp.up_proj", "mlp.c_fc") if name in shapes]
    ffn_out = "mlp.down_proj" if "mlp.down_proj" in shapes else "mlp.c_proj"
    qkv = [f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj")]
    return LoraLayer(
        qkv=fuse_pairs([pairs.get(name) for name in qkv], [shapes[name][0] for name in qkv]),
        out=pairs.get("self_attn.o_proj"),
        ffn_in=fuse_pairs([pairs.get(name) for name in ffn_in], [shapes[n][0] for n in ffn_in]),
        ffn_out=pairs.get(ffn_out),
    )


def fuse_pairs(pairs: list[LoraPair | None], num_outs: list[int]) -> LoraPair | None:
    """Join pairs over the same input into one whose B is block-structured; None if all are None."""
    given = [pair for pair in pairs if pair is not None]
    if not given:
        return None
    a_RI = torch.cat([pair.a_RI for pair in given])
    b_OR = torch.zeros(sum(num_outs), a_RI.shape[0])
    row = column = 0
    for pair, num_out in zip(pairs, num_outs, strict=True):
        if pair is not None:
            rank = pair.a_RI.shape[0]
            b_OR[row : row + num_out, column : column + rank] = pair.b_OR
            column += rank
        row += num_out
    return LoraPair(a_RI, b_OR)
