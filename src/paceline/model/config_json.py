"""`config.json` of Hugging Face checkpoints to `ModelConfig` and back. Free of torch.

What a family has that the forward pass lacks is refused here, with file, field and what is supported,
so that no checkpoint ever loads and then answers wrongly.

Where RoPE is described (first wins): `rope_parameters` (transformers 5), `rope_scaling` (before),
`rope_theta` at the top; the kind is called `rope_type`, formerly `type`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from paceline.core.errors import CheckpointError, ConfigError
from paceline.model.config import Family, ModelConfig, RopeScaling

CONFIG_NAME = "config.json"
GENERATION_NAME = "generation_config.json"

ARCHITECTURES: dict[Family, str] = {
    "qwen3": "Qwen3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
_TIED_BY_DEFAULT: frozenset[Family] = frozenset({"starcoder2"})
_IMPLIED_WINDOW: dict[Family, int | None] = {"mistral": 4096}
"""`sliding_window` of a config.json that does not have the field."""
_MANY = 1 << 31
MAX_CONTEXT_TOKENS = 1 << 22
"""Each position is a row of the RoPE tables. No published model comes near; a slip of the pen does."""


class _Fields:
    """A decoded JSON object whose values are checked as they are taken."""

    def __init__(self, raw: Mapping[str, Any], path: Path, stem: str = "") -> None:
        self.raw, self._path, self._stem = raw, path, stem

    def refuse(self, name: str, wanted: str) -> NoReturn:
        value = json.dumps(self.raw.get(name), default=repr)
        shown = value if len(value) <= 80 else value[:77] + "..."
        raise CheckpointError(f"{self._path}: {self._stem}{name} is {shown}; {wanted}.")

    def given(self, name: str) -> bool:
        return self.raw.get(name) is not None

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number of 1 or more."""
        value = self.raw.get(name)
        if value is None and default is not None:
            return default
        if name not in self.raw:
            raise CheckpointError(
                f"{self._path} lacks the field {self._stem}{name}; copy the model again."
            )
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _MANY:
            self.refuse(name, "it must be a whole number of 1 or more")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number above zero."""
        value = self.raw.get(name)
        if value is None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < math.inf:
            self.refuse(name, "it must be a number above zero")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "it must be true or false")
        return value

    def part(self, name: str) -> _Fields:
        """The object under `name`, empty if there is none."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, "it must be an object")
        return _Fields(cast("dict[str, Any]", value or {}), self._path, f"{name}.")


def read_model_config(folder: Path) -> ModelConfig:
    """Read `config.json` of a checkpoint of one of the five families.

    Raises:
        CheckpointError: the file is missing or damaged, a field has no sensible value, or the model
            needs something that is not supported.
    """
    path = folder / CONFIG_NAME
    fields = _Fields(_read_object(path), path)
    family = _family(fields)
    _refuse_what_is_unsupported(fields, family)
    num_heads = fields.count("num_attention_heads")
    hidden_size = fields.count("hidden_size")
    is_starcoder = family == "starcoder2"
    attention_bias = fields.flag(*_bias_field(family, "attention"))
    try:
        return ModelConfig(
            family=family,
            vocab_size=fields.count("vocab_size"),
            hidden_size=hidden_size,
            num_layers=fields.count("num_hidden_layers"),
            num_heads=num_heads,
            num_kv_heads=fields.count("num_key_value_heads", num_heads),
            head_dim=_head_dim(fields, family, hidden_size, num_heads),
            ffn_size=fields.count("intermediate_size"),
            context_tokens=_context_tokens(fields),
            rope_theta=_rope_theta(fields),
            rope_scaling=_rope_scaling(fields),
            norm_eps=fields.number("norm_epsilon", 1e-5)
            if is_starcoder
            else fields.number("rms_norm_eps", 1e-6),
            end_token_id=next(iter(_end_ids(fields)), 0),
            norm="layer" if is_starcoder else "rms",
            ffn="gelu_tanh" if is_starcoder else "gated_silu",
            has_qk_norm=family == "qwen3",
            has_qkv_bias=family == "qwen2" or attention_bias,
            has_out_bias=attention_bias,
            has_ffn_bias=fields.flag(*_bias_field(family, "ffn")),
            is_tied=fields.flag("tie_word_embeddings", family in _TIED_BY_DEFAULT),
            sliding_window_tokens=_sliding_window(fields, family),
        )
    except ConfigError as cause:
        raise CheckpointError(f"{path}: {cause}") from cause


