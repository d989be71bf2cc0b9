"""Where model folders are, and what can be said of one without loading it. Free of torch.

Roots, in order of precedence:
    PACELINE_MODELS                      folders of models, or model folders, joined as PATH is
    $XDG_DATA_HOME/paceline/models       the user's own (~/.local/share when unset)
    models/ of the checkout, or paceline/_models of an installed wheel

A model folder has config.json and tokenizer.json; its name is the model_id. The file `default` in a
root names the model that is used when none is asked for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

import msgspec

from paceline.artifacts.hub import fetch_model, is_hub_name
from paceline.artifacts.manifest import MANIFEST_NAME, Manifest
from paceline.core.errors import CheckpointError, UnknownModelError

CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"
WEIGHTS_PATTERN = "*.safetensors"
DEFAULT_NAME = "default"
CARD_NAME = "README.md"
MAX_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format for its header."""


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """One model on disk, as far as its small files tell."""

    model_id: str
    path: Path
    num_parameters: int = 0
    context_tokens: int = 0
    license: str = ""
    languages: tuple[str, ...] = ()
    """What it was trained on, as its manifest says; empty if it does not."""
    num_bytes: int = 0
    problem: str = ""
    """Why it cannot be served; empty if nothing is wrong at first sight."""


def model_roots() -> tuple[Path, ...]:
    """The folders that are searched, in order; they need not exist."""
    parts = os.environ.get("PACELINE_MODELS", "").split(os.pathsep)
    named = [Path(part).expanduser() for part in parts if part]
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return (*named, Path(home) / "paceline" / "models", _shipped_root())


def _shipped_root() -> Path:
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    is_checkout = package.parent.name == "src" and (checkout / "pyproject.toml").is_file()
    return checkout / "models" if is_checkout else package / "_models"


def is_model_folder(path: Path) -> bool:
    """Has `path` the two files that make a folder a model?"""
    return (path / CONFIG_NAME).is_file() and (path / TOKENIZER_NAME).is_file()


def find_models(roots: tuple[Path, ...] | None = None) -> tuple[ModelFolder, ...]:
    """Every model of every root; the default first, and the first of two equal names wins."""
    found: dict[str, ModelFolder] = {}
    default = ""
    for root in model_roots() if roots is None else roots:
        default = default or _default_name(root)
        for path in _model_folders(root):
            if path.name not in found:
                found[path.name] = read_model_folder(path)
    return tuple(sorted(found.values(), key=lambda model: model.model_id != default))


def _model_folders(root: Path) -> list[Path]:
    try:
        folders = [root] if is_model_folder(root) else sorted(root.iterdir())
    except OSError:
        return []
    return [path.absolute() for path in folders if is_model_folder(path)]


def _default_name(root: Path) -> str:
    try:
        return (root / DEFAULT_NAME).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def resolve_model(name_or_path: str | None = None) -> ModelFolder:
    """Find a model by name or by path; None is the default one.

    A name of the form `org/name` that is no folder is looked up on the Hugging Face hub (its cache,
    then the network).

    Raises:
        UnknownModelError: no model has that name, and it is no path.
        CheckpointError: the path is no model folder, the hub has none, or there is no model at all.
    """
    models = find_models()
    for model in models:
        if name_or_path in (None, model.model_id):
            return model
    if name_or_path is None:
        raise CheckpointError(
            "No model found; run `paceline train` to make one, or give a model folder with --model PATH."
        )
    path = Path(name_or_path).expanduser()
    is_path = os.sep in name_or_path or name_or_path.startswith((".", "~")) or path.is_dir()
    if not is_path:
        known = tuple(model.model_id for model in models)
        raise UnknownModelError(model_id=name_or_path, known=known)
    is_hub = not path.exists() and not path.parent.is_dir() and is_hub_name(name_or_path)
    if is_hub:
        path = fetch_model(name_or_path)
    if not is_model_folder(path):
        what = "is no model folder" if path.is_dir() else "is no folder"
        raise CheckpointError(
            f"{path} {what}; give a folder with {CONFIG_NAME}, {TOKENIZER_NAME} and weights."
        )
    folder = read_model_folder(path.absolute())
    return msgspec.structs.replace(folder, model_id=name_or_path) if is_hub else folder


def read_model_folder(path: Path) -> ModelFolder:
    """Describe the model in `path` from its config, manifest, card and weight headers."""
    try:
        num_parameters, num_bytes = _read_weights(path)
        config = _read_config(path)
        problem = ""
    except CheckpointError as error:
        num_parameters, num_bytes, config, problem = 0, 0, {}, str(error)
    context = config.get("max_position_embeddings", 0)
    return ModelFolder(
        model_id=path.name,
        path=path,
        num_parameters=num_parameters,
        context_tokens=context if isinstance(context, int) else 0,
        license=_read_license(path),
        languages=_read_languages(path),
        num_bytes=num_bytes,
        problem=problem,
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode((path / CONFIG_NAME).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as cause:
        raise CheckpointError(f"{path / CONFIG_NAME} cannot be read ({cause}).") from cause


def _read_weights(path: Path) -> tuple[int, int]:
    """Return (parameters, bytes) of all weight files, from their headers."""
    files = sorted(path.glob(WEIGHTS_PATTERN))
    if not files:
        raise CheckpointError(f"{path} has no weights ({WEIGHTS_PATTERN}).")
    return (
        sum(_count_parameters(file) for file in files),
        sum(file.stat().st_size for file in files),
    )


def _count_parameters(file: Path) -> int:
    """Count the numbers in a safetensors file: 8 bytes of header length, a JSON header, the data."""
    size = file.stat().st_size
    with file.open("rb") as raw:
        header_bytes = int.from_bytes(raw.read(8), "little")
        if size < 8 or header_bytes > min(size - 8, MAX_HEADER_BYTES):
            raise CheckpointError(f"{file} is truncated; copy the model again.")
        header_json = raw.read(header_bytes)
    try:
        header = msgspec.json.decode(header_json, type=dict[str, dict[str, Any]])
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for entry in tensors), default=0)
        shapes = [cast("list[int]", entry["shape"]) for entry in tensors]
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError) as cause:
        raise CheckpointError(f"{file} is damaged ({cause}); copy the model again.") from cause
    if size != 8 + header_bytes + end:
        raise CheckpointError(
            f"{file} has {size} bytes instead of {8 + header_bytes + end}; copy the model again."
        )
    return sum(_product(shape) for shape in shapes)


def _product(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _read_license(path: Path) -> str:
    """The licence that the manifest or the front matter of the card states; empty if neither does."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST_NAME).read_bytes(), type=Manifest)
        stated = manifest.stats.get("license") or manifest.config.get("license")
        if isinstance(stated, str):
            return stated
    except (OSError, msgspec.MsgspecError):
        pass
    try:
        card = (path / CARD_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    front = card.split("\n---", 1)[0] if card.startswith("---") else ""
    match = re.search(r"^license:\s*(\S+)", front, re.MULTILINE)
    return match[1] if match else ""


def _read_languages(path: Path) -> tuple[str, ...]:
    """The languages that the manifest states; none if there is no readable manifest."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return ()
    stated: Any = manifest.stats.get("languages")
    return tuple(cast(list[str], stated)) if isinstance(stated, list) else ()
