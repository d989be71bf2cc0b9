"""A run's folder on disk, and exact resume from it.

RUN/config.json            resolved TrainConfig
RUN/tokenizer.json
RUN/metrics.jsonl          one line a step
RUN/checkpoints/step-000100/{state.pt, manifest.json}    the last two
RUN/model/                 written at the end: config.json, model.safetensors, tokenizer.json, manifest.json
RUN/loss.svg
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from paceline.artifacts.manifest import (
    Manifest,
    atomic_folder,
    read_manifest,
    seal,
    verify_files,
)
from paceline.core.errors import CheckpointError

KEPT_CHECKPOINTS = 2


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the state after `step` steps lies."""
    return run / "checkpoints" / f"step-{step:06d}"


def save_state(run: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the training state after `step` steps; older ones beyond the last two are removed.

    Raises:
        CheckpointError: it could not be written (full disk); the older ones are as they were.
    """
    folder = checkpoint_folder(run, step)
    with atomic_folder(folder) as scratch:
        try:
            torch.save(state, scratch / "state.pt")
        except RuntimeError as cause:  # what torch makes of a short write
            raise CheckpointError(
                f"{folder} could not be written ({cause}); free some space and run the same command "
                "again: it goes on from the checkpoint before."
            ) from cause
        seal(scratch, Manifest(kind="train-state", stats={"step": step}))
    for old in _finished(run)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def latest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    finished = _finished(run)
    return finished[-1] if finished else None


def load_state(folder: Path, device: torch.device) -> dict[str, Any]:
    """Read a state that `save_state` wrote.

    Raises:
        CheckpointError: it is missing, truncated or changed.
    """
    manifest = read_manifest(folder, "train-state", error=CheckpointError)
    verify_files(folder, manifest, is_hashed=True, error=CheckpointError)
    return torch.load(folder / "state.pt", map_location=device, weights_only=True)


def _finished(run: Path) -> list[Path]:
    folders = (run / "checkpoints").glob("step-*")
    return sorted(f for f in folders if f.suffix != ".partial" and (f / "manifest.json").is_file())
