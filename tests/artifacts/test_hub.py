"""Hub names: the cache first, then the network, and one sentence if there is neither."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import pytest

from paceline.artifacts import registry
from paceline.artifacts.hub import fetch_model, is_hub_name
from paceline.artifacts.registry import resolve_model
from paceline.core.errors import CheckpointError


class FakeHub(types.ModuleType):
    """As much of `huggingface_hub` as is used."""

    def __init__(self, folder: Path, *, is_cached: bool, is_online: bool) -> None:
        super().__init__("huggingface_hub")
        self._folder, self._is_cached, self._is_online = folder, is_cached, is_online
        self.calls: list[str] = []

    def snapshot_download(
        self, name: str, *, allow_patterns: tuple[str, ...], local_files_only: bool = False
    ) -> str:
        self.calls.append("cache" if local_files_only else "download")
        if local_files_only and not self._is_cached:
            raise FileNotFoundError(name)
        return str(self._folder)

    def HfApi(self) -> FakeHub:  # noqa: N802 - the client's name
        return self

    def model_info(self, name: str, *, timeout: float) -> None:
        self.calls.append("info")
        if not self._is_online:
            raise ConnectionError("no route\nto host")


def install(monkeypatch: pytest.MonkeyPatch, hub: types.ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshots" / "0123abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_name_is_found_in_the_cache_or_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cached: bool
) -> None:
    hub = FakeHub(model_folder(tmp_path), is_cached=is_cached, is_online=not is_cached)
    install(monkeypatch, hub)
    monkeypatch.setattr(registry, "model_roots", lambda: ())
    found = resolve_model("org/some-model")
    assert (found.model_id, found.path) == ("org/some-model", hub._folder)
    assert hub.calls == (["cache"] if is_cached else ["cache", "info", "download"])


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeHub(tmp_path, is_cached=False, is_online=False))
    with pytest.raises(CheckpointError, match=r"could not be fetched \(no route to host\); give"):
        fetch_model("org/name")


def test_without_the_package_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    with pytest.raises(CheckpointError, match="needs the huggingface_hub package; install it"):
        fetch_model("org/name")


def test_the_real_client_gives_up_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    nowhere = "http://127.0.0.1:9"  # nothing listens on the discard port
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    started_s = time.monotonic()
    with pytest.raises(CheckpointError, match="org/name is no folder here"):
        fetch_model("org/name")
    assert time.monotonic() - started_s < 8


def test_which_names_may_be_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_hub_name("Qwen/Qwen2.5-Coder-0.5B")
    for path in ("model", "./a/b", "/a/b", "a/b/c", "../b", "~/b", "a/", "/b", "a b/c"):
        assert not is_hub_name(path)
    install(monkeypatch, FakeHub(tmp_path, is_cached=False, is_online=False))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(CheckpointError, match="models/typo is no folder; give"):
        resolve_model("models/typo")