def end_token_ids(folder: Path) -> frozenset[int]:
    """All ids that end a text, of `config.json` and `generation_config.json` (which may be missing).

    Raises:
        CheckpointError: a file is damaged, or an id is no whole number.
    """
    found: set[int] = set()
    for name in (CONFIG_NAME, GENERATION_NAME):
        path = folder / name
        if path.is_file():
            found.update(_end_ids(_Fields(_read_object(path), path)))
    return frozenset(found)


def to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """The `config.json` with which `transformers` loads the same model."""
    family = config.family
    is_starcoder = family == "starcoder2"
    raw: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_tokens,
        "rope_theta": config.rope_theta,
        "norm_epsilon" if is_starcoder else "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu" if config.ffn == "gated_silu" else "gelu_pytorch_tanh",
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.is_tied,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": config.end_token_id,
        "pad_token_id": config.end_token_id,
        "torch_dtype": "float32",
    }
    if family in ("qwen3", "llama"):
        raw["attention_bias"] = config.has_out_bias
    if family == "llama":
        raw["mlp_bias"] = config.has_ffn_bias
    if is_starcoder:
        raw["use_bias"] = config.has_ffn_bias
    if config.rope_scaling is not None:
        raw["rope_scaling"] = _scaling_to_hugging_face(config.rope_scaling)
    if family in ("qwen2", "qwen3"):
        raw["use_sliding_window"] = config.sliding_window_tokens is not None
        if config.sliding_window_tokens is not None:
            raw["max_window_layers"] = 0
    if config.sliding_window_tokens is not None or family in _IMPLIED_WINDOW:
        raw["sliding_window"] = config.sliding_window_tokens
    return raw


