"""The two models that are measured, in the file formats that the engines read.

    shipped   models/paceline-python-6m: Qwen3 shape, its greedy output means something
    random    62 M random weights, Llama shape, 16,384 ids: the size at which memory bandwidth counts

Formats: a Hugging Face folder in bf16 (paceline, vLLM) and GGUF in f16, bf16 and q8_0 (llama.cpp,
OpenVINO GenAI). Everything is made once, in the work folder, from the same bf16 weights.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from paceline.tokenizer.bpe import Tokenizer, train_tokenizer
from paceline.traces.sources import FILES, standard_library

ROOT = Path(__file__).resolve().parents[2]
GGUF_KINDS = ("f16", "bf16", "q8_0")
RANDOM_SEED = 62
RANDOM_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 16384,
    "hidden_size": 640,
    "intermediate_size": 1728,
    "num_hidden_layers": 12,
    "num_attention_heads": 10,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}


class BenchModel(NamedTuple):
    """One model in all formats."""

    name: str
    folder: Path
    """Hugging Face layout."""
    gguf_folder: Path
    """`<kind>.gguf` for each of GGUF_KINDS, once `make_gguf` has run."""

    def gguf(self, kind: str) -> Path:
        """The GGUF file of that kind."""
        return self.gguf_folder / f"{kind}.gguf"

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""
        return Tokenizer.load(self.folder / "tokenizer.json")


def shipped_model(work: Path) -> BenchModel:
    """The default model of this repository, with a tokenizer_config.json beside it that vLLM asks for."""
    folder = work / "models/shipped"
    folder.mkdir(parents=True, exist_ok=True)
    source = ROOT / "models/paceline-python-6m"
    for path in source.iterdir():
        if path.is_file() and not (folder / path.name).exists():
            (folder / path.name).write_bytes(path.read_bytes())
    _write_tokenizer_config(folder)
    return BenchModel("shipped", folder, work / "models/shipped-gguf")


def random_model(work: Path) -> BenchModel:
    """62 M random weights in bf16; made once, the same in every run."""
    folder = work / "models/random"
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts = [document.text for document in standard_library(len(FILES))]
        train_tokenizer(texts * 2, vocab_size=RANDOM_CONFIG["vocab_size"]).save(
            folder / "tokenizer.json"
        )
        (folder / "config.json").write_text(json.dumps(RANDOM_CONFIG, indent=1))
        _write_random_weights(folder / "model.safetensors")
    _write_tokenizer_config(folder)
    return BenchModel("random", folder, work / "models/random-gguf")


def make_gguf(model: BenchModel, python: Path) -> None:
    """Write the GGUF files that are missing, with the `gguf` package of that interpreter."""
    model.gguf_folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).parent / "venv_side/to_gguf.py"
    for kind in GGUF_KINDS:
        if not model.gguf(kind).exists():
            subprocess.run([python, script, model.folder, model.gguf(kind), kind], check=True)


def random_shapes() -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of RANDOM_CONFIG, in Hugging Face's Llama layout."""
    width, ffn = RANDOM_CONFIG["hidden_size"], RANDOM_CONFIG["intermediate_size"]
    keys = RANDOM_CONFIG["num_key_value_heads"] * RANDOM_CONFIG["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (RANDOM_CONFIG["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for layer in range(RANDOM_CONFIG["num_hidden_layers"]):
        block: dict[str, tuple[int, ...]] = {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (width, width),
            "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width),
            "self_attn.o_proj": (width, width),
            "mlp.gate_proj": (ffn, width),
            "mlp.up_proj": (ffn, width),
            "mlp.down_proj": (width, ffn),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def spread_of(name: str) -> float:
    """Standard deviation of a weight. Sharp attention makes the output depend on the context, as text does:

    with 0.02 everywhere the model repeats one token for ever, which would flatter engines that guess ahead.
    """
    return 0.1 if "q_proj" in name or "k_proj" in name else 0.02


def _write_random_weights(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(RANDOM_SEED)
    tensors = {
        name: torch.ones(shape)
        if len(shape) == 1
        else spread_of(name) * torch.randn(shape, generator=generator)
        for name, shape in random_shapes().items()
    }
    partial = path.with_suffix(".partial")
    save_file(
        {name: t.to(torch.bfloat16) for name, t in tensors.items()}, partial, {"format": "pt"}
    )
    partial.rename(path)


def _write_tokenizer_config(folder: Path) -> None:
    entry = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(entry))
