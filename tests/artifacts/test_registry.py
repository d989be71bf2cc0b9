"""Finding model folders: where, in which order, and what is wrong with a damaged one."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from paceline.artifacts import registry
from paceline.artifacts.manifest import Manifest, seal
from paceline.artifacts.registry import find_models, model_roots, read_model_folder, resolve_model
from paceline.core.errors import CheckpointError, UnknownModelError


def write_model(root: Path, name: str, *, shape: tuple[int, int] = (3, 4)) -> Path:
    """A folder that looks like a model: one float32 tensor in safetensors form."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 128}))
    (folder / "tokenizer.json").write_text("{}")
    size = shape[0] * shape[1] * 4
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]},
        }
    ).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(size)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two roots named by PACELINE_MODELS, and neither the user's nor the shipped models."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("PACELINE_MODELS", f"{first}:{second}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(registry, "_shipped_root", lambda: tmp_path / "shipped")
    return first, second


def test_roots_in_order(roots: tuple[Path, Path], tmp_path: Path) -> None:
    data = tmp_path / "data" / "paceline" / "models"
    assert model_roots() == (*roots, data, tmp_path / "shipped")


def test_a_checkout_ships_its_models_folder() -> None:
    shipped = registry._shipped_root()
    assert shipped.name == "models"
    assert (shipped.parent / "pyproject.toml").is_file()


def test_first_of_equal_names_wins_and_the_default_leads(
    roots: tuple[Path, Path], tmp_path: Path
) -> None:
    write_model(roots[0], "b")
    write_model(roots[1], "b")
    write_model(tmp_path / "shipped", "a")
    write_model(tmp_path / "data" / "paceline" / "models", "c")
    (roots[0] / "not-a-model").mkdir()
    (tmp_path / "shipped" / "default").write_text("a\n")
    models = find_models()
    assert [model.model_id for model in models] == ["a", "b", "c"]
    assert models[1].path == roots[0] / "b"
    assert resolve_model() == models[0]
    assert resolve_model("b") == models[1]


def test_figures_come_from_the_small_files(roots: tuple[Path, Path]) -> None:
    folder = write_model(roots[0], "m")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Card\n")
    (model,) = find_models()
    assert (model.num_parameters, model.context_tokens, model.problem) == (12, 128, "")
    assert model.license == "apache-2.0"
    assert model.num_bytes == (folder / "model.safetensors").stat().st_size
    seal(folder, Manifest(kind="checkpoint", stats={"license": "MIT"}))
    assert read_model_folder(folder).license == "MIT"


def test_a_root_may_be_a_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m")
    assert [model.model_id for model in find_models((folder,))] == ["m"]


def test_by_path(roots: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "elsewhere", "m")
    assert resolve_model(str(folder)).path == folder
    monkeypatch.chdir(folder.parent)
    assert resolve_model("./m").path == folder
    assert resolve_model("m").path == folder


def test_what_is_not_there(roots: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="paceline train"):
        resolve_model()
    write_model(roots[0], "m")
    with pytest.raises(UnknownModelError, match="known models: m"):
        resolve_model("n")
    with pytest.raises(CheckpointError, match="is no folder"):
        resolve_model(str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="is no model folder"):
        resolve_model(str(tmp_path))


def test_damage_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:20], whole[:4], b"\xff" * 64, b"",
                    (2).to_bytes(8, "little") + b"[]", (4).to_bytes(8, "little") + b'{"a"'):  # fmt: skip
        weights.write_bytes(damaged)
        problem = read_model_folder(folder).problem
        assert str(weights) in problem
        assert "copy the model again" in problem
    weights.unlink()
    assert "no weights" in read_model_folder(folder).problem
    weights.write_bytes(whole)
    (folder / "config.json").write_text("{")
    assert "config.json" in read_model_folder(folder).problem
    (folder / "manifest.json").write_text("{")
    assert msgspec.json.encode(read_model_folder(folder), enc_hook=str)
