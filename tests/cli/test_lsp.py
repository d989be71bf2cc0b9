"""Where `paceline lsp` has its token from."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.cli.lsp import read_token
from paceline.core.errors import ConfigError


def test_a_token_is_one_visible_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_bytes(b" pl-abc\n")
    assert read_token(path) == "pl-abc"
    for wrong in (b"a\0b", b"a\x1bb", b"a\nb", b"\xff\xfe"):
        path.write_bytes(wrong)
        with pytest.raises(ConfigError, match="one word of visible ASCII"):
            read_token(path)
    monkeypatch.setenv("PACELINE_TOKEN", "")
    assert read_token(None) == ""
