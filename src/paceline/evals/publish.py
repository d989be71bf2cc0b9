"""The report's folder.

OUT/manifest.json    kind "eval-report"; parents: checkpoint and corpus
OUT/report.json      every figure, and every case by id, place and hash
OUT/summary.md       the main figures as Markdown, for a model card
OUT/report.html      the same for people, one file, nothing loaded from elsewhere
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from paceline.artifacts.manifest import Manifest, atomic_folder, seal
from paceline.evals.html import render_html
from paceline.evals.report import Report
from paceline.evals.summary import render_summary


def write_report(report: Report, out: Path, *, parents: dict[str, str]) -> None:
    """Write the folder, whole or not at all; an older one of the same name is replaced."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        raw = msgspec.json.format(msgspec.json.encode(report), indent=1)
        (folder / "report.json").write_bytes(raw)
        (folder / "summary.md").write_text(render_summary(report), encoding="utf-8")
        (folder / "report.html").write_text(render_html(report), encoding="utf-8")
        stats = {"num_cases": len(report.cases), "subjects": list(report.subjects)}
        parents = {**parents, "corpus": report.corpus_sha256}
        seal(
            folder,
            Manifest(kind="eval-report", config=report.config, parents=parents, stats=stats),
        )
