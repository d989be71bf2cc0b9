"""Names that every Python program may use: builtins, and the attributes of what the standard library's common modules
hold. Asked of the running interpreter, so nothing is listed by hand and nothing is read from disk."""

from __future__ import annotations

import builtins
import importlib
import inspect
from contextlib import suppress
from types import ModuleType
from typing import Any
from unittest import TestCase

_OTHER_BUILTINS = (
    "__file__ __path__ __annotations__ __builtins__ __class__ __module__ __qualname__ __dict__ WindowsError "
    "reveal_type reveal_locals PythonFinalizationError BaseExceptionGroup ExceptionGroup EncodingWarning aiter anext _"
)
BUILTINS = frozenset(dir(builtins)) | frozenset(_OTHER_BUILTINS.split())
"""Names that need no binding. `_` is put there by gettext and by interactive sessions."""

OBJECT_ATTRIBUTES = (
    frozenset(dir(object()))
    | frozenset(dir(TestCase))
    | {
        "__dict__",
        "__module__",
        "__slots__",
        "__annotations__",
        "__weakref__",
    }
)
"""What every object has, and what a class without bases is often mixed into: a test case."""

_MODULES = (
    "abc argparse array ast asyncio base64 bisect builtins calendar cmath codecs collections concurrent.futures configparser "
    "contextlib contextvars copy csv dataclasses datetime decimal difflib email.message enum errno fnmatch fractions "
    "functools gc getpass glob gzip hashlib heapq hmac html http.client importlib inspect io ipaddress itertools json "
    "keyword locale logging math mimetypes multiprocessing numbers operator os os.path pathlib pickle platform pprint "
    "queue random re secrets select shlex shutil signal socket sqlite3 ssl stat statistics string struct subprocess "
    "sys sysconfig tempfile textwrap threading time timeit tokenize traceback types typing unittest unittest.mock "
    "urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib"
)


def _of_common_modules() -> set[str]:
    names: set[str] = set()
    for one in (type(len), type(_of_module), type(_ for _ in ())):
        names.update(dir(one))
    for name in _MODULES.split():
        with suppress(ImportError):
            names |= _of_module(importlib.import_module(name))
    return names


def _of_module(module: ModuleType) -> set[str]:
    names = set(dir(module))
    members: list[Any] = list(vars(module).values())
    for member in members:
        if inspect.isclass(member):
            names.update(dir(member))
            names.update(getattr(member, "__annotations__", ()))
    return names


KNOWN_ATTRIBUTES = frozenset(_of_common_modules())
"""Of common modules, their classes, and builtin types: 7,500 names. Found when this module is imported (0.1 s, less in a
server, which has loaded most of them), so that no keystroke waits for it."""
