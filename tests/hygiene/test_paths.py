"""Files that must stay out: names, the user's globs, git's rules as git itself judges them, links, and bad paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from paceline.hygiene import gitignore
from paceline.hygiene.gitignore import read_rules
from paceline.hygiene.paths import PathRules

SECRET = """
.env .env.local prod.env .envrc server.pem a/b/tls.key id_rsa id_rsa.pub id_ed25519_work .netrc _netrc .pgpass .npmrc
.pypirc credentials credentials.json aws-credentials.ini client_secret_9.json secrets.yml secrets.yaml kubeconfig
cert.pfx release.keystore x/.ssh/config home/.aws/config .docker/config.json terraform.tfstate prod.tfvars
config/master.key .git-credentials C:\\Users\\me\\.ENV SECRETS.TOML .config/gcloud/x.json passwords.txt .htpasswd
"""

ORDINARY = """
env.py environment.ts secrets.py credentials.py test_credentials.go secret_sharing.rs keys.py key.py config.json
monkey.py package.json pyproject.toml src/auth/token.py .gitignore README.md Makefile ssh/client.py keystore.java
credentials.html password_field.tsx docker/config.json
"""


@pytest.mark.parametrize("path", SECRET.split())
def test_secret_files_by_name(path: str) -> None:
    assert PathRules().reason_against(path) == "secret_file"


@pytest.mark.parametrize("path", ORDINARY.split())
def test_ordinary_files(path: str) -> None:
    assert PathRules().reason_against(path) == ""


def test_binary_files_and_the_users_globs() -> None:
    rules = PathRules(["*.sql", "!keep.sql", "private/**", "!"])
    assert PathRules().reason_against("a/logo.PNG") == "binary"
    assert rules.reason_against("db/dump.sql") == "ignored_glob"
    assert rules.reason_against("db/keep.sql") == ""
    assert rules.reason_against("/work/x/private/a.py", "/work/x") == "ignored_glob"
    assert rules.reason_against("file:///work/x/%2Eenv") == "secret_file"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "pkg/deep").mkdir(parents=True)
    (root / "build/keep").mkdir(parents=True)
    (root / ".gitignore").write_text("*.log\nbuild/\n/only_here.py\n!important.log\ndoc/*.txt\n[\n")
    (root / "pkg/.gitignore").write_text("!*.log\n*.tmp\ndeep/gen_*\n")
    (root / "build/.gitignore").write_text("!keep/\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".git/info/exclude").write_text("scratch/\n")
    return root


PATHS = """
a.py a.log important.log pkg/a.log pkg/a.tmp pkg/deep/gen_1.py pkg/deep/a.py build/x.py build/keep/x.py only_here.py
pkg/only_here.py doc/a.txt doc/sub/a.txt scratch/a.py pkg/scratch/b.py pkg/build/z.py buildx/a.py
"""


def test_git_agrees(workspace: Path) -> None:
    rules = PathRules()
    ours = {
        path
        for path in PATHS.split()
        if rules.reason_against(path, str(workspace)) == "git_ignored"
    }
    asked = subprocess.run(
        ["git", "-C", str(workspace), "check-ignore", *PATHS.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ours == set(asked.stdout.split())


def test_changed_rules_are_read_again(workspace: Path) -> None:
    rules = PathRules()
    assert rules.reason_against("pkg/x.sql", str(workspace)) == ""
    (workspace / "pkg/.gitignore").write_text("*.sql\n")
    assert rules.reason_against("pkg/x.sql", str(workspace)) == "git_ignored"
    (workspace / "pkg/.gitignore").unlink()
    assert rules.reason_against("pkg/x.sql", str(workspace)) == ""


def test_nothing_leads_out_of_the_workspace(workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("")
    (outside / "b.env").write_text("")
    (workspace / "way_out").symlink_to(outside)
    (workspace / "plain.py").symlink_to(outside / "b.env")
    (workspace / ".env").write_text("")
    (workspace / "innocent.py").symlink_to(workspace / ".env")
    rules, root = PathRules(), str(workspace)
    assert rules.reason_against(str(outside / "a.py"), root) == "outside_workspace"
    assert rules.reason_against("../outside/a.py", root) == "outside_workspace"
    assert rules.reason_against("way_out/a.py", root) == "outside_workspace"
    assert rules.reason_against("plain.py", root) == "outside_workspace"
    assert rules.reason_against("innocent.py", root) == "secret_file"
    assert rules.reason_against(str(workspace / "a.py"), root) == ""


def test_a_linked_rule_file_is_not_followed(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*\n")
    (workspace / "pkg/deep/.gitignore").symlink_to(tmp_path / "rules")
    assert PathRules().reason_against("pkg/deep/a.py", str(workspace)) == ""


@settings(max_examples=60, deadline=None)
@given(path=st.text(max_size=40), root=st.sampled_from(["", "/tmp", "relative", "\0", "\ud800"]))
def test_no_path_raises(path: str, root: str) -> None:
    assert isinstance(PathRules([path]).reason_against(path, root), str)


def test_rule_files_are_read_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reader(path: str) -> GitIgnoreSpec | None:
        read.append(path)
        return read_rules(path)

    monkeypatch.setattr(gitignore, "read_rules", reader)
    rules, root = PathRules(), str(workspace)
    for name in ("a.py", "a.py", "b.py"):
        rules.reason_against(f"{root}/pkg/deep/{name}", root)
    assert read
    assert len(read) == len(set(read))
