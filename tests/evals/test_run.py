"""A whole evaluation of a fake model on a tiny corpus, from folder to folder."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from paceline.artifacts.manifest import Manifest, read_manifest, seal, sha256_of, verify_files
from paceline.cli.main import app
from paceline.core.errors import ArtifactError, CorpusError, InputError
from paceline.core.progress import Progress
from paceline.evals.cases import cut_cases
from paceline.evals.config import EvalConfig
from paceline.evals.lineage import ModelLineage, check_heldout, check_lineage
from paceline.evals.ngram_store import choose_fit_packages, load_ngram
from paceline.evals.publish import write_report
from paceline.evals.report import Report
from paceline.evals.run import Evaluation, evaluate
from paceline.evals.subjects import ModelParts, ModelSubject, NgramSubject, RepeatLineSubject
from paceline.evals.table import print_report
from paceline.generate.types import PromptParts, TextScore
from paceline.tokenizer.bpe import Tokenizer
from tests.evals.conftest import HELDOUT, TRAIN, make_document, write_corpus
from tests.fakes import FakeGenerator

CONFIG = EvalConfig(num_cases=24, num_resamples=100, files_per_package=2, max_ngram_tokens=4000)


class ByteScorer:
    """One bit a byte."""

    def score(self, parts: PromptParts, continuation: str) -> TextScore:
        assert parts.prefix
        size = len(continuation.encode())
        return TextScore(bits=size, num_bytes=size, num_tokens=size)


@pytest.fixture(scope="module")
def model_parts(tokenizer: Tokenizer) -> ModelParts:
    generator = FakeGenerator(("return", " alpha", "\n", "junk"))
    return ModelParts(
        generator=generator, scorer=ByteScorer(), tokenizer=tokenizer, context_tokens=64
    )


@pytest.fixture(scope="module")
def report(
    corpus: Path,
    tokenizer_path: Path,
    model_parts: ModelParts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Report:
    cache = tmp_path_factory.mktemp("cache")
    ngram = load_ngram(corpus, tokenizer_path, CONFIG, cache=cache, progress=Progress())
    subjects = (
        ModelSubject("fake", model_parts, CONFIG),
        NgramSubject(ngram.guesser, CONFIG),
        RepeatLineSubject(),
    )
    evaluation = Evaluation(
        corpus=corpus,
        config=CONFIG,
        subjects=subjects,
        model="fake",
        lineage=ModelLineage(warnings=("<warned>",), parents={"checkpoint": "c"}),
        ngram_stats=ngram.stats,
    )
    return evaluate(evaluation, Progress())


def test_every_subject_has_every_group(report: Report) -> None:
    groups = {row.group for row in report.rows}
    assert groups >= {"code", "rest_of_line", "whole_line", "comment_or_string", "all"}
    assert {(row.group, row.subject) for row in report.rows} == {
        (group, subject) for group in groups for subject in ("fake", "n-gram", "repeat-line")
    }
    model = {row.group: row for row in report.rows if row.subject == "fake"}
    assert model["code"].num_cases == 24
    assert model["code"].bits_per_byte is not None
    assert model["code"].bits_per_byte.value == 1.0
    assert all(row.exact.low <= row.exact.value <= row.exact.high for row in report.rows)
    bits = {row.subject: row.bits_per_byte.value for row in report.files}
    assert bits["fake"] == 1.0
    assert 0 < bits["n-gram"] < 3


def test_the_comparison_counts_agree_with_the_rows(report: Report) -> None:
    exact = {row.subject: row.exact.value for row in report.rows if row.group == "code"}
    for comparison in report.comparisons:
        difference = comparison.num_only_subject - comparison.num_only_baseline
        assert difference == pytest.approx(24 * (exact["fake"] - exact[comparison.baseline]))
    assert report.best_baseline_ratio is not None
    best = max(exact["n-gram"], exact["repeat-line"])
    assert report.best_baseline_ratio.value == pytest.approx(exact["fake"] / best)


def test_the_folder_is_sealed_has_no_code_and_loads_nothing(
    report: Report, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "report"
    write_report(report, out, parents={"checkpoint": "c"})
    manifest = read_manifest(out, "eval-report")
    verify_files(out, manifest, is_hashed=True)
    assert manifest.parents == {"checkpoint": "c", "corpus": sha256_of(corpus / "manifest.json")}
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=Report) == report
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "&lt;warned&gt;" in page
    assert not re.search(r"https?://|<script|<link", page)
    for case in report.cases:
        document = next(d for d in HELDOUT if d.sha256 == case.document_sha256)
        line = document.text[case.offset : case.offset + case.middle_chars]
        assert len(line) < 12 or line not in (out / "report.json").read_text(encoding="utf-8")


def test_the_table_is_printed(report: Report) -> None:
    console = Console(record=True, width=120, stderr=True)
    print_report(report, console)
    text = console.export_text()
    assert "all cases in code" in text
    assert "McNemar p" in text
    assert "Warning: <warned>" in text


def test_predictions_see_prefix_and_suffix_and_stop_at_the_line(model_parts: ModelParts) -> None:
    generator = FakeGenerator(("x", "\n", "junk"))
    subject = ModelSubject("fake", model_parts._replace(generator=generator), CONFIG)
    cases = cut_cases(HELDOUT, CONFIG)
    assert subject.predict(cases, Progress()) == ["x"] * len(cases)
    assert len(generator.calls) == len(cases)
    for call in generator.calls:
        assert call.params.stop == ("\n",)
        assert call.parts.suffix is not None
        whole = [d.text for d in HELDOUT if d.text.startswith(call.parts.prefix)]
        assert any(text.endswith(call.parts.suffix) for text in whole)


def test_through_the_service_lines_are_post_processed(
    corpus: Path, model_parts: ModelParts
) -> None:
    config = msgspec.structs.replace(CONFIG, is_through_service=True)
    subject = ModelSubject("served", model_parts, config)
    evaluation = Evaluation(
        corpus=corpus, config=config, subjects=(subject,), model="served", lineage=ModelLineage()
    )
    found = evaluate(evaluation, Progress())
    assert found.comparisons == ()
    assert found.best_baseline_ratio is None


def test_the_ngram_is_counted_once(corpus: Path, tokenizer_path: Path, tmp_path: Path) -> None:
    first = load_ngram(corpus, tokenizer_path, CONFIG, cache=tmp_path, progress=Progress())
    (folder,) = tmp_path.iterdir()
    made_ns = (folder / "manifest.json").stat().st_mtime_ns
    again = load_ngram(corpus, tokenizer_path, CONFIG, cache=tmp_path, progress=Progress())
    assert (folder / "manifest.json").stat().st_mtime_ns == made_ns
    assert again.stats == first.stats
    assert again.stats["fit_packages"] == [min({d.package for d in TRAIN})]
    (folder / "weights.npy").write_bytes(b"cut")
    load_ngram(corpus, tokenizer_path, CONFIG, cache=tmp_path, progress=Progress())
    assert (folder / "manifest.json").stat().st_mtime_ns != made_ns


def test_a_single_training_package_is_counted_whole() -> None:
    assert choose_fit_packages([make_document("only", 1)]) == set()


def make_checkpoint(folder: Path, manifest: Manifest) -> Path:
    folder.mkdir()
    seal(folder, manifest)
    return folder


def test_lineage_refuses_what_was_trained_on(corpus: Path, tmp_path: Path) -> None:
    stats = {"train_packages": ["Held1", "other"]}
    folder = make_checkpoint(tmp_path / "model", Manifest(kind="checkpoint", stats=stats))
    with pytest.raises(InputError, match="held1"):
        check_lineage(folder, corpus)
    lineage = check_lineage(folder, corpus, is_overlap_allowed=True)
    assert any("held1" in warning for warning in lineage.warnings)


def test_lineage_warns_of_another_corpus_and_of_none(corpus: Path, tmp_path: Path) -> None:
    parents = {"corpus": sha256_of(corpus / "manifest.json")}
    same = make_checkpoint(tmp_path / "same", Manifest(kind="checkpoint", parents=parents))
    other = make_checkpoint(
        tmp_path / "other", Manifest(kind="checkpoint", parents={"corpus": "x"})
    )
    (tmp_path / "foreign").mkdir()
    assert check_lineage(same, corpus).warnings == ()
    assert "another corpus" in check_lineage(other, corpus).warnings[0]
    assert "not known" in check_lineage(tmp_path / "foreign", corpus).warnings[0]


def test_a_package_in_both_splits_is_refused(tmp_path: Path) -> None:
    both = write_corpus(
        tmp_path / "both", {"train": [make_document("p", 1)], "heldout": [make_document("P", 2)]}
    )
    with pytest.raises(CorpusError, match="both splits"):
        check_heldout(both)
    none = write_corpus(tmp_path / "none", {"train": [make_document("p", 1)]})
    with pytest.raises(CorpusError, match="holds no package out"):
        check_heldout(none)


def run_cli(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["eval", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_runs_the_baselines_alone(
    corpus: Path, tokenizer_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "report"
    code, output = run_cli(
        "--without-model", "--tokenizer", str(tokenizer_path), "--corpus", str(corpus),
        "--cases", "12", "--ngram-tokens", "3000", "--out", str(out),
    )  # fmt: skip
    assert code == 0, output
    assert "repeat-line" in output
    assert (out / "report.html").is_file()


def test_bad_input_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    cases = [
        (("--corpus", str(tmp_path)), ArtifactError.exit_code, "manifest.json"),
        (("--corpus", str(corpus), "--model", "nobody"), InputError.exit_code, "Unknown model"),
        (("--corpus", str(corpus), "--without-model"), InputError.exit_code, "--tokenizer"),
        (
            ("--corpus", str(corpus), "--without-model", "--no-baselines"),
            InputError.exit_code,
            "Nothing to evaluate",
        ),
    ]
    for arguments, expected_code, sentence in cases:
        code, output = run_cli(*arguments)
        assert (code, sentence in output) == (expected_code, True), output
