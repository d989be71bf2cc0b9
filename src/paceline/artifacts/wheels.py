"""Read source files and the licence out of a wheel without running anything in it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from paceline.core.errors import ArtifactError

MAX_MEMBER_BYTES = 8_000_000
"""Larger members are not even unpacked."""


def read_members(wheel: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the wheel, bytes) of every file that ends with `suffix`, in name order.

    Raises:
        ArtifactError: the wheel is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if info.filename.endswith(suffix) and info.file_size <= MAX_MEMBER_BYTES:
                    yield info.filename, archive.read(info)
    except (zipfile.BadZipFile, OSError) as cause:
        raise ArtifactError(
            f"{wheel} is damaged ({cause}); delete it and run the same command again."
        ) from cause


def read_license(wheel: Path) -> str:
    """The licence that the wheel's metadata states: SPDX expression, field, or classifier; else empty."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next((n for n in archive.namelist() if n.endswith(".dist-info/METADATA")), None)
            text = archive.read(name).decode("utf-8", "replace") if name else ""
    except (zipfile.BadZipFile, OSError) as cause:
        raise ArtifactError(
            f"{wheel} is damaged ({cause}); delete it and run the same command again."
        ) from cause
    headers = HeaderParser().parsestr(text)
    expression = headers.get("License-Expression")
    if expression:
        return expression.strip()
    stated = (headers.get("License") or "").strip()
    if stated and "\n" not in stated and len(stated) <= 80:
        return stated
    classifiers = headers.get_all("Classifier") or []
    found = [c.rsplit("::", 1)[1].strip() for c in classifiers if c.startswith("License ::")]
    return " AND ".join(found)


def decode_source(raw: bytes) -> str | None:
    """UTF-8 text with LF line ends and no byte-order mark; None if it is not text."""
    if b"\0" in raw:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")
