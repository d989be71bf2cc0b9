"""Artifacts: whole or absent, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.artifacts.manifest import Manifest, atomic_folder, read_manifest, seal, verify_files
from paceline.core.errors import ArtifactError


def make(folder: Path) -> Manifest:
    (folder / "a.txt").write_text("hello")
    return seal(folder, Manifest(kind="corpus"))


def test_round_trip_and_verify(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    assert read_manifest(tmp_path, "corpus") == sealed
    verify_files(tmp_path, sealed, is_hashed=True)


def test_truncated_changed_and_missing_files(tmp_path: Path) -> None:
    sealed = make(tmp_path)
    (tmp_path / "a.txt").write_text("hellO")
    verify_files(tmp_path, sealed)
    with pytest.raises(ArtifactError, match=r"a\.txt does not match"):
        verify_files(tmp_path, sealed, is_hashed=True)
    (tmp_path / "a.txt").write_text("hell")
    with pytest.raises(ArtifactError, match=r"a\.txt has 4 bytes instead of 5"):
        verify_files(tmp_path, sealed)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ArtifactError, match=r"a\.txt is missing"):
        verify_files(tmp_path, sealed)


def test_wrong_kind_and_damaged_manifest(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(ArtifactError, match="holds a corpus, not a checkpoint"):
        read_manifest(tmp_path, "checkpoint")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_manifest(tmp_path, "corpus")
    with pytest.raises(ArtifactError, match="no complete corpus"):
        read_manifest(tmp_path / "nowhere", "corpus")


def test_atomic_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "out"
    with atomic_folder(final) as scratch:
        make(scratch)
        assert not final.exists()
    assert (final / "a.txt").read_text() == "hello"
    with pytest.raises(IsADirectoryError), atomic_folder(final) as scratch:
        scratch.write_text("a folder cannot be written as a file")
    assert (final / "a.txt").read_text() == "hello", "the old folder is as it was"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
