"""`paceline replay`: real edits typed again through the whole brain, beside a plain baseline."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from paceline.core.errors import ConfigError

if TYPE_CHECKING:
    from paceline.core.progress import Progress
    from paceline.evals.replay.report import StudyConfig
    from paceline.evals.replay.run import ReplayTrace
    from paceline.evals.replay.study import Study

TRACES_OF_PACKAGE, TRACES_OF_FOLDER = 6, 60
DOWNLOADS = Path("runs/downloads")
HALF_HELP = "tune or report: settings are tuned on one half of the packages."
FILES_HELP = "Type parts of the files of this folder instead."
MODEL_HELP = "Name or folder of the model; the default model if left out."
TRACES_HELP = (
    f"Edited files of each package ({TRACES_OF_PACKAGE} if left out), or of the repository or folder "
    f"({TRACES_OF_FOLDER})."
)
USER_HELP = "The simulated user: typical, hasty, careful, quick typist or whole only."
BASE_HELP = "Also run the plain baseline."
SWEEP_HELP = "Compare baseline and brain under every user."
ABLATE_HELP = "Also run the brain without each of its parts."
CAPS_HELP = "Also run the brain with other limits on length."
MODES_HELP = "Also judge how the mode is chosen."
FIT_HELP = "Fit the gate on these edits, and write its weights to this file."
EXIT_INTERRUPTED = 130
"""As shells say it: 128 + SIGINT."""


class Source(NamedTuple):
    """What the command line chose to type. One of `git` and `files`, or a recipe's half."""

    recipe: str
    half: str
    downloads: Path
    git: Path | None
    revisions: str
    files: Path | None

    @property
    def is_report_half(self) -> bool:
        """Is it what settings must not be tuned on?"""
        return self.git is None and self.files is None and self.half == "report"

    def describe(self) -> str:
        """For the report: no path of this machine beside the last name."""
        if self.git is not None:
            return f"git history {self.git.resolve().name} {self.revisions}"
        if self.files is not None:
            return f"files of {self.files.resolve().name}"
        return f"recipe {self.recipe}, half {self.half}"


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("replay")(replay)


