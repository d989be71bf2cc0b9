"""Put a trained model under models/: bf16 weights, tokenizer, bill of materials, model card, manifest.

    .venv/bin/python tools/ship_model.py RUN/model --corpus CORPUS --name NAME [--report EVAL_REPORT]

Evaluate the folder that this writes (its weights are rounded to bf16), then run it again with --report:
the card and the manifest then carry the figures of exactly these weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import torch

from paceline.artifacts.corpus import PackageEntry
from paceline.artifacts.manifest import (
    MANIFEST_NAME,
    Manifest,
    atomic_folder,
    read_manifest,
    seal,
    sha256_of,
)
from paceline.model.checkpoint import load_model, save_model
from paceline.tokenizer.bpe import FILE_NAME

CARD = """---
license: apache-2.0
language: [code]
library_name: transformers
tags: [code-completion, fill-in-the-middle, python]
---
# {name}

A fill-in-the-middle model for Python completion, trained from nothing by this repository on {device}.
{num_parameters:,} parameters ({num_block:,} in {layers} blocks, the rest a tied embedding of {vocab:,} ids), {context:,} tokens of context.
It is small enough to answer every keystroke on a laptop without a GPU, and small enough to be often wrong:
it finishes lines, it does not write programs. It knows Python only.

## Figures
{figures}

## How it was made
    paceline corpus build --recipe python-small --out runs/corpus
    paceline tokenizer train --corpus runs/corpus --vocab-size {vocab} --out runs/tokenizer
    paceline train --recipe {recipe} --corpus runs/corpus --tokenizer runs/tokenizer --out runs/train --steps {steps} --decay-steps {decay}

- {num_tokens:,} tokens in {step:,} steps, {hours:.1f} hours of training time ({torch}); the learning rate decayed over the last {decay:,} steps.
- Shape: Qwen3 (RMSNorm, RoPE, GQA, QK-norm, SwiGLU, tied embeddings); `transformers` loads it unchanged.
- {fim_share:.0%} of samples are fill-in-the-middle, {spm_share:.0%} of these suffix-first; middles: {rest:.0%} rest of line, {lines:.0%} whole lines, the rest random spans.
- Prompt: `<|fim_prefix|><|fim_suffix|>SUFFIX<|fim_middle|>PREFIX` (SPM), or prefix first (PSM); it ends with `<|endoftext|>`.
- Loss over tokens: [loss.svg](loss.svg). Commit {git_sha}; corpus manifest {corpus_sha}.

## Data
Source files of {num_packages} released packages, each permissively licensed by its own metadata and pinned by version and SHA-256
(`packages.json` here; `src/paceline/recipes/python_small.py`). Licences were read per package, not yet per file.
No file of the public evaluation sets was put in; the corpus was not yet searched for copies of them (issue "Corpus").
Secrets and personal data were not yet removed beyond what the packages' own publishers did.

| package | version | licence | split | files | MB |
|---|---|---|---|---:|---:|
{packages}

## Licence
Apache-2.0 for the weights and this card. The licences of the training sources are in the table above.
"""


def main() -> None:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--report", type=Path, help="eval-report folder of the shipped weights")
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--device", default="two CPU cores")
    args = parser.parse_args()
    manifest = read_manifest(args.model, "checkpoint")
    packages = msgspec.json.decode(
        (args.corpus / "packages.json").read_bytes(), type=list[PackageEntry]
    )
    if manifest.parents["corpus"] != sha256_of(args.corpus / MANIFEST_NAME):
        raise SystemExit(f"{args.model} was not trained on {args.corpus}.")
    stats = dict(manifest.stats)
    if stats["step"] < manifest.config["schedule"]["total_steps"]:
        print(f"Note: step {stats['step']} of an unfinished run; ship the finished model instead.")
    figures = "Not evaluated yet."
    if args.report:
        figures = (args.report / "summary.md").read_text(encoding="utf-8").strip()
    with atomic_folder(args.out / args.name) as folder:
        save_model(load_model(args.model), folder, dtype=torch.bfloat16)
        shutil.copyfile(args.model / FILE_NAME, folder / FILE_NAME)
        shutil.copyfile(args.corpus / "packages.json", folder / "packages.json")
        for plot in args.model.parent.glob("loss.svg"):
            shutil.copyfile(plot, folder / plot.name)
        card = render_card(args.name, manifest, packages, figures, args.device)
        (folder / "README.md").write_text(card, encoding="utf-8")
        stats["license"] = "apache-2.0"
        seal(
            folder,
            Manifest(
                kind="checkpoint", config=manifest.config, parents=manifest.parents, stats=stats
            ),
        )
    (args.out / "default").write_text(args.name + "\n", encoding="utf-8")
    size = sum(p.stat().st_size for p in (args.out / args.name).iterdir())
    print(f"{args.out / args.name}: {size / 1e6:.1f} MB")


def render_card(
    name: str, manifest: Manifest, packages: list[PackageEntry], figures: str, device: str
) -> str:
    """The model card."""
    config: dict[str, Any] = manifest.config
    model, data, stats = config["model"], config["data"], manifest.stats
    rows = "\n".join(
        f"| {p.package} | {p.version} | {p.license} | {p.split} | {p.num_files:,} | {p.num_bytes / 1e6:.1f} |"
        for p in packages
    )
    return CARD.format(
        name=name,
        device=device,
        num_parameters=stats["num_parameters"],
        num_block=stats["num_parameters"] - model["vocab_size"] * model["hidden_size"],
        layers=model["num_layers"],
        vocab=model["vocab_size"],
        context=model["context_tokens"],
        figures=figures,
        recipe=config["name"],
        steps=config["schedule"]["total_steps"],
        decay=config["schedule"]["decay_steps"],
        num_tokens=stats["num_tokens"],
        step=stats["step"],
        hours=stats["train_seconds"] / 3600,
        torch=f"PyTorch {stats['torch']}, {json.dumps(stats['device'])}",
        fim_share=data["fim_share"],
        spm_share=data["spm_share"],
        rest=data["rest_of_line_share"],
        lines=data["lines_share"],
        git_sha=manifest.git_sha[:12] or "unknown",
        corpus_sha=manifest.parents["corpus"][:12],
        num_packages=len(packages),
        packages=rows,
    )


if __name__ == "__main__":
    main()
