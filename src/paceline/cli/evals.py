"""`paceline eval`: model + corpus -> report, beside two baselines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from paceline.core.errors import ConfigError

if TYPE_CHECKING:
    from paceline.core.progress import Progress
    from paceline.evals.config import EvalConfig
    from paceline.evals.lineage import ModelLineage
    from paceline.evals.subjects import ModelSubject, NgramSubject, RepeatLineSubject, Subject


class Choice(NamedTuple):
    """What the command line chose to run."""

    corpus: Path
    model: str | None
    has_model: bool
    has_baselines: bool
    is_overlap_allowed: bool
    tokenizer: Path | None


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("eval")(evaluate_model)


def evaluate_model(
    model: Annotated[
        str | None, typer.Option(help="Name or folder of the model; the default model if left out.")
    ] = None,
    corpus: Annotated[
        Path, typer.Option(help="Corpus folder; its held-out packages are used.")
    ] = Path("runs/corpus"),
    cases: Annotated[int, typer.Option(min=1, help="Single-line cases in code.")] = 1500,
    seed: Annotated[int, typer.Option(help="Chooses the cases.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("runs/eval"),
    has_baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also run n-gram and repeat-line.")
    ] = True,
    has_model: Annotated[
        bool, typer.Option("--with-model/--without-model", help="Run the model itself.")
    ] = True,
    is_through_service: Annotated[
        bool, typer.Option("--through-service", help="Post-process as an editor gets it.")
    ] = False,
    ngram_tokens: Annotated[
        int, typer.Option(min=1000, help="Most training tokens that the n-gram counts.")
    ] = 60_000_000,
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json of the n-gram, if not the model's.")
    ] = None,
    is_overlap_allowed: Annotated[
        bool, typer.Option("--allow-overlap", help="Evaluate even on packages it was trained on.")
    ] = False,
) -> None:
    """Score a model on code that it has not seen, beside two baselines.

    Exact match and bits per byte of single lines with intervals, bits per byte of whole files, paired
    tests: a table here and a report in --out.

    Example: [cyan]paceline eval --model runs/tiny/model --corpus runs/corpus --out runs/eval-tiny[/cyan]
    """
    from paceline.evals.config import EvalConfig

    config = EvalConfig(
        num_cases=cases,
        seed=seed,
        max_ngram_tokens=ngram_tokens,
        is_through_service=is_through_service,
    )
    choice = Choice(
        corpus=corpus,
        model=model,
        has_model=has_model,
        has_baselines=has_baselines,
        is_overlap_allowed=is_overlap_allowed,
        tokenizer=tokenizer,
    )
    _run(choice, config, out)


def _run(choice: Choice, config: EvalConfig, out: Path) -> None:
    from rich.console import Console

    from paceline.core.progress import Progress
    from paceline.evals.lineage import ModelLineage, check_heldout
    from paceline.evals.publish import write_report
    from paceline.evals.run import Evaluation, evaluate
    from paceline.evals.table import print_report

    check_heldout(choice.corpus)
    progress, subjects, lineage = Progress(), list["Subject"](), ModelLineage()
    model, ngram_stats, tokenizer = None, dict[str, object](), choice.tokenizer
    with contextlib.ExitStack() as stack:
        if choice.has_model:
            model, lineage, own_tokenizer = _open_model(choice, config, stack)
            subjects.append(model)
            tokenizer = tokenizer or own_tokenizer
        if choice.has_baselines:
            ngram_stats, baselines = _open_baselines(choice.corpus, tokenizer, config, progress)
            subjects += baselines
        if not subjects:
            raise ConfigError("Nothing to evaluate: leave out --without-model or --no-baselines.")
        evaluation = Evaluation(
            corpus=choice.corpus,
            config=config,
            subjects=tuple(subjects),
            model=model.name if model else None,
            lineage=lineage,
            ngram_stats=ngram_stats,
        )
        report = evaluate(evaluation, progress)
    write_report(report, out, parents=lineage.parents)
    console = Console()
    print_report(report, console if console.is_terminal else Console(width=120))
    typer.echo(f"Report: {out / 'report.html'}")


def _open_model(
    choice: Choice, config: EvalConfig, stack: contextlib.ExitStack
) -> tuple[ModelSubject, ModelLineage, Path]:
    """Check and load the model; `stack` unloads it. The path is its tokenizer's."""
    from paceline.artifacts.registry import TOKENIZER_NAME, resolve_model
    from paceline.cli.wiring import open_generator
    from paceline.evals.lineage import check_lineage
    from paceline.evals.subjects import ModelParts, ModelSubject
    from paceline.tokenizer.bpe import Tokenizer

    folder = resolve_model(choice.model)
    lineage = check_lineage(
        folder.path, choice.corpus, is_overlap_allowed=choice.is_overlap_allowed
    )
    tokenizer = folder.path / TOKENIZER_NAME
    generator = stack.enter_context(open_generator(choice.model))
    parts = ModelParts(
        generator=generator,
        scorer=generator,
        tokenizer=Tokenizer.load(tokenizer),
        context_tokens=generator.models[0].context_tokens,
    )
    return ModelSubject(folder.model_id, parts, config), lineage, tokenizer


def _open_baselines(
    corpus: Path, tokenizer: Path | None, config: EvalConfig, progress: Progress
) -> tuple[dict[str, object], tuple[NgramSubject, RepeatLineSubject]]:
    """Load or count the n-gram; return what a report says of it, and both baselines."""
    from paceline.evals.ngram_store import load_ngram
    from paceline.evals.subjects import NgramSubject, RepeatLineSubject

    if tokenizer is None:
        raise ConfigError("The n-gram needs a tokenizer; give --tokenizer FILE or a model.")
    ngram = load_ngram(corpus, tokenizer, config, cache=cache_folder(), progress=progress)
    return ngram.stats, (NgramSubject(ngram.guesser, config), RepeatLineSubject())


def cache_folder() -> Path:
    """Where counted n-grams are kept: $XDG_CACHE_HOME/paceline/evals."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "paceline" / "evals"