def replay(
    recipe: Annotated[str, typer.Option(help="Name of a replay recipe.")] = "replay-python",
    half: Annotated[str, typer.Option(help=HALF_HELP)] = "report",
    git: Annotated[Path | None, typer.Option(help="Type this git history instead.")] = None,
    revisions: Annotated[str, typer.Option(help="Commits of --git, such as v1..v2.")] = "HEAD",
    files: Annotated[Path | None, typer.Option(help=FILES_HELP)] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    traces_per_package: Annotated[int | None, typer.Option(min=1, help=TRACES_HELP)] = None,
    keys: Annotated[int, typer.Option(min=1, help="Keystrokes of each file.")] = 250,
    seed: Annotated[int, typer.Option(help="Chooses the files, and how they are typed.")] = 0,
    user: Annotated[str, typer.Option(help=USER_HELP)] = "typical",
    is_user_swept: Annotated[bool, typer.Option("--user-sweep", help=SWEEP_HELP)] = False,
    is_ablated: Annotated[bool, typer.Option("--ablate", help=ABLATE_HELP)] = False,
    is_capped: Annotated[bool, typer.Option("--caps", help=CAPS_HELP)] = False,
    has_baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help=BASE_HELP)] = True,
    has_modes: Annotated[bool, typer.Option("--modes", help=MODES_HELP)] = False,
    fit_gate: Annotated[Path | None, typer.Option(help=FIT_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/replay"),
    downloads: Annotated[Path, typer.Option(help="Where wheels are kept.")] = DOWNLOADS,
) -> None:
    """Type real edits through the whole brain, and count what it saves and costs.

    They are taken from releases of packages, a git history, or a folder of files; a simulated user accepts and
    corrects. A table here and a report in --out. If it is stopped, the same command goes on where it was.

    Examples:

    [cyan]paceline replay --half tune --ablate[/cyan]
    [cyan]paceline replay --git . --revisions HEAD~50..HEAD[/cyan]
    """
    from paceline.evals.replay.report import StudyConfig

    source = Source(recipe, half, downloads, git, revisions, files)
    is_folder = git is not None or files is not None
    config = StudyConfig(
        source=source.describe(),
        command=shlex.join(["paceline", *_arguments()]),
        user=_checked_user(user),
        max_traces=traces_per_package or (TRACES_OF_FOLDER if is_folder else TRACES_OF_PACKAGE),
        max_keys=keys,
        seed=seed,
        has_baseline=has_baseline,
        is_ablated=is_ablated,
        is_capped=is_capped,
        is_user_swept=is_user_swept,
        is_fitting=fit_gate is not None,
        has_modes=has_modes,
    )
    if fit_gate is not None and source.is_report_half:
        raise ConfigError(
            "The gate must not be fitted on the half that it is reported on; add --half tune."
        )
    _run(source, model, config, out, fit_gate)


def _run(
    source: Source, model: str | None, config: StudyConfig, out: Path, fit_gate: Path | None
) -> None:
    from rich.console import Console

    from paceline.cli import wiring
    from paceline.core.progress import Progress
    from paceline.evals.replay.publish import save_report
    from paceline.evals.replay.study import run_study
    from paceline.evals.replay.summary import print_summary

    progress = Progress()
    traces = _traces(source, config, progress)
    try:
        with wiring.open_generator(model) as generator:
            study = run_study(generator, traces, config, out, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"Stopped. Finished variants are kept in {out}; the same command goes on with the one under way.",
            err=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    page = save_report(study.report, out)
    console = Console()
    print_summary(study.report, console if console.is_terminal else Console(width=140))
    typer.echo(f"Report: {page}")
    if fit_gate is not None:
        _write_gate(study, config, fit_gate)


def _traces(source: Source, config: StudyConfig, progress: Progress) -> list[ReplayTrace]:
    """What is typed.

    Raises:
        ConfigError: nothing of that name, or two sources at once.
    """
    from paceline.evals.replay.sources import file_traces, git_traces, recipe_traces
    from paceline.recipes.replay_python import replay_python

    if source.git is not None and source.files is not None:
        raise ConfigError("Give --git or --files, not both.")
    if source.git is not None:
        return git_traces(
            source.git, source.revisions, max_traces=config.max_traces, seed=config.seed
        )
    if source.files is not None:
        return file_traces(source.files, max_traces=config.max_traces, seed=config.seed)
    recipes = {"replay-python": replay_python}
    if source.recipe not in recipes:
        raise ConfigError(f"Unknown recipe {source.recipe!r}; known: {', '.join(recipes)}.")
    if source.half != "tune" and source.half != "report":
        raise ConfigError(f"--half is {source.half!r}; it must be tune or report.")
    return recipe_traces(
        recipes[source.recipe](),
        source.half,
        source.downloads,
        max_traces=config.max_traces,
        seed=config.seed,
        progress=progress,
    )


def _checked_user(name: str) -> str:
    """`name`, if there is such a user; `quick-typist` is `quick typist`."""
    from paceline.traces.user import USERS

    found = name.replace("-", " ").replace("_", " ")
    if found not in USERS:
        raise ConfigError(f"Unknown user {name!r}; known: {', '.join(USERS)}.")
    return found


def _write_gate(study: Study, config: StudyConfig, path: Path) -> None:
    import datetime

    from paceline.complete.gate import save_weights
    from paceline.evals.replay.fit import fit_gate
    from paceline.traces.user import USERS

    source = f"{config.source}, user {config.user}, {study.report.facts['model']}"
    weights = fit_gate(
        study.rows,
        source=source,
        fitted_at=datetime.datetime.now(datetime.UTC).date().isoformat(),
        key_ms=USERS[config.user].key_ms,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(weights, path)
    figures = ", ".join(f"{name} {value}" for name, value in weights.metadata.figures.items())
    typer.echo(f"Gate: {path} (threshold {weights.threshold}; {figures})")


def _arguments() -> list[str]:
    """The command line, for the report: how to repeat it."""
    return ["replay", *sys.argv[2:]] if sys.argv[1:2] == ["replay"] else ["replay"]
