"""Names of modules lead to the files that they may be, and never out of the project."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.prompt.context.resolve import candidate_files


@pytest.mark.parametrize(
    ("module", "language", "folder", "expected"),
    [
        ("shop.store", "python", "shop", "shop/store.py"),
        ("shop.store", "python", "", "src/shop/store/__init__.py"),
        (".store", "python", "src/shop", "src/shop/store.py"),
        ("..tax.rates", "python", "src/shop/cart", "src/shop/tax/rates.py"),
        (".", "python", "shop", "shop/__init__.py"),
        ("store", "python", "scripts", "scripts/store.py"),
        ("./store", "typescript", "src/shop", "src/shop/store.ts"),
        ("./store.js", "typescript", "src/shop", "src/shop/store.ts"),
        ("../tax", "javascript", "src/shop", "src/tax/index.js"),
        ("@/shop/store", "typescript", "src/pages", "src/shop/store.ts"),
        ("'./store'", "typescriptreact", "", "store.tsx"),
        ("com.shop.Store", "java", "src/main/java/com/web", "src/main/java/com/shop/Store.java"),
        ("crate::shop::Store", "rust", "src/web", "src/shop.rs"),
        ("super::store", "rust", "src/shop", "src/shop/store.rs"),
        ('"shop/store.h"', "c", "src", "src/shop/store.h"),
        ("<shop.h>", "cpp", "src", "include/shop.h"),
    ],
)
def test_candidates(module: str, language: str, folder: str, expected: str) -> None:
    assert expected in list(candidate_files(module, language, folder))


@pytest.mark.parametrize("module", ["react", "fs", "@scope/name", ""])
def test_packages_are_no_files(module: str) -> None:
    assert list(candidate_files(module, "javascript", "src")) == []


@given(
    st.text(max_size=30) | st.from_regex(r"[./:a]{1,12}", fullmatch=True),
    st.sampled_from(["python", "typescript", "java", "rust", "c", "go", ""]),
    st.sampled_from(["", "a", "a/b"]),
)
def test_nothing_leads_out_of_the_project(module: str, language: str, folder: str) -> None:
    for path in candidate_files(module, language, folder):
        assert not path.startswith("/")
        assert ".." not in path.split("/")
