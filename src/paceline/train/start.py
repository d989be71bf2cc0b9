"""Open or resume a run folder, train, and write the finished model."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import torch

from paceline.artifacts.corpus import open_corpus, read_documents, read_packages
from paceline.artifacts.manifest import MANIFEST_NAME, Manifest, atomic_folder, seal, sha256_of
from paceline.core.errors import CheckpointError, ConfigError
from paceline.core.progress import Progress
from paceline.model.checkpoint import save_model
from paceline.model.decoder import CausalLm
from paceline.prompt.fim import fim_ids
from paceline.tokenizer.bpe import FILE_NAME, Tokenizer
from paceline.train.checkpointing import latest_checkpoint, load_state
from paceline.train.config import TrainConfig
from paceline.train.data import IGNORED, RowSource
from paceline.train.loop import Batch, Trainer, batch_tensors, run
from paceline.train.metrics import plot_loss, read_metrics
from paceline.train.optimiser import build_optimisers


def train(
    config: TrainConfig,
    *,
    corpus: Path,
    tokenizer_path: Path,
    folder: Path,
    branch_from: Path | None = None,
    progress: Progress,
) -> Path | None:
    """Train `config` in the run folder `folder`; return the model folder, or None if interrupted.

    A folder that holds an earlier part of the same run is resumed. `branch_from` starts a new run
    from another run's newest checkpoint (for example to decay the learning rate early).

    Raises:
        ConfigError: the folder holds a run of another config.
        CorpusError, CheckpointError: an input is damaged.
    """
    tokenizer = Tokenizer.load(tokenizer_path)
    config = fit_vocabulary(config, tokenizer)
    open_run(folder, config, tokenizer_path)
    if config.num_threads:
        torch.set_num_threads(config.num_threads * config.num_workers)
    trainer, heldout, bytes_per_label = prepare(config, corpus, tokenizer)
    source = latest_checkpoint(folder) or (latest_checkpoint(branch_from) if branch_from else None)
    if source is not None:
        trainer.load_state_dict(load_state(source, trainer.device))
    is_done = run(
        trainer,
        folder,
        heldout=heldout,
        heldout_bytes_per_label=bytes_per_label,
        progress=progress,
    )
    plot_loss(read_metrics(folder / "metrics.jsonl"), folder / "loss.svg")
    if not is_done:
        return None
    return export(trainer.model, config, trainer.step, folder, corpus)


def export_newest(folder: Path, *, corpus: Path) -> Path:
    """Write RUN/model from the newest checkpoint of a run, whether it still goes on or not.

    Raises:
        CheckpointError: the folder has no checkpoint yet.
    """
    source = latest_checkpoint(folder)
    if source is None:
        raise CheckpointError(f"{folder} has no checkpoint yet; train first.")
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=TrainConfig)
    state = load_state(source, torch.device("cpu"))
    model = CausalLm(config.model)
    model.load_state_dict(state["model"])
    return export(model, config, state["step"], folder, corpus)


def fit_vocabulary(config: TrainConfig, tokenizer: Tokenizer) -> TrainConfig:
    """Refuse a tokenizer with more ids than the model; note the end-of-text id in the config."""
    if tokenizer.vocab_size > config.model.vocab_size:
        raise ConfigError(
            f"The tokenizer has {tokenizer.vocab_size} ids, but the recipe's model only "
            f"{config.model.vocab_size}; train a tokenizer of that size."
        )
    model = msgspec.structs.replace(config.model, end_token_id=fim_ids(tokenizer).end)
    return msgspec.structs.replace(config, model=model)


def open_run(folder: Path, config: TrainConfig, tokenizer_path: Path) -> None:
    """Create the run folder, or check that it belongs to the same run.

    The schedule, the device and the numbers of threads and workers may change between its parts.
    """
    path = folder / "config.json"
    if path.exists():
        before = msgspec.json.decode(path.read_bytes(), type=TrainConfig)
        allowed = {
            "schedule": config.schedule,
            "num_threads": config.num_threads,
            "num_workers": config.num_workers,
            "device": config.device,
        }
        if msgspec.structs.replace(before, **allowed) != config:
            raise ConfigError(
                f"{folder} holds a run of another configuration; choose another --out."
            )
        if sha256_of(folder / FILE_NAME) != sha256_of(tokenizer_path):
            raise ConfigError(f"{folder} holds a run with another tokenizer; choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tokenizer_path, folder / FILE_NAME)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=1))


def prepare(
    config: TrainConfig, corpus: Path, tokenizer: Tokenizer
) -> tuple[Trainer, list[Batch], float]:
    """Return the trainer, the fixed held-out batches, and bytes of text per held-out label."""
    texts = [document.text for document in read_documents(corpus, "train")]
    heldout_texts = [document.text for document in read_documents(corpus, "heldout")]
    rows = RowSource(texts, tokenizer, config.data, config.seed)
    held_rows = RowSource(heldout_texts, tokenizer, config.data, config.seed)
    size = config.rows_per_pass
    heldout = [batch_tensors(held_rows, start, size) for start in range(0, config.eval_rows, size)]
    labels = [int(i) for _, batch in heldout for i in batch.flatten() if i != IGNORED]
    is_cuda = torch.cuda.is_available() and config.device != "cpu"
    device = torch.device("cuda" if is_cuda or config.device == "cuda" else "cpu")
    model = CausalLm(config.model)
    model.initialise(config.seed)
    model.to(device)
    trainer = Trainer(model, build_optimisers(model, config.optimiser), rows, config)
    return trainer, heldout, len(tokenizer.decode(labels).encode()) / len(labels)


def export(model: CausalLm, config: TrainConfig, step: int, folder: Path, corpus: Path) -> Path:
    """Write RUN/model: weights, tokenizer and manifest, whole or not at all."""
    out = folder / "model"
    metrics = [m for m in read_metrics(folder / "metrics.jsonl") if m.step < step]
    held = [m.heldout_bits_per_byte for m in metrics if m.heldout_bits_per_byte is not None]
    stats = {
        "step": step,
        "num_tokens": step * config.tokens_per_step,
        "num_parameters": config.model.num_parameters,
        "train_seconds": round(sum(m.elapsed_s for m in metrics)),
        "final_loss": metrics[-1].loss if metrics else None,
        "heldout_bits_per_byte": held[-1] if held else None,
        "device": next(model.parameters()).device.type,
        "torch": str(torch.__version__),
        "train_packages": list(read_packages(corpus, "train")),
        "languages": [open_corpus(corpus).config.get("language", "python")],
    }
    parents = {"corpus": sha256_of(corpus / MANIFEST_NAME)}
    manifest = Manifest(
        kind="checkpoint", config=msgspec.to_builtins(config), parents=parents, stats=stats
    )
    with atomic_folder(out) as scratch:
        save_model(model, scratch)
        shutil.copyfile(folder / FILE_NAME, scratch / FILE_NAME)
        seal(scratch, manifest)
    return out
