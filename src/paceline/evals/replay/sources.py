"""What a replay types: a recipe's releases, a git history, or the files of a folder.

Every trace comes with documents that stand beside it in the same folder, as they were before the change, so
that the brain's context sources have something to find. Those that the same change touches come first: who
edits them has them open.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from paceline.artifacts.download import fetch_wheel
from paceline.artifacts.wheels import decode_source, read_members
from paceline.core.errors import ConfigError
from paceline.core.progress import Progress
from paceline.core.types import Document
from paceline.evals.replay.run import MAX_OPEN_DOCUMENTS, ReplayTrace
from paceline.syntax.languages import language_of
from paceline.traces.changes import MAX_FILE_BYTES, is_generated, is_vendored
from paceline.traces.git_history import HistoryConfig, git_changes
from paceline.traces.releases import Half, ReleasePair, ReplayRecipe, changes_between
from paceline.traces.sample import TypedChange, sample_traces
from paceline.traces.simulate import TraceConfig, simulate
from paceline.traces.types import Trace

MAX_OPEN_CHARS = 100_000
"""Longer documents are not opened beside another."""
LINES_PER_HOLE = 20
MAX_HOLES = 10

ReadText = Callable[[str], str | None]
"""The text of a file by its path; None if it cannot be used."""


def recipe_traces(
    recipe: ReplayRecipe,
    half: Half,
    downloads: Path,
    *,
    max_traces: int,
    seed: int,
    progress: Progress,
) -> list[ReplayTrace]:
    """Changes of each package of a half, `max_traces` of each; fetches missing wheels.

    Raises:
        DownloadError: a wheel cannot be had.
        ArtifactError: a wheel is damaged.
    """
    pairs = recipe.half(half)
    found: list[ReplayTrace] = []
    with progress.task("read releases", total=len(pairs), unit="packages") as task:
        for pair in pairs:
            found += _pair_traces(pair, downloads, recipe.file_suffix, max_traces, seed)
            task.advance(1, note=pair.name)
    return found


def git_traces(
    repository: Path, revisions: str = "HEAD", *, max_traces: int, seed: int
) -> list[ReplayTrace]:
    """Changes of a git history, `max_traces` of them.

    Raises:
        ConfigError: git is missing, the folder is no repository, the revisions do not exist, or nothing
            in them is worth a replay.
    """
    config = HistoryConfig(revisions=revisions)
    changes = list(git_changes(repository, config))
    typed = list(sample_traces(changes, max_traces, seed=seed))
    if not typed:
        raise ConfigError(
            f"{repository} has no changed {', '.join(config.file_suffixes)} file in {revisions} that is "
            "worth a replay; name other commits with --revisions."
        )
    project = repository.resolve().name
    found: list[ReplayTrace] = []
    for one in typed:
        commit = one.change.origin.removeprefix("git:")
        together = [other.document.path for other in changes if other.origin == one.change.origin]
        folder = str(PurePosixPath(one.change.document.path).parent)
        before = f"{commit}^:" if folder == "." else f"{commit}^:{folder}"
        paths = [_joined(folder, name) for name in _git_names(repository, before)]
        suffix = PurePosixPath(one.change.document.path).suffix
        chosen = beside(one.change.document.path, paths, together, suffix=suffix)
        opened = open_documents(
            chosen, lambda path, commit=commit: _git_text(repository, f"{commit}^:{path}")
        )
        found.append(ReplayTrace(project, one.trace, opened))
    return found


def file_traces(folder: Path, *, max_traces: int, seed: int) -> list[ReplayTrace]:
    """Files of a folder with pieces taken out, which are typed in again: where there is no history.

    Raises:
        ConfigError: there is no such file or folder, or nothing in it is code that can be typed.
    """
    if not folder.exists():
        raise ConfigError(f"There is no file or folder {folder}; give one with code in it.")
    root = folder.parent if folder.is_file() else folder
    paths = [folder] if folder.is_file() else list(_code_files(folder))
    chosen = random.Random(seed).sample(paths, len(paths))
    project = root.resolve().name
    names = [path.relative_to(root).as_posix() for path in paths]
    found: list[ReplayTrace] = []
    for path in chosen:
        name = path.relative_to(root).as_posix()
        trace = _simulated(name, _file_text(path), seed)
        if trace is not None:
            near = beside(name, names, (), suffix=path.suffix)
            opened = open_documents(near, lambda other: _file_text(root / other))
            found.append(ReplayTrace(project, trace, opened))
        if len(found) >= max_traces:
            break
    if not found:
        raise ConfigError(f"{folder} has no code file that is long enough to type parts of it.")
    return found


def beside(path: str, paths: Iterable[str], together: Sequence[str], *, suffix: str) -> list[str]:
    """The files of `path`'s own folder: those changed together with it, then the nearest by name.

    More than are opened, since some may turn out to be no text.
    """
    folder = PurePosixPath(path).parent
    near = sorted(
        {
            other
            for other in paths
            if other.endswith(suffix) and PurePosixPath(other).parent == folder
        }
        | {path}
    )
    here = near.index(path)
    ranked = sorted(
        (other not in together, abs(at - here), other)
        for at, other in enumerate(near)
        if other != path
    )
    return [other for _, _, other in ranked[: 2 * MAX_OPEN_DOCUMENTS]]


def open_documents(paths: Iterable[str], read: ReadText) -> tuple[Document, ...]:
    """The first of these files that are text and not too long."""
    opened: list[Document] = []
    for path in paths:
        text = read(path)
        if text and len(text) <= MAX_OPEN_CHARS:
            opened.append(Document(path=path, text=text))
        if len(opened) >= MAX_OPEN_DOCUMENTS:
            break
    return tuple(opened)


def _pair_traces(
    pair: ReleasePair, downloads: Path, file_suffix: str, max_traces: int, seed: int
) -> Iterator[ReplayTrace]:
    before, after = (fetch_wheel(release, downloads) for release in (pair.before, pair.after))
    origin = f"release:{pair.name} {pair.before.version}..{pair.after.version}"
    changes = list(changes_between(before, after, origin=origin, file_suffix=file_suffix))
    changed = [change.document.path for change in changes]
    files = dict(read_members(before, file_suffix))
    for one in sample_traces(changes, max_traces, seed=seed):
        yield _with_neighbours(pair.name, one, files, changed, file_suffix)


def _with_neighbours(
    project: str,
    one: TypedChange,
    files: Mapping[str, bytes],
    changed: Sequence[str],
    file_suffix: str,
) -> ReplayTrace:
    chosen = beside(one.change.document.path, files, changed, suffix=file_suffix)
    opened = open_documents(chosen, lambda path: decode_source(files[path]))
    return ReplayTrace(project, one.trace, opened)


def _code_files(folder: Path) -> Iterator[Path]:
    """Code in a language that we know, in order of path; without hidden, vendored and large files."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if is_hidden or is_vendored(name) or not path.is_file():
            continue
        language = language_of(Document(path=name, text=""))
        if language.is_code and language.has_grammar and path.stat().st_size <= MAX_FILE_BYTES:
            yield path


def _file_text(path: Path) -> str | None:
    try:
        return decode_source(path.read_bytes())
    except OSError:
        return None


def _simulated(name: str, text: str | None, seed: int) -> Trace | None:
    """The file with as many holes as it has room for; None if it has none."""
    if not text or is_generated(name, text):
        return None
    num_holes = min(max(text.count("\n") // LINES_PER_HOLE, 1), MAX_HOLES)
    while num_holes:
        try:
            config = TraceConfig(num_holes=num_holes)
            return simulate(Document(path=name, text=text), seed, config)
        except ConfigError:
            num_holes //= 2
    return None


def _git_names(repository: Path, tree: str) -> list[str]:
    """File names in one folder of a commit; none if there is no such folder."""
    raw = _git(repository, "ls-tree", "-z", tree)
    entries = (
        entry.partition("\t") for entry in (raw or b"").decode("utf-8", "replace").split("\0")
    )
    return [name for kind, _, name in entries if " blob " in kind]


def _git_text(repository: Path, blob: str) -> str | None:
    raw = _git(repository, "cat-file", "blob", blob)
    return None if raw is None else decode_source(raw)


def _git(repository: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails."""
    run = subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, check=False
    )
    return run.stdout if run.returncode == 0 else None


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"
