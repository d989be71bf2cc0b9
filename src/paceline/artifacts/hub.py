"""Models of the Hugging Face hub by name (`org/name`): from its cache, or downloaded once.

`huggingface_hub` is optional and imported only here, when such a name is asked for. The cache is asked
first, so that a model once fetched needs no network; a network that does not answer costs seconds, not
minutes.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from paceline.core.errors import CheckpointError

NAME_PATTERN = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = ("*.json", "*.safetensors", "README.md", "LICENSE*")
ANSWER_S = 5.0
"""Longest wait for the hub's first answer."""


def is_hub_name(name: str) -> bool:
    """Could `name` be a model of the hub? Paths of more than two parts, or that begin with a dot, cannot."""
    return NAME_PATTERN.fullmatch(name) is not None


def fetch_model(name: str) -> Path:
    """The folder of a hub model in the local cache, downloaded first if need be.

    Raises:
        CheckpointError: `huggingface_hub` is not installed, or the model is neither in its cache nor
            to be had from the network.
    """
    hub = _import_hub(name)
    try:
        return Path(hub.snapshot_download(name, allow_patterns=FILES, local_files_only=True))
    except Exception:
        pass  # not in the cache, or only in part: the network decides
    try:
        hub.HfApi().model_info(name, timeout=ANSWER_S)
        return Path(hub.snapshot_download(name, allow_patterns=FILES))
    except Exception as cause:  # the client raises its own, the network's and the file system's
        reason = " ".join(str(cause).split())[:160] or type(cause).__name__
        raise CheckpointError(
            f"{name} is no folder here, not in the Hugging Face cache, and could not be fetched "
            f"({reason}); give the path of a local folder instead."
        ) from cause


def _import_hub(name: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as cause:
        raise CheckpointError(
            f"{name} is no folder here, and fetching it by name needs the huggingface_hub package; "
            "install it (pip install huggingface_hub) or give the path of a local folder."
        ) from cause
