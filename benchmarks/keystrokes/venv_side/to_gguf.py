"""Hugging Face folder (Llama or Qwen3 shape, tied, safetensors) to one GGUF file. Runs in llama.cpp's own venv.

    python to_gguf.py FOLDER OUT.gguf {f16,bf16,q8_0}

Norms stay float32. Llama's query and key rows are interleaved as ggml's RoPE of that family wants them.
The byte-level BPE tokenizer is written along, so that ids mean the same; requests use ids anyway.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
KINDS = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor as float32; bf16 is widened by hand, numpy does not know it."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        kinds = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
        values = np.frombuffer(data[start:end], dtype=kinds[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values.astype(np.float32).reshape(entry["shape"])
    return tensors


def gguf_name(name: str) -> str:
    """ggml's name of a Hugging Face tensor."""
    stem, kind = name.rsplit(".", 1)
    if stem in OUTER_NAMES:
        return f"{OUTER_NAMES[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{BLOCK_NAMES[rest]}.{kind}"


def interleave(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Rows of each head from (first halves, second halves) to pairs."""
    rows, columns = weight.shape
    halves = weight.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def write_header(writer: gguf.GGUFWriter, config: dict[str, Any], kind: str) -> None:
    """Sizes, under the architecture's own prefix."""
    writer.add_name("keystroke benchmark")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(KINDS[kind][1])


def write_tokenizer(writer: gguf.GGUFWriter, raw: dict[str, Any], config: dict[str, Any]) -> None:
    """Byte-level BPE with its merges; special tokens are marked as control."""
    by_id = {token_id: token for token, token_id in raw["model"]["vocab"].items()}
    special = {entry["id"]: entry["content"] for entry in raw["added_tokens"]}
    by_id |= special
    size = config["vocab_size"]
    tokens = [by_id.get(token_id, f"[unused{token_id}]") for token_id in range(size)]
    kinds = [
        gguf.TokenType.CONTROL if token_id in special else gguf.TokenType.NORMAL
        for token_id in range(size)
    ]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in raw["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)


def convert(folder: Path, out: Path, kind: str) -> None:
    """Write `out`."""
    config = json.loads((folder / "config.json").read_text())
    architecture = config["model_type"]
    writer = gguf.GGUFWriter(str(out), architecture)
    write_header(writer, config, kind)
    write_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, tensor in read_safetensors(folder / "model.safetensors").items():
        projection = name.split(".")[-2]
        if architecture == "llama" and projection in heads:
            tensor = interleave(tensor, heads[projection])
        if tensor.ndim == 1:
            writer.add_tensor(gguf_name(name), tensor)
            continue
        packed = gguf.quants.quantize(tensor, KINDS[kind][0])
        writer.add_tensor(gguf_name(name), packed, raw_dtype=KINDS[kind][0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("kind", choices=sorted(KINDS))
    arguments = parser.parse_args()
    partial = arguments.out.with_suffix(".partial")
    convert(arguments.folder, partial, arguments.kind)
    partial.rename(arguments.out)


if __name__ == "__main__":
    main()
