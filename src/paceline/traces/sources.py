"""Real files to type: modules of the running Python's standard library, which no model of ours was trained on.

Our corpus is made of PyPI releases; modules that PyPI has a backport of are left out of the list.
"""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

from paceline.core.errors import ConfigError
from paceline.core.types import Document, read_document

FILES = (
    "bdb.py", "calendar.py", "cmd.py", "code.py", "codeop.py", "csv.py", "difflib.py", "doctest.py",
    "filecmp.py", "fileinput.py", "ftplib.py", "gettext.py", "gzip.py", "imaplib.py", "locale.py",
    "mailbox.py", "mimetypes.py", "netrc.py", "optparse.py", "pdb.py", "pickletools.py", "plistlib.py",
    "poplib.py", "pprint.py", "pstats.py", "pyclbr.py", "pydoc.py", "sched.py", "shelve.py", "shutil.py",
    "smtplib.py", "socketserver.py", "tarfile.py", "textwrap.py", "timeit.py", "trace.py", "turtle.py",
    "wave.py", "webbrowser.py", "zipapp.py",
)  # fmt: skip
"""Names in the library's folder; a Python that lacks some has the rest."""


def standard_library(num_files: int, *, seed: int = 0) -> list[Document]:
    """Return `num_files` files, chosen by `seed`; paths are relative to the library's folder.

    Raises:
        ConfigError: this Python has fewer.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    names = [name for name in FILES if (folder / name).is_file()]
    if num_files > len(names):
        raise ConfigError(
            f"num_files is {num_files}, but {folder} has {len(names)} of the listed files; ask for fewer."
        )
    chosen = random.Random(seed).sample(names, num_files)
    return [Document(path=name, text=read_document(folder / name).text) for name in chosen]
