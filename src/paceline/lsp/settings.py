"""What the user of an editor may set, from `initializationOptions` and `workspace/didChangeConfiguration`.

A wrong value or an unknown key is told once and changes nothing else: an editor must not lose its
completions because of a misspelt setting.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

SECTION = "paceline"
"""Where clients keep these settings among those of others."""
FOREIGN_KEYS = frozenset(("editorInfo", "editorPluginInfo"))
"""What clients that were written for Copilot's server send as well."""
MAX_KEY_CHARS = 40

Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One user's choices. None leaves a choice to the server."""

    is_enabled: bool = msgspec.field(default=True, name="enabled")
    disabled_languages: tuple[str, ...] = ()
    """LSP's language ids."""
    disabled_globs: tuple[str, ...] = ()
    """Files that are neither completed nor shown to a model, in .gitignore's notation."""
    multi_line_threshold: Share | None = None
    show_threshold: Share | None = None
    max_latency_ms: Annotated[float, Meta(gt=0, le=60_000)] | None = None
    model: str = ""
    invoked_alternatives: Annotated[int, Meta(ge=1, le=3)] = 3
    """How many texts to choose from where the user asked."""
    is_status_sent: bool = msgspec.field(default=False, name="statusNotifications")
    """Is every change of `didChangeStatus` sent, busy and idle too? Else only trouble, and its end."""


_FIELDS = {field.encode_name: field.name for field in msgspec.structs.fields(Settings)}


def read_settings(settings: Settings, given: object) -> tuple[Settings, list[str]]:
    """`settings` with what `given` changes, and what is wrong with it, in sentences.

    Args:
        given: an object with the keys of Settings, or one that has such an object under "paceline". Anything
            else, such as null, changes nothing.
    """
    keys = _object(given)
    keys = _object(keys[SECTION]) if SECTION in keys else keys
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in keys.items():
        if key in _FIELDS:
            try:
                one = msgspec.convert({key: value}, Settings)
            except msgspec.ValidationError as error:
                reason = str(error).partition(" - at ")[0].replace("`", "")
                problems.append(f"Setting {key} is not used: {reason[:1].lower()}{reason[1:]}.")
            else:
                values[_FIELDS[key]] = getattr(one, _FIELDS[key])
        elif key not in FOREIGN_KEYS:
            problems.append(f"Setting {key[:MAX_KEY_CHARS]!r} is unknown.")
    if any(key in keys for key in FOREIGN_KEYS):
        values.setdefault("is_status_sent", True)
    return msgspec.structs.replace(settings, **values), problems


def _object(given: object) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}