def _read_object(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise CheckpointError(
            f"{path} is missing; give a folder with config.json and weights."
        ) from cause
    except (ValueError, RecursionError) as cause:
        raise CheckpointError(f"{path} is not JSON ({cause}); copy the model again.") from cause
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a JSON object; copy the model again.")
    return cast("dict[str, Any]", raw)


def _family(fields: _Fields) -> Family:
    family = cast("Family", str(fields.raw.get("model_type")))
    if family not in ARCHITECTURES:
        fields.refuse("model_type", f"supported are {', '.join(ARCHITECTURES)}")
    return family


def _refuse_what_is_unsupported(fields: _Fields, family: Family) -> None:
    if fields.given("quantization_config"):
        fields.refuse(
            "quantization_config",
            "quantised weights are not read, so give the bf16 or fp32 original",
        )
    activation = "gelu_pytorch_tanh" if family == "starcoder2" else "silu"
    if fields.raw.get("hidden_act", activation) != activation:
        fields.refuse("hidden_act", f"{family} is supported with {activation} only")
    if fields.number("partial_rotary_factor", 1.0) != 1.0:
        fields.refuse("partial_rotary_factor", "RoPE is supported on whole heads only")


def _bias_field(family: Family, part: str) -> tuple[str, bool]:
    """Name and default of the field that says whether a part has biases; "" is never in a file."""
    if family == "starcoder2":
        return "use_bias", True
    if part == "ffn":
        return ("mlp_bias" if family == "llama" else ""), False
    return ("attention_bias" if family in ("llama", "qwen3") else ""), False


def _head_dim(fields: _Fields, family: Family, hidden_size: int, num_heads: int) -> int:
    if not fields.given("head_dim") and hidden_size % num_heads:
        fields.refuse("num_attention_heads", f"it must divide hidden_size, which is {hidden_size}")
    implied = 128 if family == "qwen3" else hidden_size // num_heads
    return fields.count("head_dim", implied)


def _context_tokens(fields: _Fields) -> int:
    count = fields.count("max_position_embeddings")
    if count > MAX_CONTEXT_TOKENS:
        fields.refuse("max_position_embeddings", f"supported are at most {MAX_CONTEXT_TOKENS}")
    return count


def _end_ids(fields: _Fields) -> list[int]:
    """The ids of `eos_token_id`: a number, a list of numbers, or none."""
    value = fields.raw.get("eos_token_id")
    values = cast("list[Any]", value if isinstance(value, list) else [value])
    ids = [item for item in values if isinstance(item, int) and not isinstance(item, bool)]
    is_good = value is None or (len(ids) == len(values) and all(0 <= item < _MANY for item in ids))
    if not is_good:
        fields.refuse("eos_token_id", "it must be an id or a list of ids")
    return ids


def _sliding_window(fields: _Fields, family: Family) -> int | None:
    """The one window of all layers, or None."""
    if family == "llama":
        return None
    if family in ("qwen2", "qwen3") and not _slides_everywhere(fields):
        return None
    if "sliding_window" not in fields.raw:
        return _IMPLIED_WINDOW.get(family)
    return fields.count("sliding_window") if fields.given("sliding_window") else None


def _slides_everywhere(fields: _Fields) -> bool:
    """Does a Qwen model use its window, in all layers? In some layers only is refused."""
    if not fields.flag("use_sliding_window", False):
        return False
    first = fields.raw.get("max_window_layers", 28)
    if not isinstance(first, int) or isinstance(first, bool):
        fields.refuse("max_window_layers", "it must be a whole number")
    num_layers = fields.count("num_hidden_layers")
    kinds = fields.raw.get("layer_types")
    if kinds is None:
        kinds = ["sliding_attention" if i >= first else "full_attention" for i in range(num_layers)]
    if kinds == ["full_attention"] * num_layers:
        return False
    if kinds != ["sliding_attention"] * num_layers:
        name = "layer_types" if fields.given("layer_types") else "max_window_layers"
        fields.refuse(name, "a sliding window is supported in all layers or in none")
    return True


def _rope(fields: _Fields) -> _Fields:
    name = "rope_parameters" if fields.given("rope_parameters") else "rope_scaling"
    return fields.part(name)


def _rope_theta(fields: _Fields) -> float:
    holder = _rope(fields) if _rope(fields).given("rope_theta") else fields
    theta = holder.number("rope_theta", 10_000.0)
    if theta <= 1.0:
        holder.refuse("rope_theta", "it must be above 1")
    return theta


def _rope_scaling(fields: _Fields) -> RopeScaling | None:
    """How RoPE is stretched.

    Source: `modeling_rope_utils.py` of transformers 5.
    """
    rope = _rope(fields)
    name = "rope_type" if rope.given("rope_type") else "type"
    kind = rope.raw.get(name, "default")
    if kind == "default":
        return None
    if kind not in ("linear", "dynamic", "llama3", "yarn"):
        rope.refuse(name, "supported are default, linear, dynamic, llama3 and yarn")
    if rope.number("partial_rotary_factor", 1.0) != 1.0:
        rope.refuse("partial_rotary_factor", "RoPE is supported on whole heads only")
    if not rope.flag("truncate", True):
        rope.refuse("truncate", "yarn is supported with whole-numbered bounds (true) only")
    context = fields.count("max_position_embeddings")
    original = fields.count(
        "original_max_position_embeddings", rope.count("original_max_position_embeddings", context)
    )
    factor = rope.number("factor", context / original if kind == "yarn" else 0.0)
    if not factor:
        rope.refuse("factor", "it must be a number above zero")
    low, high = rope.number("low_freq_factor", 1.0), rope.number("high_freq_factor", 4.0)
    if kind == "llama3" and high <= low:
        rope.refuse("high_freq_factor", f"it must be above low_freq_factor, which is {low}")
    return RopeScaling(
        kind=kind,
        factor=factor,
        original_context_tokens=original,
        low_freq_factor=low,
        high_freq_factor=high,
        beta_fast=rope.number("beta_fast", 32.0),
        beta_slow=rope.number("beta_slow", 1.0),
        attention_factor=_attention_factor(rope, factor) if kind == "yarn" else None,
    )


def _attention_factor(rope: _Fields, factor: float) -> float | None:
    if rope.given("attention_factor"):
        return rope.number("attention_factor", 1.0)
    if not (rope.given("mscale") and rope.given("mscale_all_dim")):
        return None
    return yarn_attention_factor(factor, rope.number("mscale", 1.0)) / yarn_attention_factor(
        factor, rope.number("mscale_all_dim", 1.0)
    )


def yarn_attention_factor(factor: float, scale: float = 1.0) -> float:
    """What yarn multiplies cos and sin with (Peng et al. 2023, arXiv:2309.00071, eq. 22)."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def _scaling_to_hugging_face(scaling: RopeScaling) -> dict[str, Any]:
    raw: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        raw["original_max_position_embeddings"] = scaling.original_context_tokens
    if scaling.kind == "llama3":
        raw["low_freq_factor"] = scaling.low_freq_factor
        raw["high_freq_factor"] = scaling.high_freq_factor
    if scaling.kind == "yarn":
        raw["beta_fast"], raw["beta_slow"] = scaling.beta_fast, scaling.beta_slow
        if scaling.attention_factor is not None:
            raw["attention_factor"] = scaling.attention_factor
    return raw
