"""`paceline tokenizer train`: corpus -> tokenizer.json."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train tokenizers.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the group to the CLI."""
    root.add_typer(app, name="tokenizer", rich_help_panel="Make a model")


@app.callback()
def tokenizer() -> None:
    """Train tokenizers."""


@app.command()
def train(
    corpus: Annotated[Path, typer.Option(help="Corpus folder.")] = Path("runs/corpus"),
    out: Annotated[Path, typer.Option(help="Tokenizer folder to write.")] = Path("runs/tokenizer"),
    vocab_size: Annotated[int, typer.Option(help="Ids, special tokens included.", min=512)] = 8192,
    sample_mb: Annotated[int, typer.Option(help="Text to learn from, MB.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Which files are in the sample.")] = 0,
) -> None:
    """Train byte-level BPE on a random sample of the corpus's training split.

    Example: paceline tokenizer train --corpus runs/corpus --vocab-size 8192 --out runs/tokenizer
    """
    from paceline.artifacts.corpus import read_documents
    from paceline.artifacts.manifest import MANIFEST_NAME, Manifest, atomic_folder, seal, sha256_of
    from paceline.tokenizer.bpe import FILE_NAME, train_tokenizer

    texts = [document.text for document in read_documents(corpus, "train")]
    random.Random(seed).shuffle(texts)
    sample, num_chars = list[str](), 0
    for text in texts:
        if num_chars >= sample_mb * 1_000_000:
            break
        sample.append(text)
        num_chars += len(text)
    trained = train_tokenizer(sample, vocab_size=vocab_size, is_progress_shown=True)
    with atomic_folder(out) as folder:
        trained.save(folder / FILE_NAME)
        config = {"vocab_size": vocab_size, "sample_mb": sample_mb, "seed": seed}
        parents = {"corpus": sha256_of(corpus / MANIFEST_NAME)}
        seal(folder, Manifest(kind="tokenizer", config=config, parents=parents))
    typer.echo(f"Tokenizer: {out / FILE_NAME} ({trained.vocab_size} ids)")
