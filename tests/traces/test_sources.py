"""Real changes from git and from releases: what is taken, what is left out."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from paceline.artifacts.manifest import sha256_of
from paceline.core.errors import ConfigError
from paceline.core.types import Document
from paceline.recipes.python_small import python_small
from paceline.recipes.replay_python import replay_python
from paceline.traces.changes import Change, reason_to_skip, typed_changes
from paceline.traces.git_history import HistoryConfig, git_changes
from paceline.traces.releases import Release, ReleasePair, ReplayRecipe, release_changes
from paceline.traces.sample import sample_traces
from paceline.traces.types import final_text

CODE = "def area(width, height):\n    return width * height\n"
WIDER = CODE + "\n\ndef double(area):\n    return 2 * area\n"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a b é.py").write_text(CODE)
    (folder / "moved.py").write_text(CODE * 3)
    (folder / "notes.txt").write_text("x\n")
    (folder / "latin.py").write_bytes(b"# \xe9\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    (folder / "a b é.py").write_bytes(WIDER.replace("\n", "\r\n").encode())
    (folder / "notes.txt").write_text("y\n")
    (folder / "latin.py").write_bytes(b"# \xe8\n")
    (folder / "new.py").write_text(CODE)
    (folder / "moved.py").rename(folder / "there.py")
    (folder / "link.py").symlink_to("new.py")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "two")
    git(folder, "checkout", "-q", "-b", "side")
    (folder / "new.py").write_text("x = 1\n" * 60_000)
    git(folder, "commit", "-q", "-am", "huge")
    (folder / "new.py").write_text(WIDER)
    git(folder, "commit", "-q", "-am", "small again")
    git(folder, "checkout", "-q", "main")
    (folder / "there.py").write_text(WIDER)
    (folder / "link.py").unlink()
    (folder / "link.py").symlink_to("there.py")
    git(folder, "commit", "-q", "-am", "three")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", "side")
    return folder


def test_a_history_gives_modified_text_files_oldest_first(repository: Path) -> None:
    changes = list(git_changes(repository))
    assert [change.document.path for change in changes] == ["a b é.py", "there.py"]
    first = changes[0]
    assert (first.document.text, first.after) == (CODE, WIDER)
    assert first.origin.startswith("git:") and len(first.origin) == 44
    assert first.date[:2] == "20"
    assert list(git_changes(repository / ".git")) == changes


def test_commits_and_files_can_be_chosen(repository: Path) -> None:
    def paths(**fields: object) -> list[str]:
        config = HistoryConfig(**fields)  # pyright: ignore[reportArgumentType]
        return [change.document.path for change in git_changes(repository, config)]

    assert paths(max_commits=1, revisions="main^1") == ["there.py"]
    assert paths(paths=("there.py",)) == ["there.py"]
    assert paths(file_suffixes=(".txt",)) == ["notes.txt"]
    assert paths(revisions="main^1~1") == ["a b é.py"]
    for revisions in ("nowhere", "--all", ""):
        with pytest.raises(ConfigError, match="git cannot read"):
            paths(revisions=revisions)


def test_a_folder_without_git_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ConfigError, match="git cannot read the history"):
        list(git_changes(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install it"):
        list(git_changes(tmp_path))


def test_a_history_can_be_left_early(repository: Path) -> None:
    found = git_changes(repository)
    next(found)
    found.close()  # pyright: ignore[reportAttributeAccessIssue]


def make_release(folder: Path, version: str, files: dict[str, bytes]) -> Release:
    path = folder / f"pkg-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return Release(name="pkg", version=version, artifact=path.name, sha256=sha256_of(path))


def make_pair(folder: Path) -> ReleasePair:
    old = {"p/a.py": CODE, "p/same.py": CODE, "p/gone.py": CODE, "p/b.py": CODE, "p/c.txt": "1"}
    new = {
        "p/a.py": WIDER,
        "p/same.py": CODE,
        "p/new.py": CODE,
        "p/b.py": "x = 1\n" + CODE,
        "p/c.txt": "2",
    }
    return ReleasePair(
        before=make_release(folder, "1.0", {k: v.encode() for k, v in old.items()}),
        after=make_release(folder, "1.1", {k: v.encode() for k, v in new.items()}),
        license="MIT",
        half="tune",
    )


def test_releases_give_the_files_that_both_have(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    changes = list(release_changes(pair, tmp_path))
    assert [change.document.path for change in changes] == ["p/a.py", "p/b.py"]
    assert changes[0].after == WIDER
    assert changes[0].origin == "release:pkg 1.0..1.1"


def test_samples_are_chosen_by_seed(tmp_path: Path) -> None:
    changes = list(release_changes(make_pair(tmp_path), tmp_path))
    whole = list(sample_traces(changes, 9, seed=0))
    assert [typed.change for typed in whole] == changes
    for change, trace in whole:
        assert final_text(trace) == change.after
    ones = {next(sample_traces(changes, 1, seed=seed)).change.document.path for seed in range(9)}
    assert ones == {"p/a.py", "p/b.py"}
    assert list(sample_traces(changes, 1, seed=3)) == list(sample_traces(changes, 1, seed=3))
    with pytest.raises(ConfigError, match="max_traces"):
        list(sample_traces(changes, 0, seed=0))


@pytest.mark.parametrize(
    ("path", "before", "after", "reason"),
    [
        ("a.py", CODE, WIDER, None),
        ("a.py", CODE, CODE, "unchanged"),
        ("a.py", WIDER, CODE, "only removed"),
        ("a/_vendor/a.py", CODE, WIDER, "vendored"),
        ("vendor.py", CODE, WIDER, None),
        ("a_pb2.py", CODE, WIDER, "generated"),
        ("a.py", CODE, "# Code generated by x. DO NOT EDIT.\n" + WIDER, "generated"),
        ("a.py", CODE, WIDER + "# ab\n" * 70_000, "too large"),
        ("a.py", CODE, WIDER + f"x = '{'ab ' * 400}'\n", "long line"),
        ("a.py", CODE, WIDER + "".join(f"x{n} = {n}\n" for n in range(3000)), "rewritten"),
        ("a.py", CODE, CODE.replace("width, height", "width,  height,"), "reformatted"),
    ],
)  # fmt: skip
def test_what_is_left_out(path: str, before: str, after: str, reason: str | None) -> None:
    change = Change(document=Document(path=path, text=before), after=after, origin="test")
    assert reason_to_skip(change, change.edits()) == reason
    assert bool(list(typed_changes([change]))) == (reason is None)


def test_the_recipe_is_apart_from_the_training_corpus() -> None:
    recipe = replay_python()
    trained = {p.name.lower() for p in python_small().packages if p.split == "train"}
    names = [pair.name.lower() for pair in recipe.pairs]
    assert not trained.intersection(names)
    assert len(set(names)) == len(names) == 20
    assert len(recipe.half("tune")) == len(recipe.half("report")) == 10
    for pair in recipe.pairs:
        assert any(mark in pair.license.lower() for mark in ("mit", "bsd", "apache"))
        for release in (pair.before, pair.after):
            assert len(release.sha256) == 64
            assert release.artifact.endswith("-py3-none-any.whl")
            assert f"-{release.version}-" in release.artifact


def test_bad_recipes_and_configs_are_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    with pytest.raises(ConfigError, match="two releases"):
        ReleasePair(before=pair.before, after=pair.before, license="MIT", half="tune")
    other = ReleasePair(before=pair.before, after=pair.after, license="MIT", half="report")
    with pytest.raises(ConfigError, match="both halves"):
        ReplayRecipe(name="x", pairs=(pair, other))
    with pytest.raises(ConfigError, match="max_commits"):
        HistoryConfig(max_commits=0)
    with pytest.raises(ConfigError, match="file_suffixes"):
        HistoryConfig(file_suffixes=())
