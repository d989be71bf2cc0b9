"""The files of a replay's report.

OUT/report.json    all of it; no code, so that it can be published
OUT/report.html    the same for people, one file, nothing loaded from elsewhere
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from paceline.evals.replay.html import render_html
from paceline.evals.replay.report import Report

REPORT_NAME, PAGE_NAME = "report.json", "report.html"


def save_report(report: Report, folder: Path) -> Path:
    """Write both files; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.format(msgspec.json.encode(report), indent=1)
    (folder / REPORT_NAME).write_bytes(raw + b"\n")
    page = folder / PAGE_NAME
    page.write_text(render_html(report), encoding="utf-8")
    return page


def load_report(folder: Path) -> Report:
    """Read what `save_report` wrote.

    Raises:
        msgspec.MsgspecError, OSError: it is missing, or of another version.
    """
    return msgspec.json.decode((folder / REPORT_NAME).read_bytes(), type=Report)
